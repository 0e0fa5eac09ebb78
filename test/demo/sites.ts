import { existsSync } from 'node:fs';
import { DomainError, messageOf } from '../../shared/errors.ts';
import { startLabSite } from '../support/fleet/lab-site.ts';
import { startSingleEngineSite } from '../support/fleet/single-engine-site.ts';
import { engineSocket, singleEngineNeeds } from '../support/fleet/single-engine/requirements.ts';
import type { Site } from '../support/fleet/site.ts';
import { installMissing } from '../support/lab/install.ts';
import { requirements, type MissingCommand } from '../support/lab/requirements.ts';

/** What demos are called among the labs of a machine. */
export const demoLabel = 'demo';

export interface SiteOptions {
  readonly hosts: number;
  /** Does not try to make real hosts. */
  readonly singleEngine: boolean;
  readonly say: (line: string) => void;
}

/**
 * Five real hosts where the machine can have them, or else one engine that plays them all. What is missing
 * is named, and installed where that can be done; throws in words what to do where neither is possible.
 */
export async function startSite(
  { hosts, singleEngine, say }: SiteOptions,
  signal: AbortSignal,
): Promise<Site> {
  const against = singleEngine ? ['--single-engine was given'] : await prepareLab(say, signal);
  if (against.length === 0) {
    say(`starting ${hosts} hosts, each with a Docker Engine of its own …`);
    return await startLabSite({ hosts, label: demoLabel }, signal);
  }
  if (!singleEngine) sayList('hosts of their own cannot be made here:', against, say);
  const socket = engineSocket(process.env);
  const obstacles = await prepareSingleEngine(socket, say, signal);
  if (obstacles.length > 0) {
    sayList('nor can one Docker Engine play them all:', obstacles, say);
    throw new DomainError(
      'precondition',
      'the demo cannot run: do away with one of these lists, or run it as root on a Linux machine of its own',
      { reason: 'DEMO_IMPOSSIBLE' },
    );
  }
  say(`letting the Docker Engine at ${socket} play all ${hosts} hosts …`);
  const because = against.join('; ');
  const site = await startSingleEngineSite({ hosts, engineSocket: socket, because }, signal);
  say(`note: ${site.caveat}`);
  return site;
}

/** Why no lab can run here, after installing what can be installed; nothing if it can. */
async function prepareLab(
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const { missing, unsuitable } = requirements();
  // What no package can mend is no reason to install packages.
  if (unsuitable.length > 0) return unsuitable.map(({ what, why }) => `${what}: ${why}`);
  return await install(missing, say, signal);
}

async function prepareSingleEngine(
  socket: string,
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const { missing, obstacles } = await singleEngineNeeds(socket, signal);
  if (missing.length === 0) return obstacles;
  const lacking = await install(missing, say, signal);
  return lacking.length > 0 ? lacking : (await singleEngineNeeds(socket, signal)).obstacles;
}

/** Installs what is missing if we may; otherwise what is to be done about it, in words. */
async function install(
  missing: readonly MissingCommand[],
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<readonly string[]> {
  if (missing.length === 0) return [];
  const lines = missing.map(
    ({ command, debianPackage, why }) =>
      `no command "${command}" (package ${debianPackage}): ${why}`,
  );
  const packages = [...new Set(missing.map(({ debianPackage }) => debianPackage))].sort().join(' ');
  if (process.getuid?.() !== 0 || !existsSync('/usr/bin/apt-get')) {
    return [...lines, `what would help on Debian or Ubuntu: sudo apt-get install ${packages}`];
  }
  sayList('this machine lacks:', lines, say);
  try {
    await installMissing(missing, { log: say }, signal);
    return [];
  } catch (error) {
    signal.throwIfAborted();
    return [...lines, messageOf(error)];
  }
}

function sayList(title: string, lines: readonly string[], say: (line: string) => void): void {
  say([title, ...lines.map((line) => `  - ${line}`)].join('\n'));
}
