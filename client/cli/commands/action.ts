import { Option, type Command } from 'commander';
import { connected, type Invocation } from '../invocation.ts';
import { actionKind } from '../kinds.ts';
import { addListFlags, printList, type ListFlags } from '../listing.ts';
import { mutateEach, printProgress } from '../mutate.ts';
import { addMutationFlags, type MutationFlags } from '../mutation-flags.ts';
import { required } from '../required.ts';
import { readCount, readDuration } from '../values.ts';
import * as logs from './action-logs.ts';

interface LsFlags extends ListFlags {
  readonly target?: string;
  readonly inProgress?: boolean;
  readonly limit?: number;
}

/** Adds the commands of actions. */
export function configure(action: Command): void {
  addListFlags(action.command('ls').description('list actions, newest first'))
    .addOption(new Option('--target <object>', 'only of this object, by name or id'))
    .addOption(new Option('--in-progress', 'only those that have not ended'))
    .addOption(new Option('--limit <n>', 'at most so many').argParser(readCount).default(100))
    .action(
      connected<LsFlags>(async (run) => {
        const { client, flags } = run;
        const request = {
          target: flags.target ?? '',
          inProgress: flags.inProgress === true,
          limit: flags.limit ?? 100,
        };
        await printList(run, {
          kind: actionKind,
          field: 'actions',
          list: async () =>
            (await client.control.listActions(request, { signal: run.signal })).actions,
          watch: (signal) => client.watchActions(request, signal),
        });
      }),
    );

  action
    .command('inspect')
    .description('show actions with their timelines')
    .argument('<action...>', 'id')
    .action(
      connected(async ({ client, output, args, signal }) => {
        const found = await Promise.all(
          args.map(async (id) =>
            required((await client.control.getAction({ action: id }, { signal })).action),
          ),
        );
        output.allDetails(actionKind, found);
      }),
    );

  logs.configure(action.command('logs'));

  action
    .command('watch')
    .description('show the progress of an action until it ends; the exit status says how')
    .argument('<action>', 'id')
    .addOption(
      new Option('--timeout <duration>', 'at most so long; 0: for ever')
        .argParser(readDuration)
        .default(0, 'for ever'),
    )
    .action(connected<{ readonly timeout: number }>(watch));

  addCancel(action);
}

function addCancel(action: Command): void {
  addMutationFlags(
    action
      .command('cancel')
      .description('call actions off: what is wanted goes back to what it was before'),
    { waits: true, lock: true },
  )
    .argument('<action...>', 'id')
    .action(
      connected<MutationFlags>(async (run) => {
        const { client, args, signal } = run;
        await mutateEach(run, args, (id) => ({
          doing: `cancelling ${id}`,
          call: (options) => client.control.cancelAction({ action: id, options }, { signal }),
          kind: actionKind,
          result: (answer) => Promise.resolve(required(answer.cancelled)),
        }));
      }),
    );
}

async function watch({
  client,
  output,
  flags,
  args,
  signal,
}: Invocation<{ readonly timeout: number }>): Promise<void> {
  const [id = ''] = args;
  const ended = await client.waitForAction(
    id,
    {
      ...(flags.timeout === 0 ? {} : { timeoutMs: flags.timeout }),
      onProgress: (entry) => {
        if (!output.json) printProgress(output, entry);
      },
      onChange: (changed) => {
        if (output.json) output.documentLine(actionKind.toJSON(changed));
      },
    },
    signal,
  );
  if (!output.json) output.table(actionKind, [ended]);
}
