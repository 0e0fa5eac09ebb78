import { Option, type Command } from 'commander';
import { connected, type Invocation } from '../invocation.ts';
import { nodeKind } from '../kinds.ts';
import { mutateTogether } from '../mutate.ts';
import { addMutationFlags, type MutationFlags } from '../mutation-flags.ts';
import { required } from '../required.ts';
import { readCount } from '../values.ts';

interface UpgradeFlags extends MutationFlags {
  readonly parallelism?: number;
}

/** Adds the command that brings the agents of nodes to the coordinator's version. */
export function addUpgrade(node: Command): void {
  const command = node
    .command('upgrade')
    .description(
      "bring the agents of nodes to the coordinator's version; containers are not touched",
    )
    .argument('[node...]', 'name or id; all nodes if none is given')
    .addOption(
      new Option(
        '--parallelism <n>',
        'how many at a time, once the first has come back (3)',
      ).argParser(readCount),
    );
  addMutationFlags(command, { waits: true, lock: false })
    .addHelpText(
      'after',
      `
The first node goes alone. A host whose new agent does not come back returns to the version before by
itself, and the rest is not begun then.

Examples:
  fairlead node upgrade --dry-run
  fairlead node upgrade --parallelism 5
  fairlead node upgrade host-1`,
    )
    .action(connected<UpgradeFlags>(upgrade));
}

async function upgrade(run: Invocation<UpgradeFlags>): Promise<void> {
  const { client, args, flags, output, signal } = run;
  await mutateTogether(run, {
    doing: `upgrading ${args.length === 0 ? 'all nodes' : args.join(', ')}`,
    call: async (options) => {
      const { version } = await client.control.getInfo({}, { signal });
      const request = { nodes: [...args], parallelism: flags.parallelism ?? 0, options };
      const answer = await client.control.upgradeNodes(request, { signal });
      if (answer.version !== version) {
        output.note(
          `warning: the coordinator is version ${version}, and serves packages of version ${answer.version}: "--packages-dir" of the coordinator says which`,
        );
      }
      return answer;
    },
    kind: nodeKind,
    result: ({ nodes }) =>
      Promise.all(
        nodes.map(async ({ id }) =>
          required((await client.control.getNode({ node: id }, { signal })).node),
        ),
      ),
  });
}
