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
  const installer = new Installer(say);
  let noLab = singleEngine
    ? ['--single-engine was given']
    : await reasonsAgainstLab(installer, signal);
  if (noLab.length === 0) {
    say(`starting ${hosts} hosts, each with a Docker Engine of its own …`);
    try {
      return await startLabSite({ hosts, label: demoLabel }, signal);
    } catch (error) {
      signal.throwIfAborted();
      noLab = [messageOf(error)];
    }
  }
  const socket = engineSocket(process.env);
  const noEngine = await reasonsAgainstEngine(socket, installer, signal);
  if (noEngine.length > 0) throw impossible(noLab, noEngine, installer.hint);
  if (!singleEngine) say(list('no lab with hosts of its own can be made here:', noLab));
  say(`letting the Docker Engine at ${socket} play all ${hosts} hosts …`);
  const options = { hosts, engineSocket: socket, because: noLab.join('; ') };
  const site = await startSingleEngineSite(options, signal);
  say(`note: ${site.caveat}`);
  say(
    'its images stay in the engine for the next demo; "npm run demo -- --down" removes them, too',
  );
  return site;
}

async function reasonsAgainstLab(
  installer: Installer,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const { missing, unsuitable } = requirements();
  // What no package can mend is no reason to install packages.
  if (unsuitable.length > 0) return unsuitable.map(({ what, why }) => `${what}: ${why}`);
  return await installer.install(missing, signal);
}

async function reasonsAgainstEngine(
  socket: string,
  installer: Installer,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const { missing, obstacles } = await singleEngineNeeds(socket, signal);
  if (missing.length === 0) return obstacles;
  const lacking = await installer.install(missing, signal);
  return lacking.length > 0 ? lacking : (await singleEngineNeeds(socket, signal)).obstacles;
}

/** Installs what is missing where that can be done, and remembers what could not be. */
class Installer {
  readonly #say: (line: string) => void;
  readonly #packages = new Set<string>();
  #able = process.getuid?.() === 0 && existsSync('/usr/bin/apt-get');

  constructor(say: (line: string) => void) {
    this.#say = say;
  }

  /** What to do about all that could not be installed. */
  get hint(): string {
    const packages = [...this.#packages].sort().join(' ');
    return packages === ''
      ? 'Do away with one of these lists.'
      : `Do away with one of these lists; on Debian or Ubuntu: sudo apt-get install ${packages}`;
  }

  /** Nothing if all is there now; else what is still missing, and why. */
  async install(
    missing: readonly MissingCommand[],
    signal: AbortSignal,
  ): Promise<readonly string[]> {
    if (missing.length === 0) return [];
    const lines = missing.map(
      ({ command, debianPackage, why }) =>
        `no command "${command}" (package ${debianPackage}): ${why}`,
    );
    if (this.#able) {
      this.#say(list('this machine lacks:', lines));
      try {
        await installMissing(missing, { log: this.#say }, signal);
        return [];
      } catch (error) {
        signal.throwIfAborted();
        this.#say(`cannot install it: ${messageOf(error)}`);
        this.#able = false;
      }
    }
    for (const { debianPackage } of missing) this.#packages.add(debianPackage);
    return lines;
  }
}

function impossible(
  noLab: readonly string[],
  noEngine: readonly string[],
  hint: string,
): DomainError {
  const message = [
    'the demo cannot run here.',
    list('No lab with hosts of its own can be made:', noLab),
    list('No single Docker Engine can play all hosts:', noEngine),
    hint,
  ].join('\n');
  return new DomainError('precondition', message, { reason: 'DEMO_IMPOSSIBLE' });
}

function list(title: string, lines: readonly string[]): string {
  return [title, ...lines.map((line) => `  - ${line}`)].join('\n');
}
