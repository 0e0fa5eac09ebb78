import { Option, type Command } from 'commander';
import { Availability } from '../../../shared/gen/fairlead/v1/node.ts';
import { changesTags, editTags, type TagEdit } from '../edit-tags.ts';
import { CommandFailure, exitStatus } from '../exit-status.ts';
import { connected, type Invocation } from '../invocation.ts';
import { nodeKind } from '../kinds.ts';
import { addListFlags, printList, type ListFlags } from '../listing.ts';
import { mutate, mutateEach } from '../mutate.ts';
import { addMutationFlags, type MutationFlags } from '../mutation-flags.ts';
import { addOrphans } from './orphans.ts';
import { addInvite } from './node-invite.ts';
import { addDrain } from './node-drain.ts';
import { addUpgrade } from './node-upgrade.ts';
import { required } from '../required.ts';
import { collectWords } from '../values.ts';
import { retryOnVersionMismatch } from '../version-lock.ts';

/** Adds the commands of nodes. */
export function configure(node: Command): void {
  addViews(node);
  addTag(node);
  addOrphans(node);
  addAssign(node);
  addAvailability(node, 'activate', {
    availability: Availability.ACTIVE,
    doing: 'activating',
    description: 'let nodes take containers again',
  });
  addAvailability(node, 'pause', {
    availability: Availability.PAUSED,
    doing: 'pausing',
    description: 'let nodes keep what they have and take no more',
  });
  addDrain(node);
  addInvite(node);
  addUpgrade(node);
  addMutationFlags(
    node.command('rm').description('forget nodes without containers and revoke their credentials'),
    { waits: true, lock: true },
  )
    .argument('<node...>', 'name or id')
    .action(
      connected<MutationFlags>(async (run) => {
        const { client, args, signal } = run;
        await mutateEach(run, args, (name) => ({
          doing: `removing ${name}`,
          call: (options) => client.control.removeNode({ node: name, options }, { signal }),
          kind: nodeKind,
          result: (answer) => Promise.resolve(required(answer.node)),
          gone: 'removed',
        }));
      }),
    );
}

function addViews(node: Command): void {
  addListFlags(node.command('ls').description('list nodes'))
    .addOption(new Option('--tag <tag>', 'only nodes that have this tag').argParser(collectWords))
    .addOption(new Option('--removed', 'those as well that were removed, and by whom'))
    .action(
      connected<ListFlags & { tag?: readonly string[]; removed?: boolean }>(async (run) => {
        const { client, flags } = run;
        const request = { tags: [...(flags.tag ?? [])], removed: flags.removed === true };
        await printList(run, {
          kind: nodeKind,
          field: 'nodes',
          list: async () => (await client.control.listNodes(request, { signal: run.signal })).nodes,
          watch: (signal) => client.watchNodes(request, signal),
        });
      }),
    );

  node
    .command('inspect')
    .description('show all that is known of nodes')
    .argument('<node...>', 'name or id')
    .action(
      connected(async ({ client, output, args, signal }) => {
        const found = await Promise.all(
          args.map(async (name) =>
            required((await client.control.getNode({ node: name }, { signal })).node),
          ),
        );
        output.allDetails(nodeKind, found);
      }),
    );
}

function addTag(node: Command): void {
  const command = node
    .command('tag')
    .description('change the tags of a node')
    .argument('<node>', 'name or id')
    .addOption(new Option('--add <tag>', 'add a tag, repeatable').argParser(collectWords))
    .addOption(new Option('--remove <tag>', 'take a tag away, repeatable').argParser(collectWords))
    .addOption(
      new Option('--set <tag>', 'have these tags and no others, repeatable')
        .argParser(collectWords)
        .conflicts(['add', 'remove', 'clear']),
    )
    .addOption(new Option('--clear', 'have no tags').conflicts(['add', 'remove']));
  addMutationFlags(command, { waits: true, lock: true })
    .addHelpText(
      'after',
      `
Examples:
  fairlead node tag node-1 --add web --remove test
  fairlead node tag node-1 --set web,eu`,
    )
    .action(connected<MutationFlags & TagEdit>(tag));
}

async function tag(run: Invocation<MutationFlags & TagEdit>): Promise<void> {
  const { client, flags, args, signal } = run;
  const [name = ''] = args;
  if (!changesTags(flags)) {
    throw new CommandFailure(exitStatus.usage, 'give --add, --remove, --set or --clear');
  }
  await mutate(run, {
    doing: `tagging ${name}`,
    call: (options) =>
      retryOnVersionMismatch(flags, async () => {
        const node = required((await client.control.getNode({ node: name }, { signal })).node);
        return await client.control.updateNode(
          {
            node: name,
            tags: editTags(node.tags, flags),
            updateMask: ['tags'],
            options: { ...options, version: flags.ifVersion ?? node.version },
          },
          { signal },
        );
      }),
    kind: nodeKind,
    result: (answer) => Promise.resolve(required(answer.node)),
  });
}

interface AssignFlags {
  readonly cluster: string | false;
}

function addAssign(node: Command): void {
  const command = node
    .command('assign')
    .description('put nodes into a cluster, or take them out')
    .argument('<node...>', 'name or id')
    .addOption(new Option('--cluster <cluster>', 'name or id').makeOptionMandatory())
    .addOption(new Option('--no-cluster', 'be in none'));
  addMutationFlags(command, { waits: true, lock: true }).action(
    connected<MutationFlags & AssignFlags>(async (run) => {
      const { client, args, flags, signal } = run;
      const cluster = flags.cluster === false ? '' : flags.cluster;
      await mutateEach(run, args, (name) => ({
        doing: `assigning ${name}`,
        call: (options) =>
          client.control.updateNode(
            { node: name, cluster, updateMask: ['cluster'], options },
            { signal },
          ),
        kind: nodeKind,
        result: (answer) => Promise.resolve(required(answer.node)),
      }));
    }),
  );
}

interface AvailabilityVerb {
  readonly availability: Availability;
  readonly doing: string;
  readonly description: string;
}

function addAvailability(
  node: Command,
  verb: string,
  { availability, doing, description }: AvailabilityVerb,
): void {
  addMutationFlags(node.command(verb).description(description), { waits: true, lock: true })
    .argument('<node...>', 'name or id')
    .action(
      connected<MutationFlags>(async (run) => {
        const { client, args, signal } = run;
        await mutateEach(run, args, (name) => ({
          doing: `${doing} ${name}`,
          call: (options) =>
            client.control.updateNode(
              { node: name, availability, updateMask: ['availability'], options },
              { signal },
            ),
          kind: nodeKind,
          result: (answer) => Promise.resolve(required(answer.node)),
        }));
      }),
    );
}
