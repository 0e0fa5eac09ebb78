import { Option, type Command } from 'commander';
import { TimelineEntry } from '../../../shared/gen/fairlead/v1/action.ts';
import { connected, type Invocation } from '../invocation.ts';
import type { Output } from '../output.ts';
import { required } from '../required.ts';
import { oneLine } from '../table.ts';
import { readCount } from '../values.ts';

interface LogFlags {
  readonly follow?: boolean;
  readonly tail?: number;
}

/** Makes this the command that shows what an action did. */
export function configure(logs: Command): void {
  logs
    .description('show what an action did and does, line by line')
    .argument('<action>', 'id')
    .addOption(new Option('-f, --follow', 'go on until it ends; the exit status says how'))
    .addOption(new Option('-n, --tail <n>', 'only the newest n lines').argParser(readCount))
    .addHelpText(
      'after',
      `
With --json each line is a document. "fairlead action watch" says how it ended too.

Examples:
  fairlead action logs --follow $(fairlead action ls --target web --limit 1 --quiet)`,
    )
    .action(connected<LogFlags>(run));
}

async function run({ client, output, flags, args, signal }: Invocation<LogFlags>): Promise<void> {
  const [id = ''] = args;
  const { action } = await client.control.getAction({ action: id }, { signal });
  const { timeline } = required(action);
  let passedOver = flags.tail === undefined ? 0 : Math.max(0, timeline.length - flags.tail);
  const show = (entry: TimelineEntry) => {
    if (passedOver > 0) passedOver--;
    else printEntry(output, entry);
  };
  if (flags.follow === true) await client.waitForAction(id, { onProgress: show }, signal);
  else for (const entry of timeline) show(entry);
}

function printEntry(output: Output, entry: TimelineEntry): void {
  if (output.json) {
    output.documentLine(TimelineEntry.toJSON(entry));
    return;
  }
  const { time, container, message, lines } = entry;
  const words = [time?.toISOString() ?? '', container, message].filter((word) => word !== '');
  output.line(oneLine(words.join('  ')));
  for (const line of lines) output.line(oneLine(`  | ${line}`));
}
