import type { ServerStep } from './plan-servers.ts';

/**
 * What every server is given, in the file and at run time alike: `add server` inherits nothing from the
 * file. Without the pool arguments HAProxy 2.6 opens a connection for each request to a server that was
 * added at run time.
 */
export const serverParameters = [
  'check inter 2s fastinter 200ms downinter 500ms rise 1 fall 2',
  'observe layer4 error-limit 3 on-error mark-down',
  'pool-purge-delay 5s pool-max-conn -1',
].join(' ');

/** `203.0.113.7:80`, and `[2001:db8::7]:80` for IPv6. */
export function socketAddress(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

/**
 * The runtime commands of a step, one a line, in order.
 *
 * A server is born in maintenance, and becomes ready by its state alone: the word `enabled` in
 * `add server` would leave the whole backend of HAProxy 2.6 down for good.
 */
export function commandsOf(step: ServerStep): string[] {
  if (step.kind === 'add') {
    const { backend, id, address, port } = step.target;
    const path = `${backend}/${id}`;
    return [
      `add server ${path} ${socketAddress(address, port)} ${serverParameters}`,
      `enable health ${path}`,
      `set server ${path} state ready`,
    ];
  }
  const path = `${step.server.backend}/${step.server.id}`;
  switch (step.kind) {
    case 'ready':
      return [`enable health ${path}`, `set server ${path} state ready`];
    case 'drain':
      return [`set server ${path} state drain`];
    case 'maint':
      return [`set server ${path} state maint`];
    case 'cut':
      return [`set server ${path} state maint`, `shutdown sessions server ${path}`];
    case 'delete':
      return [`del server ${path}`];
  }
}
