import { Option, type Command } from 'commander';
import { systemClock } from '../../../shared/clock.ts';
import type { FairleadClient } from '../../fairlead-client.ts';
import type { Event } from '../../../shared/gen/fairlead/v1/event.ts';
import { connected, type Invocation } from '../invocation.ts';
import { eventKind } from '../kinds.ts';
import { readCount, readTime } from '../values.ts';

interface EventFlags {
  readonly follow?: boolean;
  readonly after?: string;
  readonly tail?: number;
  readonly object?: string;
  readonly service?: string[];
  readonly type?: string[];
  readonly since?: Date;
  readonly until?: Date;
}

const pageSize = 1_000;

/** Makes this the command of events. */
export function configure(events: Command): void {
  const time = (text: string) => readTime(text, systemClock.now());
  events
    .addOption(new Option('-f, --follow', 'go on and show events as they come'))
    .addOption(new Option('--since <time>', 'only from then on, or so long ago').argParser(time))
    .addOption(new Option('--until <time>', 'only before then').argParser(time))
    .addOption(
      new Option('--tail <n>', 'only the newest n of those that are kept').argParser(readCount),
    )
    .addOption(new Option('--after <cursor>', 'only events after this one'))
    .addOption(new Option('--service <service...>', 'only of these services and their containers'))
    .addOption(new Option('--type <type...>', 'only of these types: container.ready, container'))
    .addOption(new Option('--object <name|id>', 'only of this object: web, web-3, host-1'))
    .addHelpText(
      'after',
      `
Without --since and --after, --follow shows what comes from now on; with --tail it begins with the newest n.
With --json each event has its object, as it was after what happened.

Examples:
  fairlead events --tail 20 --follow
  fairlead events --service web --type container.failed --since 1h
  fairlead events --follow --json | jq -r .type`,
    )
    .action(connected<EventFlags>(run));
}

async function run(invocation: Invocation<EventFlags>): Promise<void> {
  const { output, flags } = invocation;
  if (flags.follow === true) {
    await follow(invocation);
    return;
  }
  const { kept } = await keptEvents(invocation);
  output.list(eventKind, kept);
}

async function follow(invocation: Invocation<EventFlags>): Promise<void> {
  const { client, output, flags, signal } = invocation;
  const show = (events: readonly Event[]) => {
    if (!output.json) output.rows(eventKind, events);
    else for (const event of events) output.documentLine(eventKind.toJSON(event));
  };
  let cursor = flags.after ?? '';
  if (flags.tail !== undefined) {
    const { kept, cursor: reached } = await keptEvents(invocation);
    show(kept);
    cursor = reached;
  }
  const request = { ...rangeOf(invocation), cursor };
  for await (const event of client.followEvents(request, signal)) show([event]);
}

/** What to ask for. A table shows no objects. */
function rangeOf({ flags, output }: Invocation<EventFlags>) {
  const { object = '', service = [], type = [], since, until } = flags;
  return {
    objectId: object,
    services: service,
    types: type,
    omitObjects: !output.json,
    ...(since !== undefined && { since }),
    ...(until !== undefined && { until }),
  };
}

/** Events that are kept, and where to go on. */
async function keptEvents(invocation: Invocation<EventFlags>) {
  const { client, flags, signal } = invocation;
  const { tail } = flags;
  let kept: readonly Event[] = [];
  let cursor = flags.after ?? '';
  for await (const page of pages(client, { ...rangeOf(invocation), cursor }, signal)) {
    kept = [...kept, ...page.events];
    if (tail !== undefined) kept = tail === 0 ? [] : kept.slice(-tail);
    ({ cursor } = page);
  }
  return { kept, cursor };
}

async function* pages(
  { control }: FairleadClient,
  range: ReturnType<typeof rangeOf> & { readonly cursor: string },
  signal: AbortSignal,
) {
  let { cursor } = range;
  for (;;) {
    const page = await control.listEvents({ ...range, cursor, limit: pageSize }, { signal });
    yield page;
    if (page.events.length === 0) return;
    ({ cursor } = page);
  }
}
