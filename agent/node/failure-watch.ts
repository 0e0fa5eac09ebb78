import { ChildController } from '../../shared/abort.ts';
import type { Clock } from '../../shared/clock.ts';
import type { ContainerId } from '../../shared/ids.ts';
import type { EngineContainer } from './docker/engine.ts';
import type { LogLine } from './docker/log-lines.ts';
import type { ContainerFailure } from './model.ts';
import type { LogEngine } from './read-log.ts';

export interface FailureWatchDeps {
  readonly logs: LogEngine['logs'];
  readonly clock: Clock;
  readonly failed: (failure: ContainerFailure) => void;
}

/** First the balancers hear of the end, and the engine tidies up. */
const restMs = 250;
/** An engine that restarts it answers only then, just when the balancers are to hear of that. */
const restartMs = 1_000;
/** One that fails again and again is told of no more often. */
const againMs = 10_000;
/** Until it is told without lines: whoever waits for its removal is not to wait for an engine that hangs. */
const limitMs = 10_000;
/** Enough for what is shown, with some that the next process may have written since. */
const tail = 50;
/** Lines are recorded a little after their process has ended; an engine restarts it no sooner than this. */
const slackMs = 100;

/**
 * Notices that a container failed, and tells what it wrote last. The end itself was reported long before:
 * nobody who acts on it waits for this.
 */
export class FailureWatch {
  readonly #deps: FailureWatchDeps;
  readonly #containerId: ContainerId;
  /** Undefined while it is not known: then nothing of the log may be shown. */
  readonly #environment: () => Readonly<Record<string, string>> | undefined;
  readonly #life = new AbortController();
  /** The process that was looked at last. */
  #seen = '';
  #seenAtMs = -Infinity;
  #due: { readonly engine: EngineContainer; readonly hasEnded: boolean } | undefined;
  #timer: Disposable | undefined;
  #reading: Promise<void> = Promise.resolve();

  constructor(
    deps: FailureWatchDeps,
    containerId: ContainerId,
    environment: () => Readonly<Record<string, string>> | undefined,
  ) {
    this.#deps = deps;
    this.#containerId = containerId;
    this.#environment = environment;
  }

  /** Looks at the engine container after a change; `isWanted`: it is to run. */
  follow(engine: EngineContainer | undefined, isWanted: boolean): void {
    if (engine === undefined || !isWanted || engine.exitCode === 0) return;
    const isLast = engine.state === 'ended';
    if (!isLast && engine.state !== 'restarting') return;
    const { clock } = this.#deps;
    if (this.#isSeen(engine) || engine.startedAt === undefined) return;
    if (!isLast && clock.monotonic() - this.#seenAtMs < againMs) return;
    this.#seenAtMs = clock.monotonic();
    this.#due = { engine, hasEnded: true };
    this.#timer?.[Symbol.dispose]();
    this.#timer = clock.after(isLast ? restMs : restartMs, () => {
      this.#begin();
    });
  }

  /** Its log is about to be lost. Resolves when that may be; `neverReady`: it is given up while it runs. */
  async beforeLoss(
    engine: EngineContainer | undefined,
    { neverReady }: { readonly neverReady: boolean },
  ): Promise<void> {
    if (neverReady && engine?.state === 'running' && !this.#isSeen(engine)) {
      this.#due = { engine, hasEnded: false };
    }
    this.#begin();
    await this.#reading;
  }

  /** Resolves when nothing of it is left. */
  async stop(): Promise<void> {
    this.#timer?.[Symbol.dispose]();
    this.#due = undefined;
    this.#life.abort();
    await this.#reading;
  }

  /** Remembers the process; true: it was known. */
  #isSeen({ engineId, startedAt }: EngineContainer): boolean {
    const process = `${engineId} ${startedAt?.getTime() ?? ''}`;
    const isSeen = process === this.#seen;
    this.#seen = process;
    return isSeen;
  }

  #begin(): void {
    this.#timer?.[Symbol.dispose]();
    const due = this.#due;
    if (due === undefined) return;
    this.#due = undefined;
    this.#reading = this.#tell(due.engine, due.hasEnded);
  }

  async #tell(engine: EngineContainer, hasEnded: boolean): Promise<void> {
    const environment = this.#environment();
    const lines = environment === undefined ? [] : await this.#lines(engine, environment);
    if (this.#life.signal.aborted) return;
    this.#deps.failed({
      containerId: this.#containerId,
      exitCode: hasEnded ? engine.exitCode : undefined,
      endedAt: hasEnded ? engine.endedAt : undefined,
      lines,
    });
  }

  /** Never rejects: a log that cannot be read has no lines to show. */
  async #lines(
    engine: EngineContainer,
    environment: Readonly<Record<string, string>>,
  ): Promise<string[]> {
    const { logs, clock } = this.#deps;
    using life = new ChildController(this.#life.signal);
    using _limit = clock.after(limitMs, () => {
      life.abort();
    });
    const query = { follow: false, tail, since: undefined, until: undefined };
    const lines: LogLine[] = [];
    try {
      for await (const batch of logs(engine.engineId, query, life.signal)) lines.push(...batch);
    } catch {
      // The engine has it no more, or does not answer.
    }
    // Of one that is restarted, the next process may have written by now.
    const endedMs = engine.state === 'restarting' ? engine.endedAt?.getTime() : undefined;
    const untilMs = (endedMs ?? Infinity) + slackMs;
    const own = lines.filter(({ time }) => Date.parse(time) <= untilMs);
    return await shown(own, environment);
  }
}

/** Loaded when it is first needed; on its own: TypeScript leaves the `.ts` of an import beside a `using`. */
async function shown(lines: readonly LogLine[], environment: Readonly<Record<string, string>>) {
  const { failureLines } = await import('./failure-lines.ts');
  return failureLines(lines, environment);
}
