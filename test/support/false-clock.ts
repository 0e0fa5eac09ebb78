import { existsSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { searchPath } from './lab/command.ts';
import type { MissingCommand } from './lab/requirements.ts';

/** The dynamic linker puts the directory of the architecture in place of `$LIB`. */
const library = '/usr/$LIB/faketime/libfaketime.so.1';

/** What clocks that differ need, beyond a lab. */
export function missingForClocks(): MissingCommand[] {
  const faketime = { command: 'faketime', debianPackage: 'faketime', why: 'it makes clocks wrong' };
  return searchPath().some((directory) => existsSync(join(directory, faketime.command)))
    ? []
    : [faketime];
}

/**
 * A clock that processes take for that of their host, and that can be set while they run. What the kernel counts since
 * it started is left alone, as on a host whose clock is set.
 */
export class FalseClock {
  /** For processes that are to go by it. */
  readonly env: Readonly<Record<string, string>>;
  readonly #path: string;

  /** `path`: a file of its own; `by`: how wrong it is, such as `-3d` or `+300`. */
  constructor(path: string, by: string) {
    this.#path = path;
    this.set(by);
    this.env = {
      LD_PRELOAD: library,
      FAKETIME_TIMESTAMP_FILE: path,
      FAKETIME_NO_CACHE: '1',
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
      NO_FAKE_STAT: '1',
    };
  }

  set(by: string): void {
    // It is read at every look at the clock, and never half written.
    writeFileSync(`${this.#path}.new`, `${by}\n`);
    renameSync(`${this.#path}.new`, this.#path);
  }
}
