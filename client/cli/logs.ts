import { Option, type Command } from 'commander';
import { systemClock } from '../../shared/clock.ts';
import {
  LogEntry,
  LogSourceState,
  LogStream,
  type LogSource,
} from '../../shared/gen/fairlead/v1/log.ts';
import type { LogMessage } from '../log-reader.ts';
import type { Invocation } from './invocation.ts';
import type { Output } from './output.ts';
import { readCount, readTime } from './values.ts';

/** The flags of logs. */
export interface LogFlags {
  readonly follow?: boolean;
  readonly tail?: number;
  readonly since?: Date;
  readonly until?: Date;
  readonly timestamps?: boolean;
}

/** Adds the flags that logs take. */
export function addLogFlags(command: Command): Command {
  const time = (text: string) => readTime(text, systemClock.now());
  return command
    .addOption(new Option('-f, --follow', 'go on and show lines as they are written'))
    .addOption(new Option('-n, --tail <n>', 'only the newest n lines').argParser(readCount))
    .addOption(
      new Option('--since <time>', 'only lines from then on, or so long ago').argParser(time),
    )
    .addOption(new Option('--until <time>', 'only lines before then').argParser(time))
    .addOption(new Option('-t, --timestamps', 'show when each line was written'));
}

/** What to ask for. */
export function rangeOf({ follow = false, tail, since, until }: LogFlags) {
  return {
    follow,
    ...(tail !== undefined && { tail }),
    ...(since !== undefined && { since }),
    ...(until !== undefined && { until }),
  };
}

/** Writes lines as they come: each to the stream that it was written to. */
export async function printLog(
  { output, flags }: Pick<Invocation<LogFlags>, 'output' | 'flags'>,
  messages: AsyncIterable<LogMessage>,
  { named }: { readonly named: boolean },
): Promise<void> {
  const writer = new LogWriter(output, { named, timestamps: flags.timestamps === true });
  for await (const { entries, sources } of messages) {
    if (!output.json) for (const source of sources) tell(output, source);
    for (const entry of entries) await writer.write(entry);
  }
}

/** What keeps a log from being whole is for the person, not for the log. */
function tell(output: Output, { container, state, message }: LogSource): void {
  if (message === '') return;
  if (state === LogSourceState.FAILED) output.note(`${container}: not read to its end: ${message}`);
  else if (state === LogSourceState.WAITING && output.isWatched) {
    output.note(`${container}: ${message}`, 'dim');
  }
}

const lineEnd = Buffer.from('\n');

/** Puts the parts of long lines together again, also where other lines come between them. */
class LogWriter {
  readonly #output: Output;
  readonly #options: { readonly named: boolean; readonly timestamps: boolean };
  /** The line that was begun and not ended. */
  #open: { readonly key: string; readonly stream: 'stdout' | 'stderr' } | undefined;

  constructor(output: Output, options: { readonly named: boolean; readonly timestamps: boolean }) {
    this.#output = output;
    this.#options = options;
  }

  async write(entry: LogEntry): Promise<void> {
    if (this.#output.json) {
      const line = Buffer.from(`${JSON.stringify(LogEntry.toJSON(entry))}\n`);
      await this.#output.bytes('stdout', line);
      return;
    }
    const stream = entry.stream === LogStream.STDERR ? 'stderr' : 'stdout';
    const key = `${entry.containerId} ${stream}`;
    const isNew = this.#open?.key !== key;
    if (isNew && this.#open !== undefined) await this.#output.bytes(this.#open.stream, lineEnd);
    this.#open = entry.continued ? { key, stream } : undefined;
    const parts = [entry.raw.length > 0 ? entry.raw : Buffer.from(entry.text)];
    if (isNew) parts.unshift(Buffer.from(this.#prefix(entry)));
    if (!entry.continued) parts.push(lineEnd);
    await this.#output.bytes(stream, Buffer.concat(parts));
  }

  #prefix({ container, time }: LogEntry): string {
    const { named, timestamps } = this.#options;
    return `${named ? `${container} | ` : ''}${timestamps ? `${time} ` : ''}`;
  }
}
