import type { Clock } from '../../shared/clock.ts';
import type { Random } from '../../shared/random.ts';
import { keepRunning } from '../../shared/retry.ts';

/** The volumes of an engine. */
export interface EngineVolumes {
  /** Names of those that were given one. */
  volumes(signal: AbortSignal): Promise<string[]>;
  /** Yields whenever one was made or removed; throws when the engine ends it. */
  volumeChanges(signal: AbortSignal): Promise<AsyncIterable<unknown>>;
}

export interface VolumeWatchDeps {
  readonly engine: EngineVolumes;
  readonly clock: Clock;
  readonly random: Random;
  /** Told of all names, sorted, whenever they may have changed. */
  readonly onVolumes: (names: readonly string[]) => void;
}

const backoff = { minMs: 500, maxMs: 10_000 };

/** Keeps the coordinator told of the engine's named volumes: they decide where containers may go. */
export async function watchVolumes(
  { engine, clock, random, onVolumes }: VolumeWatchDeps,
  signal: AbortSignal,
): Promise<void> {
  const follow = async (until: AbortSignal): Promise<void> => {
    // From before the list, so that nothing falls between the two.
    const changes = await engine.volumeChanges(until);
    const tell = async (): Promise<void> => {
      onVolumes((await engine.volumes(until)).sort());
    };
    await tell();
    const iterator = changes[Symbol.asyncIterator]();
    while ((await iterator.next()).done !== true) await tell();
    // It ended with the engine, which is not asked again at once.
    await clock.sleep(backoff.minMs, until);
  };
  // That the engine is away is said by who follows its containers.
  const deps = { clock, random: () => random.fraction(), onFailure: () => undefined };
  await keepRunning(follow, backoff, deps, signal);
}
