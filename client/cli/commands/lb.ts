import type { Command } from 'commander';
import type { Proxy } from '../../../shared/gen/fairlead/v1/load_balancer.ts';
import type { View } from '../../watch.ts';
import { connected } from '../invocation.ts';
import { proxyKind, serverKind, type ServerOfProxy } from '../kinds.ts';
import { addListFlags, printList, type ListFlags } from '../listing.ts';
import { mutateEach } from '../mutate.ts';
import { addMutationFlags, type MutationFlags } from '../mutation-flags.ts';
import { required } from '../required.ts';

/** Adds the commands of load balancers. */
export function configure(lb: Command): void {
  addListFlags(lb.command('status').description('show the proxies and what is in effect in each'))
    .argument('[service...]', 'only of these load balancers')
    .action(
      connected<ListFlags>(async (run) => {
        const { client, args } = run;
        const request = { services: [...args] };
        await printList(run, {
          kind: proxyKind,
          field: 'proxies',
          list: async () =>
            (await client.control.listProxies(request, { signal: run.signal })).proxies,
          watch: (signal) => client.watchProxies(request, signal),
        });
      }),
    );

  addListFlags(lb.command('servers').description('show the servers of every proxy'))
    .argument('[service...]', 'only of these load balancers')
    .action(
      connected<ListFlags>(async (run) => {
        const { client, args } = run;
        const request = { services: [...args] };
        await printList(run, {
          kind: serverKind,
          field: 'servers',
          list: async () =>
            (await client.control.listProxies(request, { signal: run.signal })).proxies.flatMap(
              serversOf,
            ),
          watch: (signal) => serverViews(client.watchProxies(request, signal)),
        });
      }),
    );
  addRemove(lb);
}

function addRemove(lb: Command): void {
  const what = 'forget proxies on plain hosts that are away for good: nothing waits for them';
  addMutationFlags(lb.command('rm').description(what), { waits: false, lock: false })
    .argument('<proxy...>', 'name or id')
    .action(
      connected<MutationFlags>(async (run) => {
        const { client, args, signal } = run;
        await mutateEach(run, args, (proxy) => ({
          doing: `removing ${proxy}`,
          call: (options) => client.control.removeProxy({ proxy, options }, { signal }),
          kind: proxyKind,
          result: (answer) => Promise.resolve(required(answer.proxy)),
          gone: 'removed',
        }));
      }),
    );
}

function serversOf({ name, servers }: Proxy): ServerOfProxy[] {
  return servers.map((server) => ({ proxy: name, server }));
}

/** Each view whole: servers have no changes of their own in the API. */
async function* serverViews(
  views: AsyncIterable<View<Proxy>>,
): AsyncGenerator<View<ServerOfProxy>, void, undefined> {
  for await (const { items, cursor } of views) {
    const servers = [...items.values()].flatMap(serversOf);
    yield {
      items: new Map(servers.map((entry) => [`${entry.proxy} ${entry.server.name}`, entry])),
      changed: servers,
      removedIds: [],
      snapshot: true,
      cursor,
    };
  }
}
