import type { Clock } from '../../shared/clock.ts';

/** Handshakes in progress at a time: as many as fill the waits for the other side, and no more. */
const atOnce = 16;

/** Who takes long to answer holds up the others for a moment only. */
const patienceMs = 100;

/** A connection on which a handshake goes on. */
export interface Handshaking {
  /** Whether it is over. */
  readonly destroyed: boolean;
  once(event: 'secure' | 'close', listener: () => void): unknown;
  off(event: 'secure' | 'close', listener: () => void): Handshaking;
}

/** Many who dial at once. */
export interface Crowd {
  /** Since one had to wait for the others, until the handshakes of all are over. */
  readonly isThere: boolean;
  /** Calls the listener when it is there no more. */
  subscribe(listener: () => void): Disposable;
}

/**
 * Begins handshakes a few at a time.
 *
 * When a crowd dials at once, as all agents do after a restart, the system has all of their first words ready
 * together, and the runtime would answer every one of them before it looks at anything else. That takes seconds
 * for a thousand, and agents hang up when a ping is not answered for two: whoever had a session would dial anew,
 * and none would ever keep one. Those in line have said all they can, so that there is nothing else of theirs to
 * look at, and who has a session is heard.
 */
export class Handshakes implements Crowd {
  readonly #clock: Clock;
  readonly #waiting: { readonly start: () => void; readonly connection: Handshaking }[] = [];
  readonly #listeners = new Set<() => void>();
  #inProgress = 0;
  #isThere = false;

  constructor({ clock }: { readonly clock: Clock }) {
    this.#clock = clock;
  }

  /** Calls `start` when it is this connection's turn: at once if there is no crowd. */
  begin(connection: Handshaking, start: () => void): void {
    if (this.#inProgress < atOnce) {
      this.#start(connection, start);
      return;
    }
    this.#isThere = true;
    this.#waiting.push({ connection, start });
  }

  get isThere(): boolean {
    return this.#isThere;
  }

  subscribe(listener: () => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  #start(connection: Handshaking, start: () => void): void {
    this.#inProgress++;
    const over = () => {
      // A connection would keep all of this for as long as it lasts.
      connection.off('secure', over).off('close', over);
      limit[Symbol.dispose]();
      this.#next();
    };
    const limit = this.#clock.after(patienceMs, over);
    connection.once('secure', over);
    connection.once('close', over);
    start();
  }

  /** Those who hung up meanwhile take nobody's turn: a crowd that gave up would outlast the patience of the next. */
  #next(): void {
    this.#inProgress--;
    let next = this.#waiting.shift();
    while (next?.connection.destroyed === true) next = this.#waiting.shift();
    if (next !== undefined) this.#start(next.connection, next.start);
    else if (this.#inProgress === 0 && this.#isThere) this.#end();
  }

  #end(): void {
    this.#isThere = false;
    for (const listener of this.#listeners) listener();
  }
}
