import { abortable } from '../../shared/abort.ts';
import type { ContainerEngine } from './docker/engine.ts';

/** A pull that runs, for everybody who waits for the image. */
interface Pull {
  readonly done: Promise<void>;
  readonly controller: AbortController;
  waiting: number;
}

/**
 * Gets images, each once however many containers wait for it: registries count requests. A pull that
 * nobody waits for any more is given up.
 */
export class Images {
  readonly #engine: Pick<ContainerEngine, 'hasImage' | 'pull'>;
  readonly #pulls = new Map<string, Pull>();
  /** Questions that the engine has not answered yet. */
  readonly #asked = new Map<string, Promise<boolean>>();

  constructor(engine: Pick<ContainerEngine, 'hasImage' | 'pull'>) {
    this.#engine = engine;
  }

  /** Whoever asks while the engine is being asked gets the same answer. */
  async has(image: string, signal: AbortSignal): Promise<boolean> {
    const asked = this.#asked.get(image) ?? this.#ask(image);
    return await abortable(asked, signal);
  }

  #ask(image: string): Promise<boolean> {
    // Nobody's wish ends it: others may wait for it, and the engine's own limit does.
    const asked = this.#engine.hasImage(image, new AbortController().signal).finally(() => {
      this.#asked.delete(image);
    });
    this.#asked.set(image, asked);
    // Those who wait hear of it.
    asked.catch(() => undefined);
    return asked;
  }

  async pull(image: string, signal: AbortSignal): Promise<void> {
    const pull = this.#pulls.get(image) ?? this.#begin(image);
    pull.waiting++;
    try {
      await abortable(pull.done, signal);
    } finally {
      pull.waiting--;
      if (pull.waiting === 0) this.#end(image, pull);
    }
  }

  #begin(image: string): Pull {
    const controller = new AbortController();
    const done = this.#engine.pull(image, controller.signal);
    const pull: Pull = { done, controller, waiting: 0 };
    this.#pulls.set(image, pull);
    return pull;
  }

  #end(image: string, pull: Pull): void {
    if (this.#pulls.get(image) === pull) this.#pulls.delete(image);
    pull.controller.abort();
  }
}
