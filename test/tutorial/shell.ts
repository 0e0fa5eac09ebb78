import { execFile } from 'node:child_process';
import { programs } from '../support/fleet/programs.ts';
import { labVariable } from '../support/lab/plan.ts';
import type { Fleet } from '../support/fleet/fleet.ts';
import type { Narrator } from './report.ts';

/** How a command of ours ended. */
export interface CommandResult {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the real command line as a user would, with `--json` where an answer is read. */
export class Shell {
  readonly #env: NodeJS.ProcessEnv;
  readonly #narrator: Narrator;

  constructor(
    { address, token, site }: Pick<Fleet, 'address' | 'token' | 'site'>,
    narrator: Narrator,
  ) {
    const { PATH } = process.env;
    // Marked as the site's own, so that none is left when the site is removed in its middle.
    const mark = { [labVariable]: site.id };
    this.#env = { PATH, FAIRLEAD_ADDRESS: address, FAIRLEAD_TOKEN: token, ...mark };
    this.#narrator = narrator;
  }

  /** Runs a command that must succeed; its JSON. */
  async run<T>(args: readonly string[], signal: AbortSignal): Promise<T> {
    const result = await this.try(args, signal);
    if (result.status !== 0) {
      throw new Error(`fairlead ${args.join(' ')} ended with ${result.status}: ${result.stderr}`);
    }
    return JSON.parse(result.stdout) as T;
  }

  /** Runs a command that may fail. */
  async try(args: readonly string[], signal: AbortSignal): Promise<CommandResult> {
    this.#narrator.command(`fairlead ${args.join(' ')}`);
    return await new Promise((resolve, reject) => {
      execFile(
        process.execPath,
        [programs.cli, '--json', ...args],
        { env: this.#env, signal, maxBuffer: 64 * 1024 * 1024 },
        (error, stdout, stderr) => {
          if (error !== null && typeof error.code !== 'number')
            reject(new Error(error.message, { cause: error }));
          else resolve({ status: Number(error?.code ?? 0), stdout, stderr: stderr.trim() });
        },
      );
    });
  }
}
