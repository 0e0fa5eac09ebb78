import { Option, type Command } from 'commander';
import { connected } from '../invocation.ts';
import { containerKind, orphanKind, sorted } from '../kinds.ts';
import { mutateEach } from '../mutate.ts';
import { addMutationFlags, type MutationFlags } from '../mutation-flags.ts';
import { required } from '../required.ts';

/** Adds the commands of engine containers that the coordinator does not know. */
export function addOrphans(node: Command): void {
  addList(node);
  addAdopt(node);
  addDiscard(node);
}

function addList(node: Command): void {
  node
    .command('orphans')
    .description('list containers of nodes that the coordinator does not know, as after a restore')
    .argument('[node...]', 'only on these, by name or id')
    .addOption(new Option('-q, --quiet', 'print names only'))
    .action(
      connected<{ readonly quiet?: boolean }>(async ({ client, output, flags, args, signal }) => {
        const { nodes } = await client.control.listNodes({}, { signal });
        const wanted = nodes.filter(
          ({ id, name }) => args.length === 0 || args.includes(id) || args.includes(name),
        );
        const orphans = wanted.flatMap(({ name, orphaned }) =>
          orphaned.map((orphan) => ({ node: name, orphan })),
        );
        const found = sorted(orphanKind, orphans);
        if (output.json || flags.quiet !== true) output.list(orphanKind, found);
        else for (const { orphan } of found) output.line(orphan.name);
      }),
    );
}

function addAdopt(node: Command): void {
  addMutationFlags(
    node.command('adopt').description('give orphans their place in their service back'),
    { waits: true, lock: false },
  )
    .argument('<node>', 'name or id')
    .argument('<orphan...>', 'name or container id')
    .action(
      connected<MutationFlags>(async (run) => {
        const { client, args, signal } = run;
        const [on = '', ...names] = args;
        // From the lowest number up: a service grows by what is adopted, and would fill gaps itself.
        const orphans = names.toSorted((a, b) => a.localeCompare(b, 'en', { numeric: true }));
        await mutateEach(run, orphans, (orphan) => ({
          doing: `adopting ${orphan}`,
          call: (options) => client.control.adoptOrphan({ node: on, orphan, options }, { signal }),
          kind: containerKind,
          result: async (answer) => {
            const { id } = required(answer.container);
            const { container } = await client.control.getContainer({ container: id }, { signal });
            return required(container);
          },
        }));
      }),
    );
}

function addDiscard(node: Command): void {
  addMutationFlags(
    node.command('discard').description('have orphans stopped and removed from their node'),
    { waits: false, lock: false },
  )
    .argument('<node>', 'name or id')
    .argument('<orphan...>', 'name or container id')
    .action(
      connected<MutationFlags>(async (run) => {
        const { client, args, signal } = run;
        const [on = '', ...orphans] = args;
        await mutateEach(run, orphans, (name) => ({
          doing: `discarding ${name}`,
          call: (options) =>
            client.control.discardOrphan({ node: on, orphan: name, options }, { signal }),
          kind: orphanKind,
          result: (answer) => Promise.resolve({ node: on, orphan: required(answer.orphan) }),
          gone: 'removed',
        }));
      }),
    );
}
