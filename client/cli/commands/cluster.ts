import { Option, type Command } from 'commander';
import { changesTags, editTags } from '../edit-tags.ts';
import { CommandFailure, exitStatus } from '../exit-status.ts';
import { connected, type Invocation } from '../invocation.ts';
import { nodeClusterKind } from '../kinds.ts';
import { addListFlags, printList, type ListFlags } from '../listing.ts';
import { mutate, mutateEach } from '../mutate.ts';
import { addMutationFlags, type MutationFlags } from '../mutation-flags.ts';
import { required } from '../required.ts';
import { collectWords, readCount } from '../values.ts';
import { retryOnVersionMismatch } from '../version-lock.ts';

interface ClusterFlags {
  readonly nodes?: number;
}

/** Adds the commands of node clusters. */
export function configure(cluster: Command): void {
  addCreate(cluster);
  addViews(cluster);
  addSet(cluster);
  addMutationFlags(
    cluster
      .command('rm')
      .description('remove clusters without members, and revoke the join tokens that name them'),
    { waits: true, lock: true },
  )
    .argument('<cluster...>', 'name or id')
    .action(
      connected<MutationFlags>(async (run) => {
        const { client, args, signal } = run;
        await mutateEach(run, args, (nodeCluster) => ({
          doing: `removing ${nodeCluster}`,
          call: (options) => client.control.removeNodeCluster({ nodeCluster, options }, { signal }),
          kind: nodeClusterKind,
          result: (answer) => Promise.resolve(required(answer.nodeCluster)),
          gone: 'removed',
        }));
      }),
    );
}

const nodesOption = () =>
  new Option('--nodes <n>', 'hosts that it is to have; 0: it waits for none').argParser(readCount);

function addCreate(cluster: Command): void {
  const command = cluster
    .command('create')
    .description('make a cluster that hosts can join')
    .argument('<name>', 'name; its nodes have the tag cluster=NAME')
    .addOption(nodesOption())
    .addOption(
      new Option('--tag <tag>', 'tag of every node in it, repeatable').argParser(collectWords),
    );
  addMutationFlags(command, { waits: true, lock: false })
    .addHelpText(
      'after',
      `
Examples:
  fairlead cluster create web --nodes 4 --tag web
  fairlead token create --role node --cluster web --max-uses 4 --lifetime 1h > web.token`,
    )
    .action(
      connected<MutationFlags & ClusterFlags & { readonly tag?: readonly string[] }>(
        async (run) => {
          const { client, flags, args, signal } = run;
          const [name = ''] = args;
          await mutate(run, {
            doing: `creating ${name}`,
            call: (options) =>
              client.control.createNodeCluster(
                { name, targetNodes: flags.nodes ?? 0, tags: [...(flags.tag ?? [])], options },
                { signal },
              ),
            kind: nodeClusterKind,
            result: (answer) => Promise.resolve(required(answer.nodeCluster)),
          });
        },
      ),
    );
}

function addViews(cluster: Command): void {
  addListFlags(cluster.command('ls').description('list clusters')).action(
    connected<ListFlags>(async (run) => {
      const { client } = run;
      await printList(run, {
        kind: nodeClusterKind,
        field: 'nodeClusters',
        list: async () =>
          (await client.control.listNodeClusters({}, { signal: run.signal })).nodeClusters,
        watch: (signal) => client.watchNodeClusters({}, signal),
      });
    }),
  );

  cluster
    .command('inspect')
    .description('show all that is known of clusters')
    .argument('<cluster...>', 'name or id')
    .action(
      connected(async ({ client, output, args, signal }) => {
        const found = await Promise.all(
          args.map(async (nodeCluster) =>
            required(
              (await client.control.getNodeCluster({ nodeCluster }, { signal })).nodeCluster,
            ),
          ),
        );
        output.allDetails(nodeClusterKind, found);
      }),
    );
}

interface SetFlags extends ClusterFlags {
  readonly tagAdd?: readonly string[];
  readonly tagRm?: readonly string[];
  readonly clearTags?: boolean;
}

function addSet(cluster: Command): void {
  const command = cluster
    .command('set')
    .description('change the number of hosts and the tags of a cluster')
    .argument('<cluster>', 'name or id')
    .addOption(nodesOption())
    .addOption(new Option('--tag-add <tag>', 'add a tag, repeatable').argParser(collectWords))
    .addOption(new Option('--tag-rm <tag>', 'take a tag out, repeatable').argParser(collectWords))
    .addOption(new Option('--clear-tags', 'take all tags out first'));
  addMutationFlags(command, { waits: true, lock: true })
    .addHelpText(
      'after',
      `
Examples:
  fairlead cluster set web --nodes 6
  fairlead cluster set web --tag-add eu --tag-rm test`,
    )
    .action(connected<MutationFlags & SetFlags>(set));
}

async function set(run: Invocation<MutationFlags & SetFlags>): Promise<void> {
  const { client, flags, args, signal } = run;
  const [name = ''] = args;
  const edit = { add: flags.tagAdd, remove: flags.tagRm, clear: flags.clearTags };
  const updateMask = [
    ...(flags.nodes === undefined ? [] : ['target_nodes']),
    ...(changesTags(edit) ? ['tags'] : []),
  ];
  if (updateMask.length === 0) {
    throw new CommandFailure(exitStatus.usage, 'give --nodes, --tag-add, --tag-rm or --clear-tags');
  }
  await mutate(run, {
    doing: `changing ${name}`,
    call: (options) =>
      retryOnVersionMismatch(flags, async () => {
        const read = await client.control.getNodeCluster({ nodeCluster: name }, { signal });
        const { tags, version } = required(read.nodeCluster);
        return await client.control.updateNodeCluster(
          {
            nodeCluster: name,
            targetNodes: flags.nodes ?? 0,
            tags: editTags(tags, edit),
            updateMask,
            options: { ...options, version: flags.ifVersion ?? version },
          },
          { signal },
        );
      }),
    kind: nodeClusterKind,
    result: (answer) => Promise.resolve(required(answer.nodeCluster)),
  });
}
