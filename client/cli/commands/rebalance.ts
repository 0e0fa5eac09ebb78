import { Option, type Command } from 'commander';
import { connected, type Invocation } from '../invocation.ts';
import { serviceKind } from '../kinds.ts';
import { mutateTogether } from '../mutate.ts';
import { addMutationFlags, type MutationFlags } from '../mutation-flags.ts';
import { required } from '../required.ts';
import { readCount } from '../values.ts';

interface RebalanceFlags extends MutationFlags {
  readonly parallelism?: number;
  readonly maxMoves?: number;
}

/** Adds the command that makes services even over the nodes again. */
export function addRebalance(service: Command): void {
  const command = service
    .command('rebalance')
    .description('move containers from crowded nodes to emptier ones, each in place first')
    .argument('[service...]', 'name or id; all services if none is given')
    .addOption(
      new Option(
        '--parallelism <n>',
        'containers that move at the same time; as many as their services let if not given',
      ).argParser(readCount),
    )
    .addOption(
      new Option('--max-moves <n>', 'containers that are moved altogether (1000)').argParser(
        readCount,
      ),
    );
  addMutationFlags(command, { waits: true, lock: false })
    .addHelpText(
      'after',
      `
Nothing is moved where no node has two more than another, of services that are replaced stop-first or run on
every node, or while a rollout goes on.

Examples:
  fairlead service rebalance --dry-run
  fairlead service rebalance web --parallelism 2`,
    )
    .action(connected<RebalanceFlags>(rebalance));
}

async function rebalance(run: Invocation<RebalanceFlags>): Promise<void> {
  const { client, args, flags, signal } = run;
  const { parallelism = 0, maxMoves = 0 } = flags;
  await mutateTogether(run, {
    doing: `rebalancing ${args.length === 0 ? 'all services' : args.join(', ')}`,
    call: (options) =>
      client.control.rebalanceServices(
        { services: [...args], parallelism, maxMoves, options },
        { signal },
      ),
    kind: serviceKind,
    result: ({ services }) =>
      Promise.all(
        services.map(async ({ id }) =>
          required((await client.control.getService({ service: id }, { signal })).service),
        ),
      ),
  });
}
