import { ChildController } from '../../../shared/abort.ts';
import type { Clock } from '../../../shared/clock.ts';
import { messageOf } from '../../../shared/errors.ts';
import type { Random } from '../../../shared/random.ts';
import { backoffMs } from '../../../shared/retry.ts';
import type { ContainerEngine, ContainerEvent, EngineContainer, EngineInfo } from './engine.ts';

/** What there is to know of the engine, in order. */
export type EngineChange =
  /** The engine answers, and this is all it has; begins every presence. */
  | {
      readonly kind: 'present';
      readonly info: EngineInfo;
      readonly containers: readonly EngineContainer[];
    }
  | { readonly kind: 'event'; readonly event: ContainerEvent }
  /** It does not answer; what is known of its containers still holds. */
  | { readonly kind: 'away'; readonly message: string };

export interface WatchDeps {
  readonly engine: ContainerEngine;
  readonly clock: Clock;
  readonly random: Random;
}

const backoff = { minMs: 100, maxMs: 5_000 };
/** An engine that hangs keeps its event stream open: only a question that is not answered tells. */
const pingIntervalMs = 10_000;

/**
 * Follows the engine until the signal aborts, through its absences.
 *
 * Docker forgets events over its own restart, so each presence begins with a complete list; the events
 * are asked for from before the list, so that nothing falls between the two. Hence an event may tell of
 * something that the list has already.
 */
export async function* watchEngine(
  { engine, clock, random }: WatchDeps,
  signal: AbortSignal,
): AsyncGenerator<EngineChange, void, undefined> {
  let failures = 0;
  let knownMs: number | undefined;
  while (!signal.aborted) {
    using presence = new ChildController(signal);
    try {
      const info = await engine.connect(presence.signal);
      knownMs ??= info.nowMs;
      const events = await engine.events(knownMs, presence.signal);
      const containers = await engine.list(presence.signal);
      failures = 0;
      yield { kind: 'present', info, containers };
      void endWhenSilent(engine, clock, presence);
      for await (const event of events) {
        knownMs = Math.max(knownMs, event.atMs);
        yield { kind: 'event', event };
      }
    } catch (error) {
      if (signal.aborted) return;
      const reason: unknown = presence.signal.aborted ? presence.signal.reason : error;
      yield { kind: 'away', message: messageOf(reason) };
    }
    await clock.sleep(
      backoffMs(failures++, backoff, () => random.fraction()),
      signal,
    );
  }
}

/** Ends a presence when the engine does not answer. */
async function endWhenSilent(
  engine: ContainerEngine,
  clock: Clock,
  presence: ChildController,
): Promise<void> {
  while (!presence.signal.aborted) {
    await clock.sleep(pingIntervalMs, presence.signal);
    try {
      await engine.ping(presence.signal);
    } catch (error) {
      presence.abort(error);
    }
  }
}
