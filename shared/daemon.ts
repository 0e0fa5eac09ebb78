import { argv, env } from 'node:process';
import { parseArgs, type ParseArgsConfig } from 'node:util';
import { DomainError, messageOf } from './errors.ts';
import { untilSignalled, type Run } from './process.ts';

/** Flags of a daemon by their camelCase name: given once, or as often as one likes. */
export type FlagNames = Readonly<Record<string, 'one' | 'many'>>;

/**
 * Makes a daemon of this process: runs it with the flags of the command line, and ends the process
 * with its exit status when it is over. With `--version` it says its version and does nothing else.
 */
export async function runDaemon(run: Run, names: FlagNames, version: string): Promise<void> {
  if (argv[2] === '--version') {
    process.stdout.write(`${version}\n`);
    return;
  }
  const status = await untilSignalled((signal) =>
    run(parseFlags(argv.slice(2), names), env, signal),
  );
  // The connections that a pool keeps must not keep the process; the logger flushes on exit.
  process.exit(status);
}

/** Reads `--state-dir DIR` as `{ stateDir: 'DIR' }`; a flag that is not named is refused. */
export function parseFlags(args: readonly string[], names: FlagNames): Record<string, unknown> {
  const options: NonNullable<ParseArgsConfig['options']> = {};
  for (const [name, times] of Object.entries(names)) {
    options[kebab(name)] = { type: 'string', multiple: times === 'many' };
  }
  try {
    const { values } = parseArgs({ args: [...args], options, strict: true });
    return Object.fromEntries(
      Object.keys(names)
        .map((name) => [name, values[kebab(name)]] as const)
        .filter(([, value]) => value !== undefined),
    );
  } catch (error) {
    throw new DomainError('invalid', messageOf(error), { reason: 'FLAG_INVALID', cause: error });
  }
}

function kebab(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}
