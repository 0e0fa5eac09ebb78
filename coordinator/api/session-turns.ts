import type { Clock } from '../../shared/clock.ts';
import type { Crowd } from './handshakes.ts';

/** One that takes long to hear it holds up the others for a moment only. */
const turnMs = 50;
/** So long those who were welcomed wait for a crowd at the most; agents that have no pings hang up after 3 s. */
const crowdMs = 2_000;

export interface TurnsOptions {
  /** So many have a turn at a time. */
  readonly atOnce: number;
  readonly clock: Clock;
  /** Of those who are not welcomed yet. */
  readonly crowd: Crowd;
}

/**
 * Lets a few sessions at a time say their first and largest thing. A crowd that comes back at once would have all of
 * them in memory together, and what that takes is never all given back.
 *
 * Welcomes go first: a session that stands can wait, and has nearly always nothing new to say, where those in a crowd
 * give up one day and dial anew.
 */
export class SessionTurns {
  readonly #clock: Clock;
  readonly #crowd: Crowd;
  readonly #waiting = new Set<Turn>();
  #free: number;
  /** Of the first in line, while there is a crowd. */
  #patience: Disposable | null = null;

  constructor({ atOnce, clock, crowd }: TurnsOptions) {
    this.#free = atOnce;
    this.#clock = clock;
    this.#crowd = crowd;
    crowd.subscribe(() => {
      this.#beginNext();
    });
  }

  /** Calls `start` when it is its turn, at once if it is now. Dispose the result when it is over, or not wanted. */
  take(start: () => void): Disposable {
    const turn = new Turn(start, {
      waiting: this.#waiting,
      sinceMs: this.#clock.monotonic(),
      giveBack: () => {
        this.#free++;
        this.#beginNext();
      },
      left: () => {
        if (this.#waiting.size === 0) this.#stopPatience();
      },
    });
    this.#waiting.add(turn);
    this.#beginNext();
    return turn;
  }

  /** Begins as many as there are places for, in their order. */
  #beginNext(): void {
    for (const turn of this.#waiting) {
      if (this.#free === 0 || this.#mustWait(turn)) return;
      this.#free--;
      this.#waiting.delete(turn);
      turn.begin(this.#clock);
    }
    this.#stopPatience();
  }

  #mustWait({ sinceMs }: Turn): boolean {
    const leftMs = sinceMs + crowdMs - this.#clock.monotonic();
    if (!this.#crowd.isThere || leftMs <= 0) return false;
    this.#patience ??= this.#clock.after(Math.ceil(leftMs), () => {
      this.#patience = null;
      this.#beginNext();
    });
    return true;
  }

  #stopPatience(): void {
    this.#patience?.[Symbol.dispose]();
    this.#patience = null;
  }
}

/** What a turn is taken from. */
interface Line {
  readonly waiting: Set<Turn>;
  /** When it was entered, on the monotonic clock. */
  readonly sinceMs: number;
  readonly giveBack: () => void;
  /** It was left without a turn. */
  readonly left: () => void;
}

class Turn implements Disposable {
  readonly #start: () => void;
  readonly #line: Line;
  #limit: Disposable | undefined;
  #isOver = false;

  constructor(start: () => void, line: Line) {
    this.#start = start;
    this.#line = line;
  }

  get sinceMs(): number {
    return this.#line.sinceMs;
  }

  begin(clock: Clock): void {
    this.#limit = clock.after(turnMs, () => {
      this.#end();
    });
    this.#start();
  }

  [Symbol.dispose](): void {
    if (this.#line.waiting.delete(this)) {
      this.#line.left();
      return;
    }
    this.#limit?.[Symbol.dispose]();
    // Not before all else was heard that has come in meanwhile: a crowd's would follow each other without a gap.
    setImmediate(() => {
      this.#end();
    });
  }

  #end(): void {
    if (!this.#isOver) this.#line.giveBack();
    this.#isOver = true;
  }
}
