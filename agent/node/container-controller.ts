import { setImmediate as nextTurn } from 'node:timers/promises';
import { ChildController } from '../../shared/abort.ts';
import type { Clock } from '../../shared/clock.ts';
import type { ContainerId } from '../../shared/ids.ts';
import type { Logger } from '../../shared/logger.ts';
import type { Random } from '../../shared/random.ts';
import { backoffMs } from '../../shared/retry.ts';
import { Wakeup } from '../../shared/wakeup.ts';
import { advance, afterEnd, type Action, type Step, type View, type Work } from './advance.ts';
import type { ContainerWork, Outcome } from './container-work.ts';
import {
  EngineUnreachableError,
  type ContainerEngine,
  type ContainerEvent,
  type EngineContainer,
} from './docker/engine.ts';
import type { ProcessExit } from './docker/exit-events.ts';
import { EndWatch, lives } from './end-watch.ts';
import { FailureWatch, type FailureWatchDeps } from './failure-watch.ts';
import type { Assignment, ContainerStatus } from './model.ts';
import { LivenessWatch } from './liveness-watch.ts';
import type { Probe } from './probe.ts';
import type { WatchEnd } from './process-ends.ts';
import { ReadinessWatch } from './readiness-watch.ts';
import { RestartPatience } from './restart-patience.ts';
import { StatusLog } from './status-log.ts';

export interface ControllerDeps extends FailureWatchDeps {
  readonly engine: ContainerEngine;
  readonly work: ContainerWork;
  readonly probe: Probe;
  /** Sees the ends of processes before the engine tells. */
  readonly watchEnd: WatchEnd;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly report: (status: ContainerStatus) => void;
  /** Address that ports bound to all addresses are checked at. */
  readonly advertiseAddress: string;
}

const backoff = { minMs: 200, maxMs: 10_000 };

/**
 * How long after a change there is nothing done that can wait: the balancers are told meanwhile, and the
 * engine takes down the network of a container whose process ended.
 */
const quietMs = 30;
/** How long after an end by containerd the engine may take to tell of it, some 40 ms as a rule. */
const untilToldMs = 1_000;

/**
 * Takes one container to its wanted state: observe, advance, act, until nothing is left to do; then
 * again whenever something may have changed.
 */
export class ContainerController {
  readonly #deps: ControllerDeps;
  readonly #containerId: ContainerId;
  readonly #wakeup = new Wakeup();
  readonly #readiness: ReadinessWatch;
  readonly #liveness: LivenessWatch;
  readonly #patience: RestartPatience;
  readonly #ends: EndWatch;
  readonly #log: StatusLog;
  readonly #failures: FailureWatch;
  #assignment: Assignment | undefined;
  /** That of its definition, once that is known. */
  #environment: Readonly<Record<string, string>> | undefined;
  /** It was ready since this agent started, or may have been before. */
  #wasReady: boolean;
  #engine: EngineContainer | undefined;
  /** The engine's id of what was made just now and was not looked at yet. */
  #made: string | undefined;
  #seen = false;
  #image: View['image'] = 'unknown';
  #failure = '';
  #trouble = '';
  #last: ContainerStatus | undefined;
  /** Counts the events but for starts: what was inspected before the last one is out of date. */
  #events = 0;
  /** Counts the starts: what was inspected before the last one is out of date unless it has it already. */
  #starts = 0;
  /** Those before the last look. */
  #eventsSeen = 0;
  /** A report was made and may not have gone out yet. */
  #hasJustReported = false;
  /** The last end of a process that the engine may not know of yet. */
  #exit: ProcessExit | undefined;
  /** The process ended: how long the engine is to be left alone, unless it has news. */
  #restMs = 0;
  /** The load balancers have drained this process, which lives no more. */
  #isDrained = false;
  /** What the end of a process brings about, in a moment. */
  #afterwards: Disposable | undefined;
  /** Its process was told to end so that it starts again: until it does, it may return. */
  #isRestarting = false;
  /** Aborts when the container is no longer wanted to run, while work on that is under way. */
  #wish: ChildController | undefined;

