import type { Backend, Target } from './backend-list.ts';
import { ownPrefix } from './config-settings.ts';
import { section } from './config-words.ts';
import { serverParameters, socketAddress } from './server-commands.ts';

/** A pool, with the servers that it has from the start. */
export function backendSection({ name, protocol }: Backend, targets: readonly Target[]): string {
  const servers = targets.map(
    ({ id, address, port }) => `server ${id} ${socketAddress(address, port)} ${serverParameters}`,
  );
  if (protocol === 'tcp') return section(`backend ${name} from ${ownPrefix}tcp`, servers);
  return section(`backend ${name} from ${ownPrefix}http`, [
    'option forwardfor',
    'http-request disable-l7-retry unless METH_GET or { method HEAD OPTIONS PUT DELETE }',
    ...servers,
  ]);
}
