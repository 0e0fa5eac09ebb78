import type { Clock } from '../../shared/clock.ts';

/** One that takes long to hear it holds up the others for a moment only. */
const turnMs = 50;

export interface TurnsOptions {
  /** So many have a turn at a time. */
  readonly atOnce: number;
  readonly clock: Clock;
}

/**
 * Lets a few sessions at a time say their first and largest thing. A crowd that comes back at once would have all of
 * them in memory together, and what that takes is never all given back.
 */
export class SessionTurns {
  readonly #clock: Clock;
  readonly #waiting = new Set<Turn>();
  #free: number;

  constructor({ atOnce, clock }: TurnsOptions) {
    this.#free = atOnce;
    this.#clock = clock;
  }

  /** Calls `start` when it is its turn, at once if it is now. Dispose the result when it is over, or not wanted. */
  take(start: () => void): Disposable {
    const turn = new Turn(start, {
      waiting: this.#waiting,
      giveBack: () => {
        this.#giveBack();
      },
    });
    this.#waiting.add(turn);
    if (this.#free > 0) this.#begin(turn);
    return turn;
  }

  #begin(turn: Turn): void {
    this.#free--;
    this.#waiting.delete(turn);
    turn.begin(this.#clock);
  }

  #giveBack(): void {
    this.#free++;
    const [next] = this.#waiting;
    if (next !== undefined) this.#begin(next);
  }
}

/** What a turn is taken from. */
interface Line {
  readonly waiting: Set<Turn>;
  readonly giveBack: () => void;
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

  begin(clock: Clock): void {
    this.#limit = clock.after(turnMs, () => {
      this.#end();
    });
    this.#start();
  }

  [Symbol.dispose](): void {
    if (this.#line.waiting.delete(this)) return;
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
