import type { Clock } from '../../shared/clock.ts';
import type { EngineContainer } from './docker/engine.ts';

/** An engine that shuts down gives its containers 15 seconds if nobody says otherwise. */
const shutdownMs = 20_000;
/** Between the two halves of a `docker restart`, which lie a fraction of a second apart. */
const restartByHandMs = 3_000;
/** Docker waits up to a minute before it restarts what ends again and again; some it never does. */
const restartMs = 90_000;
const killSignal = 9;

/** How long a process that ended may yet be restarted by the engine. */
export class RestartPatience {
  readonly #clock: Clock;
  #engine: EngineContainer | undefined;
  /** The engine told the process to end, without force: as somebody asked, or as it shuts down. */
  #isToldToEnd = false;
  /** It was somebody who asked: the engine is not shutting down. */
  #isByHand = false;
  /** When the process was first seen to have ended, on the monotonic clock. */
  #endedAtMs: number | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The engine sent the process a signal: by force first if somebody asked for that, else last. */
  signalled(signalNumber: number): void {
    if (signalNumber !== killSignal) this.#isToldToEnd = true;
  }

  /** The engine was away and is back: what it did not restart by now, it will not. */
  engineReturned(): void {
    this.#isToldToEnd = false;
  }

  /** Whether it matters, and is not known, that the engine is shutting down. */
  get isInDoubt(): boolean {
    return this.#engine?.state === 'ended' && this.#mayBeShutdown() && !this.#isByHand;
  }

  /** The engine does not shut down: somebody told the process to end, and may start it again. */
  engineGoesOn(): void {
    this.#isByHand = true;
  }

  follow(engine: EngineContainer | undefined): void {
    if (engine?.startedAt?.getTime() !== this.#engine?.startedAt?.getTime()) {
      this.#isToldToEnd = false;
      this.#isByHand = false;
      this.#endedAtMs = undefined;
    }
    this.#engine = engine;
    const hasEnded = engine?.state === 'ended' || engine?.state === 'restarting';
    if (hasEnded) this.#endedAtMs ??= this.#clock.monotonic();
    else this.#endedAtMs = undefined;
  }

  /** 0: it is not restarted any more, or it runs. */
  leftMs(): number {
    if (this.#endedAtMs === undefined) return 0;
    return Math.max(0, this.#endedAtMs + this.#limitMs() - this.#clock.monotonic());
  }

  #limitMs(): number {
    if (this.#engine?.state === 'restarting') return restartMs;
    if (!this.#mayBeShutdown()) return 0;
    return this.#isByHand ? restartByHandMs : shutdownMs;
  }

  #mayBeShutdown(): boolean {
    return this.#isToldToEnd && this.#engine?.restartPolicy === 'always';
  }
}
