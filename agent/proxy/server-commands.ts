import { socketAddress } from './addresses.ts';
import type { Backend, Target } from './backend-list.ts';
import { checkParameters } from './health-checks.ts';
import type { ServerStep } from './plan-servers.ts';
import { stickyOf } from './slots.ts';

/** How a server is asked whether it accepts connections. */
const tcpCheck = 'check inter 2s fastinter 200ms downinter 500ms rise 1 fall 2';
/**
 * What every server is given, in the file and at run time alike: `add server` inherits nothing from the
 * file. Without the pool arguments HAProxy 2.6 opens a connection for each request to a server that was
 * added at run time.
 */
const commonParameters = [
  'observe layer4 error-limit 3 on-error mark-down',
  'pool-purge-delay 5s pool-max-conn -1',
].join(' ');

/** What a server is given that is asked for nothing but connections. */
export const serverParameters = `${tcpCheck} ${commonParameters}`;

/** All that a server is given. */
export function parametersOf(target: Target, backend: Backend | undefined): string {
  const sendProxy = target.sendProxy ?? backend?.balancing?.sendProxy ?? false;
  const proxied = sendProxy ? ' send-proxy-v2' : '';
  // HAProxy refuses a whole file in which a server of bytes speaks HTTP.
  const http2 = target.http2 === true && backend?.protocol === 'http' ? ' proto h2' : '';
  const own =
    backend?.readiness === undefined
      ? serverParameters
      : `${checkParameters(target, backend.readiness)} ${commonParameters}`;
  return `${own}${target.backup === true ? ' backup' : ''}${proxied}${http2}`;
}

/**
 * The runtime commands of a step, one a line, in order.
 *
 * A server is born in maintenance, and becomes ready by its state alone: the word `enabled` in
 * `add server` would leave the whole backend of HAProxy 2.6 down for good. The number that it is to have in its
 * backend is known then without asking for all of them.
 */
export function commandsOf(step: ServerStep, settings?: Backend, number?: number): string[] {
  if (step.kind === 'add') return addCommands(step.target, settings, number);
  const path = `${step.server.backend}/${step.server.id}`;
  switch (step.kind) {
    case 'ready':
      return [
        `enable health ${path}`,
        `set server ${path} weight 100%`,
        `set server ${path} state ready`,
      ];
    case 'drain':
      // Clients with its cookie would still come to a server in drain.
      return [`set server ${path} state ${stickyOf(settings) === undefined ? 'drain' : 'maint'}`];
    case 'maint':
      return [`set server ${path} state maint`];
    case 'cut':
      return [`set server ${path} state maint`, `shutdown sessions server ${path}`];
    case 'delete':
      return [`del server ${path}`];
  }
}

function addCommands(
  target: Target,
  settings: Backend | undefined,
  number: number | undefined,
): string[] {
  const { backend, id, address, port } = target;
  const path = `${backend}/${id}`;
  const numbered = number === undefined ? '' : ` id ${number}`;
  return [
    `add server ${path} ${socketAddress(address, port)} ${parametersOf(target, settings)}${numbered}`,
    `enable health ${path}`,
    `set server ${path} state ready`,
  ];
}