  /** With the engine container, if there is one already. */
  constructor(deps: ControllerDeps, containerId: ContainerId, adopted?: EngineContainer) {
    this.#deps = deps;
    this.#containerId = containerId;
    this.#patience = new RestartPatience(deps.clock);
    this.#log = new StatusLog(deps, quietMs);
    this.#ends = new EndWatch(deps, () => void this.#report());
    this.#failures = new FailureWatch(deps, containerId, () => this.#environment);
    this.#wasReady = adopted !== undefined;
    this.#readiness = new ReadinessWatch(deps, deps.advertiseAddress, () => {
      this.#decide();
    });
    this.#liveness = new LivenessWatch(deps, () => {
      this.#decide();
      this.#wakeup.notify();
    });
    if (adopted !== undefined) {
      this.#accept(adopted);
      this.#decide();
    }
  }

  /** True: the engine has nothing of it, as far as is known, and nothing is being done about it. */
  get isGone(): boolean {
    return this.#engine === undefined && this.#wish === undefined;
  }

  /** Undefined while the engine has nothing of it, as far as is known. */
  get engineId(): string | undefined {
    return this.#engine?.engineId;
  }

  /** Says what is wanted; undefined says that nothing is: then the container is watched, no more. */
  assign(assignment: Assignment | undefined): void {
    this.#assignment = assignment;
    this.#environment = assignment?.definition?.environment ?? this.#environment;
    // Said of this process: the next one that lives no more is drained anew.
    if (assignment?.drained === true) this.#isDrained = this.#liveness.message !== '';
    if (assignment?.wanted !== 'running') this.#wish?.abort();
    this.#wakeup.notify();
  }

  /** Says that the engine is back, with whatever it did not restart before. */
  engineReturned(): void {
    this.#patience.engineReturned();
    this.#wakeup.notify();
  }

  /** Takes an event; the end of the process is reported at once, before the engine is asked. */
  handle(event: ContainerEvent): void {
    const known = this.#engine;
    if (known !== undefined && known.engineId !== event.engineId) return;
    if (event.kind === 'started') {
      this.#starts++;
      this.handleStart();
      return;
    }
    this.#events++;
    if (event.kind === 'signalled') this.#patience.signalled(event.signalNumber);
    // News of anything else is looked at now, however short a time after an end.
    this.#restMs = 0;
    if (event.kind === 'ended' && known !== undefined) {
      this.#accept(afterEnd(known, event));
      this.#restMs = quietMs;
      this.#decide();
    }
    this.#wakeup.notify();
  }

  /** Takes the end of its process before the engine tells of it, and reports it at once. */
  handleExit(exit: ProcessExit): void {
    const known = this.#engine;
    if (known?.pid !== exit.pid) return;
    this.#exit = exit;
    const isTold = this.#ends.hasEnded(known);
    this.#accept(known);
    this.#restMs = untilToldMs;
    if (!isTold) this.#report();
    // Those who are told of it come first, on this host too: all else that an end brings about can wait.
    this.#afterwards ??= this.#deps.clock.after(quietMs, () => {
      this.#afterwards = undefined;
      this.#decide();
      this.#wakeup.notify();
    });
  }

  /**
   * Takes the start of its process before the engine tells of it. An engine that is asked now answers at the moment
   * that it is done with it; asked when it tells, it would be asked after.
   */
  handleStart(): void {
    if (lives(this.#engine)) return;
    this.#restMs = 0;
    this.#wakeup.notify();
  }

  /** Runs until the signal aborts, and leaves the engine container as it is then. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, random, log } = this.#deps;
    let failures = 0;
    while (!signal.aborted) {
      try {
        await this.#settle(signal);
        failures = 0;
        await this.#wakeup.wait(signal);
      } catch (error) {
        if (signal.aborted) break;
        const waitMs = backoffMs(failures++, backoff, () => random.fraction());
        // That the engine is away is logged once, by who watches it.
        if (!(error instanceof EngineUnreachableError)) {
          log.error({ ...this.#logFields(), err: error, retryInMs: waitMs }, 'container is stuck');
        }
        await this.#wakeup.waitFor(waitMs, clock, signal);
      }
    }
    this.#afterwards?.[Symbol.dispose]();
    this.#ends[Symbol.dispose]();
    await Promise.all([this.#readiness.stop(), this.#liveness.stop(), this.#failures.stop()]);
    this.#log.writeNow();
  }

  async #settle(signal: AbortSignal): Promise<void> {
    let refusals = 0;
    let isAsSeen = false;
    for (;;) {
      await this.#letReportGo();
      await this.#letEngineTidy(signal);
      if (!isAsSeen || this.#events !== this.#eventsSeen) await this.#observe(signal);
      const action = this.#decide();
      if (action === 'none') return;
      if (action === 'wait') {
        if (this.#patience.isInDoubt && (await this.#deps.engine.takesConnections(signal))) {
          this.#patience.engineGoesOn();
        }
        await this.#wakeup.waitFor(this.#waitMs(), this.#deps.clock, signal);
        continue;
      }
      const outcome = await this.#act(action, signal);
      isAsSeen = action === 'find-image';
      if (outcome.kind !== 'refused') continue;
      await this.#note(action, outcome.message, signal);
      if (this.#trouble !== '') {
        const waitMs = backoffMs(refusals++, backoff, () => this.#deps.random.fraction());
        await this.#wakeup.waitFor(waitMs, this.#deps.clock, signal);
      }
    }
  }

  /** Streams write at the end of a turn of the event loop; asking the engine before would hold them up. */
  async #letReportGo(): Promise<void> {
    if (!this.#hasJustReported) return;
    this.#hasJustReported = false;
    await nextTurn();
  }

  /**
   * Returns sooner if there is news: the engine restarts what it restarts within some 100 ms, and answers no
   * question about it meanwhile.
   */
  async #letEngineTidy(signal: AbortSignal): Promise<void> {
    while (this.#restMs > 0 && !signal.aborted) {
      const restMs = this.#restMs;
      this.#restMs = 0;
      await this.#wakeup.waitFor(restMs, this.#deps.clock, signal);
    }
  }

  async #observe(signal: AbortSignal): Promise<void> {
    for (;;) {
      const [events, starts] = [this.#events, this.#starts];
      // What happened until now is seen by this look.
      this.#wakeup.forget();
      const found = await this.#look(signal);
      if (events !== this.#events || (starts !== this.#starts && !lives(found))) continue;
      this.#eventsSeen = events;
      this.#wakeup.forget();
      this.#accept(found);
      return;
    }
  }

  async #look(signal: AbortSignal): Promise<EngineContainer | undefined> {
    const { engine } = this.#deps;
    const known = this.#engine?.engineId ?? this.#made;
    this.#made = undefined;
    const found = known === undefined ? undefined : await engine.inspect(known, signal);
    // One that was known and is gone is gone; another of its labels would be told by an event.
    return (
      found ?? (this.#engine === undefined ? engine.find(this.#containerId, signal) : undefined)
    );
  }

  #accept(found: EngineContainer | undefined): void {
    // The engine says for some time yet that a process runs which has ended.
    const exit = this.#exit;
    const isStale = found !== undefined && exit !== undefined && found.pid === exit.pid;
    const engine = isStale ? afterEnd(found, exit) : found;
    this.#engine = engine;
    if (engine !== undefined) this.#seen = true;
    this.#patience.follow(engine);
    this.#ends.follow(engine);
  }

  /** Finds the next action, and reports what the container is now. */
  #decide(): Action {
    const definition = this.#assignment?.definition;
    const wanted = this.#assignment?.wanted ?? 'unassigned';
    const isWanted = wanted === 'running';
    this.#readiness.follow(this.#engine, isWanted ? definition?.readiness : undefined);
    this.#liveness.follow(this.#engine, isWanted ? definition?.liveness : undefined);
    if (this.#liveness.message === '') this.#isDrained = false;
    const action = this.#report();
    this.#noteFailure(isWanted);
    this.#log.writeSoon();
    return action;
  }

  /** Reports what the container is now, and nothing more; returns the next action. */
  #report(): Action {
    const { action, status } = this.#step();
    if (status !== undefined) this.#publish(status);
    return action;
  }

  /** What is next, and what the container is now, from all that is known. */
  #step(): Step {
    const definition = this.#assignment?.definition;
    return advance({
      containerId: this.#containerId,
      name: this.#name(),
      wanted: this.#assignment?.wanted ?? 'unassigned',
      hasDefinition: definition !== undefined,
      engine: this.#engine,
      seen: this.#seen,
      image: this.#image,
      failure: this.#failure,
      trouble: this.#trouble,
      mayReturn: this.#isRestarting || this.#patience.leftMs() > 0,
      hasJustEnded: this.#ends.hasEnded(this.#engine),
      readiness: this.#readiness.state,
      readinessMessage: this.#readiness.message,
      livenessMessage: this.#liveness.message,
      mayRestart: this.#drainLeftMs() === 0,
      last: this.#last,
    });
  }

  #noteFailure(isWanted: boolean): void {
    this.#wasReady ||= this.#readiness.state === 'ready';
    const mayReturn = this.#isRestarting || this.#patience.leftMs() > 0;
    const isOver = this.#engine?.state === 'restarting' ? !this.#isRestarting : !mayReturn;
    this.#failures.follow(this.#engine, isWanted && isOver);
  }

  /** How long the load balancers may yet take to drain it; 0 once they have. */
  #drainLeftMs(): number {
    if (this.#isDrained || this.#liveness.message === '') return 0;
    const timeoutMs = this.#assignment?.definition?.drainTimeoutMs ?? 0;
    return Math.max(0, timeoutMs - this.#liveness.sinceMs());
  }

  #waitMs(): number {
    return Math.max(this.#drainLeftMs(), this.#patience.leftMs());
  }

  /** As the coordinator calls it, else as its label says. */
  #name(): string {
    return (
      this.#assignment?.definition?.name ?? this.#engine?.identity.name ?? this.#last?.name ?? ''
    );
  }

  #publish(status: ContainerStatus): void {
    const isNews = status.phase !== this.#last?.phase;
    this.#last = status;
    this.#deps.report(status);
    this.#hasJustReported = true;
    this.#log.note(status, isNews);
  }

  async #act(action: Work, signal: AbortSignal): Promise<Outcome> {
    const subject = {
      containerId: this.#containerId,
      definition: this.#assignment?.definition,
      engine: this.#engine,
    };
    using wish = new ChildController(signal);
    this.#wish = wish;
    this.#isRestarting = action === 'restart';
    try {
      if (action === 'stop' || action === 'remove') await this.#hearItOut();
      const outcome = await this.#deps.work.perform(action, subject, wish.signal, signal);
      if (outcome.kind === 'image') this.#image = outcome.isPresent ? 'present' : 'missing';
      if (outcome.kind === 'made') this.#made = outcome.engineId;
      if (outcome.kind !== 'refused') this.#trouble = '';
      return outcome;
    } catch (error) {
      if (wish.signal.aborted && !signal.aborted) return { kind: 'done' };
      throw error;
    } finally {
      this.#wish = undefined;
      this.#isRestarting = false;
    }
  }

  /** What it wrote is read before it is lost; one that worked, and is no longer needed, is not asked. */
  async #hearItOut(): Promise<void> {
    const neverReady = this.#assignment?.wanted === 'removed' && !this.#wasReady;
    await this.#failures.beforeLoss(this.#engine, { neverReady });
  }

  /** On the way up a refusal is the end of this container; on the way down it is tried again. */
  async #note(action: Work, message: string, signal: AbortSignal): Promise<void> {
    if (action === 'stop' || action === 'remove' || action === 'restart') {
      this.#trouble = message;
      this.#decide();
      return;
    }
    // An engine that goes down refuses much: only one that lives on has said its last word.
    await this.#deps.engine.ping(signal);
    this.#failure = message;
  }

  #logFields(): Record<string, unknown> {
    return {
      containerId: this.#containerId,
      name: this.#last?.name,
      engineId: this.#engine?.engineId.slice(0, 12),
    };
  }
}
