import type { Clock } from '../../shared/clock.ts';
import type { EngineContainer } from './docker/engine.ts';
import type { WatchEnd } from './process-ends.ts';

/** After a start there is more urgent work than to prepare for the end. */
const startMs = 30;

export interface EndWatchDeps {
  readonly clock: Pick<Clock, 'after'>;
  readonly watchEnd: WatchEnd;
}

/** Sees the end of the process of one container, from one process to the next. */
export class EndWatch implements Disposable {
  readonly #deps: EndWatchDeps;
  readonly #onEnd: () => void;
  /** The process that is watched, or will be in a moment; 0: none. */
  #pid = 0;
  /** The same once it was seen to have ended. */
  #endedPid = 0;
  #watching: Disposable | undefined;

  constructor(deps: EndWatchDeps, onEnd: () => void) {
    this.#deps = deps;
    this.#onEnd = onEnd;
  }

  /** Whether this process was seen to have ended, although the engine says that it lives. */
  hasEnded(engine: EngineContainer | undefined): boolean {
    const pid = livingPid(engine);
    return pid !== 0 && pid === this.#endedPid;
  }

  /** Takes what the engine has now. */
  follow(engine: EngineContainer | undefined): void {
    const pid = livingPid(engine);
    if (pid === this.#pid) return;
    this.#watching?.[Symbol.dispose]();
    this.#watching = undefined;
    this.#pid = pid;
    // Another one may get the same number.
    this.#endedPid = 0;
    if (engine === undefined || pid === 0) return;
    const { engineId } = engine;
    this.#watching = this.#deps.clock.after(startMs, () => {
      this.#watching = this.#deps.watchEnd({ engineId, pid }, () => {
        this.#endedPid = pid;
        this.#onEnd();
      });
    });
  }

  [Symbol.dispose](): void {
    this.follow(undefined);
  }
}

/** Whether its process lives, as far as the engine knows. */
export function lives(engine: EngineContainer | undefined): engine is EngineContainer {
  return engine?.state === 'running' || engine?.state === 'paused';
}

/** 0: none lives, as far as the engine knows. */
function livingPid(engine: EngineContainer | undefined): number {
  return lives(engine) ? engine.pid : 0;
}
