import type { ContainerId } from '../../shared/ids.ts';
import type { Work } from './advance.ts';
import { createOptionsOf, engineNameOf, type NodePlacement } from './docker/container-options.ts';
import { EngineRefusedError, type ContainerEngine, type EngineContainer } from './docker/engine.ts';
import type { Images } from './images.ts';
import type { Limiter } from '../../shared/limiter.ts';
import type { ContainerDefinition } from './model.ts';

export interface ContainerWorkDeps {
  readonly engine: ContainerEngine;
  readonly images: Images;
  /** Places for creating and starting: more at the same time make an engine slower, not faster. */
  readonly starts: Limiter;
  readonly placement: NodePlacement;
}

/** What work is done on. */
export interface Subject {
  readonly containerId: ContainerId;
  readonly definition: ContainerDefinition | undefined;
  readonly engine: EngineContainer | undefined;
}

/** What work came to; what became of the engine container is found out by looking. */
export type Outcome =
  | { readonly kind: 'done' }
  /** Its engine container was made, and told to start. */
  | { readonly kind: 'made'; readonly engineId: string }
  | { readonly kind: 'image'; readonly isPresent: boolean }
  /** The engine will not: with its words, made into a sentence about the container. */
  | { readonly kind: 'refused'; readonly message: string };

/** Grace of a container whose definition is not known. */
const defaultGraceMs = 10_000;

const done: Outcome = { kind: 'done' };

/** Carries out one action on one container; throws if the engine cannot be reached. */
export class ContainerWork {
  readonly #deps: ContainerWorkDeps;

  constructor(deps: ContainerWorkDeps) {
    this.#deps = deps;
  }

  /**
   * Both signals end the work: `wish` aborts when the container is no longer wanted to run, and ends only
   * what leaves nothing half-done.
   */
  async perform(
    action: Work,
    subject: Subject,
    wish: AbortSignal,
    signal: AbortSignal,
  ): Promise<Outcome> {
    switch (action) {
      case 'find-image':
        return await this.#findImage(subject, wish);
      case 'pull':
        return await this.#pull(subject, wish);
      case 'create':
        return await this.#create(subject, wish, signal);
      case 'start':
        return await this.#start(subject, wish, signal);
      case 'restart':
        return await this.#restart(subject, signal);
      case 'stop':
        return await this.#stop(subject, signal);
      case 'remove':
        return await this.#remove(subject, signal);
    }
  }

  async #findImage({ definition }: Subject, wish: AbortSignal): Promise<Outcome> {
    if (definition === undefined) return done;
    const { image } = definition;
    return await orRefusal(
      async () => ({ kind: 'image', isPresent: await this.#deps.images.has(image, wish) }),
      (words) => `image "${image}" cannot be looked for: ${words}`,
    );
  }

  async #pull({ definition }: Subject, wish: AbortSignal): Promise<Outcome> {
    if (definition === undefined) return done;
    const { image } = definition;
    return await orRefusal(
      async () => {
        await this.#deps.images.pull(image, wish);
        return { kind: 'image', isPresent: true };
      },
      (words) => `image "${image}" is not on this node and cannot be pulled: ${words}`,
    );
  }

  /** Creates and starts in one go, on one place; an agent that dies between finds it created. */
  async #create(subject: Subject, wish: AbortSignal, signal: AbortSignal): Promise<Outcome> {
    const { containerId, definition } = subject;
    if (definition === undefined) return done;
    const { engine, starts, placement } = this.#deps;
    const name = engineNameOf(definition.name, containerId);
    const options = createOptionsOf(containerId, definition, placement);
    using _place = await starts.acquire(wish);
    let engineId: string;
    try {
      engineId = await engine.create(name, options, signal);
    } catch (error) {
      if (!(error instanceof EngineRefusedError)) throw error;
      const isOurs =
        error.kind === 'conflict' && (await engine.find(containerId, signal)) !== undefined;
      return isOurs ? done : { kind: 'refused', message: `cannot be created: ${error.message}` };
    }
    const started = await this.#startNow(engineId, signal);
    return started.kind === 'done' ? { kind: 'made', engineId } : started;
  }

  async #start({ engine }: Subject, wish: AbortSignal, signal: AbortSignal): Promise<Outcome> {
    if (engine === undefined) return done;
    using _place = await this.#deps.starts.acquire(wish);
    return await this.#startNow(engine.engineId, signal);
  }

  async #startNow(engineId: string, signal: AbortSignal): Promise<Outcome> {
    return await orRefusal(
      async () => {
        await this.#deps.engine.start(engineId, signal);
        return done;
      },
      (words) => `cannot be started: ${words}`,
    );
  }

  /** Not cut short by another wish: what is wanted then begins with a container that runs. */
  async #restart({ engine, definition }: Subject, signal: AbortSignal): Promise<Outcome> {
    if (engine === undefined) return done;
    using _place = await this.#deps.starts.acquire(signal);
    return await orRefusal(
      async () => {
        const graceMs = definition?.stopGraceMs ?? defaultGraceMs;
        await this.#deps.engine.restart(engine.engineId, graceMs, signal);
        return done;
      },
      (words) => `cannot be restarted: ${words}`,
    );
  }

  async #stop({ engine, definition }: Subject, signal: AbortSignal): Promise<Outcome> {
    if (engine === undefined) return done;
    return await orRefusal(
      async () => {
        const graceMs = definition?.stopGraceMs ?? defaultGraceMs;
        await this.#deps.engine.stop(engine.engineId, graceMs, signal);
        return done;
      },
      (words) => `cannot be stopped: ${words}`,
    );
  }

  async #remove({ engine }: Subject, signal: AbortSignal): Promise<Outcome> {
    if (engine === undefined) return done;
    return await orRefusal(
      async () => {
        await this.#deps.engine.remove(engine.engineId, signal);
        return done;
      },
      (words) => `cannot be removed: ${words}`,
    );
  }
}

async function orRefusal(
  work: () => Promise<Outcome>,
  message: (words: string) => string,
): Promise<Outcome> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof EngineRefusedError)) throw error;
    return { kind: 'refused', message: message(error.message) };
  }
}
