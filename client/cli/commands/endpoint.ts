import type { Command } from 'commander';
import { connected } from '../invocation.ts';
import { endpointKind } from '../kinds.ts';
import { addListFlags, printList, type ListFlags } from '../listing.ts';

/** Adds the commands of endpoints. */
export function configure(endpoint: Command): void {
  addListFlags(endpoint.command('ls').description('list the addresses that users can open'))
    .argument('[service...]', 'only of these services')
    .action(
      connected<ListFlags>(async (run) => {
        const { client, args } = run;
        const request = { services: [...args] };
        await printList(run, {
          kind: endpointKind,
          field: 'endpoints',
          list: async () =>
            (await client.control.listEndpoints(request, { signal: run.signal })).endpoints,
          watch: (signal) => client.watchEndpoints(request, signal),
        });
      }),
    );
}
