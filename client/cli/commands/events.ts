import { Option, type Command } from 'commander';
import type { FairleadClient } from '../../fairlead-client.ts';
import type { Event } from '../../../shared/gen/fairlead/v1/event.ts';
import { connected, type Invocation } from '../invocation.ts';
import { eventKind } from '../kinds.ts';
import { readCount } from '../values.ts';

interface EventFlags {
  readonly follow?: boolean;
  readonly since?: string;
  readonly tail?: number;
  readonly object?: string;
}

const pageSize = 1_000;

/** Makes this the command of events. */
export function configure(events: Command): void {
  events
    .addOption(new Option('-f, --follow', 'go on and show events as they come'))
    .addOption(new Option('--since <cursor>', 'only events after this one'))
    .addOption(
      new Option('--tail <n>', 'only the newest n of those that are kept').argParser(readCount),
    )
    .addOption(new Option('--object <id>', 'only of this object, by id'))
    .addHelpText(
      'after',
      `
Without --since, --follow shows what comes from now on; with --tail it begins with the newest n.

Examples:
  fairlead events --tail 20 --follow
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
  const kept = await keptEvents(invocation);
  output.list(eventKind, kept);
}

async function follow(invocation: Invocation<EventFlags>): Promise<void> {
  const { client, output, flags, signal } = invocation;
  const show = (events: readonly Event[]) => {
    if (!output.json) output.rows(eventKind, events);
    else for (const event of events) output.documentLine(eventKind.toJSON(event));
  };
  let cursor = flags.since ?? '';
  if (flags.tail !== undefined) {
    const kept = await keptEvents(invocation);
    show(kept);
    cursor = kept.at(-1)?.cursor ?? cursor;
  }
  const request = { cursor, objectId: flags.object ?? '' };
  for await (const event of client.followEvents(request, signal)) show([event]);
}

async function keptEvents({
  client,
  flags,
  signal,
}: Invocation<EventFlags>): Promise<readonly Event[]> {
  const events: Event[] = [];
  for await (const page of pages(client, flags, signal)) events.push(...page);
  if (flags.tail === undefined) return events;
  return flags.tail === 0 ? [] : events.slice(-flags.tail);
}

async function* pages(
  client: FairleadClient,
  flags: EventFlags,
  signal: AbortSignal,
): AsyncGenerator<readonly Event[], void, undefined> {
  let cursor = flags.since ?? '';
  for (;;) {
    const request = { cursor, limit: pageSize, objectId: flags.object ?? '' };
    const { events } = await client.control.listEvents(request, { signal });
    yield events;
    const last = events.at(-1);
    if (last === undefined || events.length < pageSize) return;
    ({ cursor } = last);
  }
}
