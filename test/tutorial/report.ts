import { messageOf } from '../../shared/errors.ts';

/** One thing that must be true, by its number in the checklist, and what was seen of it. */
export interface Check {
  readonly id: string;
  readonly ok: boolean;
  readonly seen: string;
}

/** Told what happens, as it happens. */
export interface Narrator {
  /** A step of the tutorial begins. */
  step(title: string): void;
  /** What the user does. */
  command(line: string): void;
  /** A check came to its end. */
  check(check: Check, what: string): void;
}

export const silent: Narrator = {
  step: () => undefined,
  command: () => undefined,
  check: () => undefined,
};

/** Collects the checks of a run. A check that fails does not end the run: the others still tell more. */
export class Report {
  readonly #narrator: Narrator;
  readonly #checks: Check[] = [];

  constructor(narrator: Narrator) {
    this.#narrator = narrator;
  }

  get checks(): readonly Check[] {
    return this.#checks;
  }

  get ok(): boolean {
    return this.#checks.length > 0 && this.#checks.every(({ ok }) => ok);
  }

  /** Tries `verify`, which returns what it saw or throws what is wrong. True: it holds. */
  async check(id: string, what: string, verify: () => string | Promise<string>): Promise<boolean> {
    let check: Check;
    try {
      check = { id, ok: true, seen: await verify() };
    } catch (error) {
      check = { id, ok: false, seen: messageOf(error) };
    }
    this.#checks.push(check);
    this.#narrator.check(check, what);
    return check.ok;
  }
}

/** Throws unless the condition holds; `seen` says what is there instead. */
export function must(condition: boolean, seen: string): void {
  if (!condition) throw new Error(seen);
}
