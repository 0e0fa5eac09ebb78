import type { ContainerId } from '../../shared/ids.ts';
import { beginning, LogPlace, type LogPosition } from '../../shared/log-place.ts';
import type { EngineContainer } from './docker/engine.ts';
import type { EngineLogQuery, LogLine } from './docker/log-lines.ts';

/** What is asked of the log of a container. */
export interface LogsOrder {
  readonly containerId: ContainerId;
  readonly follow: boolean;
  /** Only so many of the newest lines; undefined: all. */
  readonly tail: number | undefined;
  readonly sinceMs: number | undefined;
  readonly untilMs: number | undefined;
  /** Go on after this place; tail and since do not count then. */
  readonly after: LogPosition | undefined;
}

/** The part of an engine that logs are read from. */
export interface LogEngine {
  find(containerId: ContainerId, signal: AbortSignal): Promise<EngineContainer | undefined>;
  /** Lines as the reader takes them: the engine is not read faster. */
  logs(engineId: string, query: EngineLogQuery, signal: AbortSignal): AsyncIterable<LogLine[]>;
}

/** What is told of a log, in order. */
export type LogNews =
  | { readonly kind: 'lines'; readonly lines: readonly LogLine[] }
  | { readonly kind: 'caught-up'; readonly position: LogPosition }
  | { readonly kind: 'missing' };

const nowhere: LogPosition = { time: '', lines: 0 };
/** Lines are told in batches of about this size at most. */
const batchBytes = 16 * 1024;

/**
 * Reads the log of a container. One that is followed is read twice: what there is, and then from that place
 * on; only so is it known when all that there was has been told.
 */
export async function* readLog(
  engine: LogEngine,
  order: LogsOrder,
  signal: AbortSignal,
): AsyncGenerator<LogNews> {
  const container = await engine.find(order.containerId, signal);
  if (container === undefined) {
    yield { kind: 'missing' };
    return;
  }
  const { engineId } = container;
  const place = new LogPlace(order.after ?? nowhere);
  yield* readHistory(engine, engineId, { order, place }, signal);
  if (!order.follow) return;
  const position = place.position.time === '' ? emptyPlace(order) : place.position;
  yield { kind: 'caught-up', position };
  const since = secondsOf(position.time);
  const query = { follow: true, tail: undefined, since, until: untilOf(order) };
  const more = engine.logs(engineId, query, signal);
  for await (const lines of skipping(more, position.lines)) yield* batchesOf(lines);
}

async function* readHistory(
  engine: LogEngine,
  engineId: string,
  { order, place }: { readonly order: LogsOrder; readonly place: LogPlace },
  signal: AbortSignal,
): AsyncGenerator<LogNews> {
  const { after, tail } = order;
  // The place after all lines is that after the last one: it is looked for, and not told.
  const isQuiet = tail === 0 && after === undefined;
  const read = engine.logs(engineId, historyOf(order, isQuiet), signal);
  for await (const lines of skipping(read, after?.lines ?? 0)) {
    for (const { time } of lines) place.add(time);
    if (!isQuiet) yield* batchesOf(lines);
  }
}

function historyOf(order: LogsOrder, isQuiet: boolean): EngineLogQuery {
  const { after, tail, sinceMs } = order;
  const rest = { follow: false, until: untilOf(order) };
  if (after !== undefined) return { ...rest, tail: undefined, since: secondsOf(after.time) };
  const since = sinceMs === undefined ? undefined : String(sinceMs / 1_000);
  return { ...rest, tail: isQuiet ? 1 : tail, since };
}

function untilOf({ untilMs }: LogsOrder): string | undefined {
  return untilMs === undefined ? undefined : String(untilMs / 1_000);
}

/** The place after a log that has nothing of what was asked for. */
function emptyPlace({ sinceMs }: LogsOrder): LogPosition {
  if (sinceMs === undefined) return beginning;
  return { time: new Date(sinceMs).toISOString().replace('Z', '000000Z'), lines: 0 };
}

/** Without the first so many lines. */
async function* skipping(
  batches: AsyncIterable<LogLine[]>,
  count: number,
): AsyncGenerator<LogLine[]> {
  let left = count;
  for await (const lines of batches) {
    const fresh = left === 0 ? lines : lines.slice(left);
    left = Math.max(0, left - lines.length);
    if (fresh.length > 0) yield fresh;
  }
}

function* batchesOf(lines: readonly LogLine[]): Generator<LogNews> {
  let batch: LogLine[] = [];
  let bytes = 0;
  for (const line of lines) {
    batch.push(line);
    bytes += line.data.length + 64;
    if (bytes < batchBytes) continue;
    yield { kind: 'lines', lines: batch };
    batch = [];
    bytes = 0;
  }
  if (batch.length > 0) yield { kind: 'lines', lines: batch };
}

/** A time in seconds since 1970, with all of its decimals. */
function secondsOf(time: string): string {
  return `${Date.parse(`${time.slice(0, 19)}Z`) / 1_000}${time.slice(19, -1)}`;
}
