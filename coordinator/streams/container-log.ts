import { abortable } from '../../shared/abort.ts';
import type { Clock } from '../../shared/clock.ts';
import { DomainError, messageOf } from '../../shared/errors.ts';
import type { ContainerId, NodeId } from '../../shared/ids.ts';
import { LogPlace, type LogPosition } from '../../shared/log-place.ts';
import type { Wakeup } from '../../shared/wakeup.ts';
import type { LogNews, LogRange } from './log-line.ts';
import type { StreamOpener, StreamReport } from './node-streams.ts';

/**
 * Where a container stands as seen by who reads its log: it has none yet, it may yet write, it will write no
 * more, its record is gone.
 */
export type LogStanding =
  | { readonly kind: 'not-begun'; readonly why: string }
  | {
      readonly kind: 'running' | 'over';
      readonly nodeId: NodeId;
      /** Why its node cannot be asked; empty: it can. */
      readonly away: string;
      /** It will be known soon whether the node comes back. */
      readonly mayReturn: boolean;
    }
  | { readonly kind: 'gone' };

export interface ContainerLogDeps {
  readonly streams: StreamOpener;
  readonly clock: Clock;
  readonly standing: (id: ContainerId) => LogStanding;
  /** Notified when its standing may have changed. */
  readonly wakeup: Wakeup;
}

/** Waits between looks while nothing is heard: what is lost in between costs no more than this. */
const lookMs = 1_000;
/** A log that is not followed is asked for anew so many times when the connection breaks. */
const maxBreaks = 5;
const breakMs = 250;

const nowhere: LogPosition = { time: '', lines: 0 };

/** Something keeps a log from being read, now or ever. */
interface Obstacle {
  readonly why: string;
  readonly passes: 'soon' | 'some-time' | 'never';
}

/** How the reading of one stream ended. */
type Ending = 'end' | 'missing' | 'broken' | Obstacle;

/**
 * The log of one container, over the restarts of its process, of its agent and of its engine: whatever ends
 * the stream that it comes on, it is asked for again from the place that it was read to.
 */
export class ContainerLog {
  readonly #id: ContainerId;
  readonly #range: LogRange;
  readonly #deps: ContainerLogDeps;
  #place: LogPlace;
  #known: LogPosition | null;
  #breaks = 0;
  #isWaiting = false;

  constructor(
    id: ContainerId,
    options: { readonly range: LogRange; readonly after: LogPosition | null },
    deps: ContainerLogDeps,
  ) {
    this.#id = id;
    this.#range = options.range;
    this.#deps = deps;
    this.#known = options.after;
    this.#place = new LogPlace(options.after ?? nowhere);
  }

  /** What comes, until the log is over; rejects only when the signal aborts. */
  async *read(signal: AbortSignal): AsyncGenerator<LogNews> {
    for (;;) {
      const standing = this.#deps.standing(this.#id);
      if (standing.kind === 'gone') break;
      const end =
        standing.kind === 'not-begun' || standing.away !== ''
          ? obstacleOf(standing)
          : yield* this.#readOnce(standing.nodeId, signal);
      const verdict = this.#judge(end);
      if (verdict === 'over') break;
      if (verdict !== 'again') {
        yield { kind: 'failed', why: verdict.why };
        return;
      }
      yield* this.#wait(end, signal);
    }
    yield { kind: 'ended' };
  }

  /** What follows from how a reading ended, or from why there was none. */
  #judge(end: Ending): 'over' | 'again' | { readonly why: string } {
    const { follow } = this.#range;
    switch (end) {
      case 'end':
      case 'missing':
        return this.#isOver() ? 'over' : 'again';
      case 'broken':
        if (follow || ++this.#breaks <= maxBreaks) return 'again';
        return { why: 'the connection to its node broke again and again' };
      default:
        if (end.passes === 'soon') return 'again';
        return follow && end.passes === 'some-time' ? 'again' : end;
    }
  }

  /** Whether nothing more will be written. */
  #isOver(): boolean {
    return !this.#range.follow || this.#deps.standing(this.#id).kind !== 'running';
  }

  /** Says once why nothing comes, and waits until it may come. */
  async *#wait(end: Ending, signal: AbortSignal): AsyncGenerator<LogNews> {
    const why = typeof end === 'object' && end.passes !== 'soon' ? end.why : '';
    if (!this.#isWaiting && why !== '') {
      this.#isWaiting = true;
      yield { kind: 'waiting', why };
    }
    const { clock, wakeup } = this.#deps;
    if (end === 'broken') await clock.sleep(breakMs, signal);
    else await wakeup.waitFor(lookMs, clock, signal);
    signal.throwIfAborted();
  }

  async *#readOnce(nodeId: NodeId, signal: AbortSignal): AsyncGenerator<LogNews, Ending> {
    const { streams } = this.#deps;
    const order = { ...this.#range, containerId: this.#id, after: this.#known };
    try {
      using stream = await streams.open(nodeId, { kind: 'logs', order }, signal);
      for (;;) {
        const next = await abortable(stream.reports.next(), signal);
        if (next.done === true) return 'broken';
        const ending = yield* this.#take(next.value);
        if (ending !== undefined) return ending;
      }
    } catch (error) {
      signal.throwIfAborted();
      // The node went away meanwhile, or it cannot do it.
      if (!(error instanceof DomainError)) return 'broken';
      const isAway = ['NODE_NOT_CONNECTED', 'NODE_SILENT'].includes(error.reason);
      return { why: messageOf(error), passes: isAway ? 'some-time' : 'never' };
    }
  }

  *#take(report: StreamReport): Generator<LogNews, Ending | undefined> {
    if (report.kind === 'end') return 'end';
    if (report.kind === 'failure') {
      if (report.failure === 'missing') return 'missing';
      return { why: report.message, passes: report.failure === 'refused' ? 'never' : 'some-time' };
    }
    if (this.#isWaiting) {
      this.#isWaiting = false;
      yield { kind: 'reading' };
    }
    this.#breaks = 0;
    if (report.kind === 'lines') {
      for (const { time } of report.lines) this.#place.add(time);
      this.#known = this.#place.position;
      yield report;
    } else if (report.kind === 'caught-up') {
      this.#place = new LogPlace(report.position);
      this.#known = report.position;
      yield report;
    }
    return undefined;
  }
}

function obstacleOf(standing: Exclude<LogStanding, { kind: 'gone' }>): Obstacle {
  if (standing.kind === 'not-begun') return { why: standing.why, passes: 'some-time' };
  return { why: standing.away, passes: standing.mayReturn ? 'soon' : 'some-time' };
}
