import { Option, type Command } from 'commander';
import { connected, type Invocation } from '../invocation.ts';
import { nodeKind } from '../kinds.ts';
import { mutateEach } from '../mutate.ts';
import { addMutationFlags, type MutationFlags } from '../mutation-flags.ts';
import { required } from '../required.ts';
import { readCount, readDuration } from '../values.ts';

interface DrainFlags extends MutationFlags {
  readonly parallelism?: number;
  readonly deadline?: number;
  readonly force?: boolean;
}

/** Adds the command that empties nodes. */
export function addDrain(node: Command): void {
  const command = node
    .command('drain')
    .description('empty nodes: each container goes when another elsewhere serves in its place')
    .argument('<node...>', 'name or id')
    .addOption(
      new Option(
        '--parallelism <n>',
        'containers of a node that move at the same time; as many as their services let if not given',
      ).argParser(readCount),
    )
    .addOption(
      new Option(
        '--deadline <duration>',
        'give up when a node is not empty by then (1h); with --force, take the rest away',
      ).argParser(readDuration),
    )
    .addOption(
      new Option(
        '--force',
        'take away what no other node takes too: at the deadline, or now if none is given',
      ),
    );
  addMutationFlags(command, { waits: true, lock: true })
    .addHelpText(
      'after',
      `
What no other node takes serves on where it is, and "fairlead action inspect" says for each node why. Nothing
comes back by itself when the node is active again; "fairlead service rebalance" brings it.

Examples:
  fairlead node drain host-2 --dry-run
  fairlead node drain host-2 --parallelism 2 --deadline 10m
  fairlead node drain host-2 --deadline 5m --force
  fairlead node activate host-2`,
    )
    .action(connected<DrainFlags>(drain));
}

async function drain(run: Invocation<DrainFlags>): Promise<void> {
  const { client, args, flags, signal } = run;
  const { parallelism = 0, deadline = 0, force = false } = flags;
  const deadlineSeconds = Math.ceil(deadline / 1_000);
  await mutateEach(run, args, (name) => ({
    doing: `draining ${name}`,
    call: (options) =>
      client.control.drainNode(
        { node: name, parallelism, deadlineSeconds, force, options },
        { signal },
      ),
    kind: nodeKind,
    result: async () => required((await client.control.getNode({ node: name }, { signal })).node),
  }));
}
