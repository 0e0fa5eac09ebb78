import { pathOf } from '../../agent/proxy/backend-list.ts';
import { pathOfStep, type ServerStep } from '../../agent/proxy/plan-servers.ts';
import { commandsOf } from '../../agent/proxy/server-commands.ts';
import type { KnownServer } from '../../agent/proxy/server-state.ts';
import type { ServerHost } from '../../agent/proxy/target-applier.ts';

/**
 * HAProxy's servers as far as the agent's commands change them, with its rules: a new server is in
 * maintenance, only one in maintenance can be deleted, names are unique.
 */
export class ModelHaproxy implements ServerHost {
  readonly servers = new Map<string, KnownServer>();
  readonly backends: ReadonlySet<string>;
  readonly dynamicServers = true;
  /** All commands, in order. */
  readonly commands: string[] = [];
  /** Words to refuse commands with that name one of these paths. */
  readonly refusals = new Map<string, string>();
  refreshes = 0;

  constructor(backends: Iterable<string>, servers: Iterable<KnownServer> = []) {
    this.backends = new Set(backends);
    for (const server of servers) this.servers.set(pathOf(server), server);
  }

  async refresh(): Promise<void> {
    this.refreshes++;
    return Promise.resolve();
  }

  async carryOut(steps: readonly ServerStep[]): Promise<Map<string, string>> {
    const refusals = new Map<string, string>();
    for (const step of steps) {
      for (const command of commandsOf(step)) {
        const refusal = this.run(command);
        if (refusal !== undefined) refusals.set(pathOfStep(step), refusal);
      }
    }
    return Promise.resolve(refusals);
  }

  /** Returns HAProxy's words if it refuses. */
  run(command: string): string | undefined {
    this.commands.push(command);
    const words = command.split(' ');
    const path = words.find((word) => word.includes('/')) ?? '';
    const refusal = this.refusals.get(path);
    if (refusal !== undefined) return refusal;
    if (command.startsWith('add server ')) return this.#add(path, words[3] ?? '');
    const server = this.servers.get(path);
    if (server === undefined) return 'No such server.';
    if (command.startsWith('del server ')) {
      if (server.mode !== 'maint') return 'Only servers in maintenance mode can be deleted.';
      this.servers.delete(path);
      return undefined;
    }
    const state = /^set server \S+ state (ready|drain|maint)$/.exec(command)?.[1];
    if (state !== undefined) {
      this.servers.set(path, { ...server, mode: state as KnownServer['mode'] });
      return undefined;
    }
    const known = /^(enable health|shutdown sessions server|set server \S+ weight) /.test(command);
    return known ? undefined : `Unknown command: ${command}`;
  }

  #add(path: string, address: string): string | undefined {
    const [backend = '', id = ''] = path.split('/');
    if (!this.backends.has(backend)) return 'No such backend.';
    if (this.servers.has(path)) return 'Already exists a server with the same name in backend.';
    const colon = address.lastIndexOf(':');
    this.servers.set(path, {
      backend,
      id,
      address: address.slice(0, colon).replace(/^\[|\]$/g, ''),
      port: Number(address.slice(colon + 1)),
      mode: 'maint',
      altered: false,
      numbers: undefined,
    });
    return undefined;
  }
}
