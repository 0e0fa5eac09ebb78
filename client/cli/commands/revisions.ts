import type { Command } from 'commander';
import { connected } from '../invocation.ts';
import { fieldChangeKind, revisionKind } from '../kinds.ts';
import { readCount } from '../values.ts';

/** Adds the commands that show what a service was. */
export function addRevisionViews(service: Command): void {
  service
    .command('revisions')
    .description('list the definitions of a service that are kept, newest first')
    .argument('<service>', 'name or id')
    .action(
      connected(async ({ client, output, args, signal }) => {
        const [name = ''] = args;
        const { revisions } = await client.control.listRevisions({ service: name }, { signal });
        output.list(revisionKind, revisions);
      }),
    );

  service
    .command('diff')
    .description('show in what two revisions of a service differ')
    .argument('<service>', 'name or id')
    .argument('[from]', 'the earlier revision; without it, the one before', readCount)
    .argument('[to]', 'the later revision; without it, the current one', readCount)
    .action(
      connected(async ({ client, output, args, signal }) => {
        const [name = '', from = 0, to = 0] = args;
        const { fromRevision, toRevision, changes } = await client.control.diffRevisions(
          { service: name, fromRevision: Number(from), toRevision: Number(to) },
          { signal },
        );
        if (!output.json) output.note(`from revision ${fromRevision} to revision ${toRevision}`);
        output.list(fieldChangeKind, changes);
      }),
    );
}
