import { Status } from 'nice-grpc-common';
import { ChildController } from '../shared/abort.ts';
import type { LogEntry, LogPosition, LogSource } from '../shared/gen/fairlead/v1/log.ts';
import { LogPlace } from '../shared/log-place.ts';
import { backoffMs } from '../shared/retry.ts';
import { FairleadError, isTransient } from './fairlead-error.ts';
import type { ResumeDeps } from './watch.ts';

/** One message of a log. */
export interface LogMessage {
  readonly entries: readonly LogEntry[];
  readonly sources: readonly LogSource[];
}

/** A log that ends is worth some 20 s of trying; one that is followed, any time. */
const maxFailures = 8;
const backoff = { minMs: 100, maxMs: 5_000 };

/** Where a log comes from. */
export interface LogSourceOptions<M extends LogMessage> {
  readonly open: (after: LogPosition[], signal: AbortSignal) => AsyncIterable<M>;
  /** Whether it goes on after what there is. */
  readonly follow: boolean;
}

/**
 * Messages of a log to its end. A stream that breaks is asked for again, from the place of each container
 * that was reached: no line is lost or comes twice. Throws what asking again cannot mend.
 */
export async function* readLog<M extends LogMessage>(
  { open, follow }: LogSourceOptions<M>,
  { clock, random, onLost }: ResumeDeps,
  signal: AbortSignal,
): AsyncGenerator<M, void, undefined> {
  const places = new Map<string, LogPlace>();
  let failures = 0;
  for (;;) {
    try {
      using attempt = new ChildController(signal);
      for await (const message of open(positionsOf(places), attempt.signal)) {
        failures = 0;
        note(places, message);
        yield message;
      }
      return;
    } catch (error) {
      if (signal.aborted) return;
      if (!mayPass(error) || (!follow && failures >= maxFailures)) throw error;
      const waitMs = backoffMs(failures++, backoff, random);
      onLost(error, waitMs);
      await clock.sleep(waitMs, signal);
    }
  }
}

/** Where each container was reached, as a request says it. */
function positionsOf(places: ReadonlyMap<string, LogPlace>): LogPosition[] {
  return [...places].map(([containerId, { position }]) => ({ containerId, ...position }));
}

function note(places: Map<string, LogPlace>, { entries, sources }: LogMessage): void {
  for (const { containerId, position } of sources) {
    if (position !== undefined && position.time !== '') {
      const { time, lines } = position;
      places.set(containerId, new LogPlace({ time, lines }));
    }
  }
  for (const { containerId, time } of entries) {
    const place = places.get(containerId) ?? new LogPlace({ time: '', lines: 0 });
    place.add(time);
    places.set(containerId, place);
  }
}

/** A limit that is reached does not go away by itself. */
function mayPass(error: unknown): boolean {
  const isExhausted = error instanceof FairleadError && error.code === Status.RESOURCE_EXHAUSTED;
  return isTransient(error) && !isExhausted;
}
