import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { DomainError } from '../../../shared/errors.ts';
import { CommandError, run } from './command.ts';
import { requirements, type MissingCommand } from './requirements.ts';

/** Asked by Debian's packages before they start a service; 101 is "not allowed". */
const policyPath = '/usr/sbin/policy-rc.d';

/**
 * Installs the packages that bring missing commands, where apt-get and root are at hand. No service
 * of theirs is started: an engine of the system would put its rules into the root namespace.
 */
export async function installMissing(
  missing: readonly MissingCommand[],
  { log }: { readonly log: (line: string) => void },
  signal: AbortSignal,
): Promise<void> {
  if (missing.length === 0) return;
  const packages = [...new Set(missing.map(({ debianPackage }) => debianPackage))].sort();
  if (process.getuid?.() !== 0 || !existsSync('/usr/bin/apt-get')) {
    throw new DomainError(
      'precondition',
      `cannot install ${packages.join(' ')} here: that needs root and apt-get; install them by hand`,
      { reason: 'LAB_CANNOT_INSTALL' },
    );
  }
  log(`installing what is missing: apt-get install ${packages.join(' ')}`);
  using _policy = denyServiceStarts();
  try {
    await aptGet(['install', '-y', '--no-install-recommends', ...packages], signal);
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    log('the list of packages may be old: apt-get update, then once more');
    await aptGet(['update'], signal);
    await aptGet(['install', '-y', '--no-install-recommends', ...packages], signal);
  }
  const still = requirements().missing.map(({ command }) => command);
  const lacking = missing.filter(({ command }) => still.includes(command));
  if (lacking.length > 0) {
    const names = lacking.map(({ command }) => command).join(', ');
    throw new DomainError(
      'precondition',
      `installed ${packages.join(' ')}, yet found no ${names}`,
      {
        reason: 'LAB_CANNOT_INSTALL',
      },
    );
  }
}

async function aptGet(args: readonly string[], signal: AbortSignal): Promise<void> {
  await run('apt-get', args, { env: { DEBIAN_FRONTEND: 'noninteractive' } }, signal);
}

/** A policy that is there already is somebody's decision and is left alone. */
function denyServiceStarts(): Disposable {
  if (existsSync(policyPath)) return { [Symbol.dispose]: () => undefined };
  writeFileSync(policyPath, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  return {
    [Symbol.dispose]() {
      rmSync(policyPath, { force: true });
    },
  };
}
