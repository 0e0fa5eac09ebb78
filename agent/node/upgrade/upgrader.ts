import type { Clock } from '../../../shared/clock.ts';
import { messageOf } from '../../../shared/errors.ts';
import type { Logger } from '../../../shared/logger.ts';
import type { Random } from '../../../shared/random.ts';
import { Wakeup } from '../../../shared/wakeup.ts';
import type { Wanted } from './fetch-version.ts';
import type { Program } from './program.ts';
import { Versions, type GivenUp } from './versions.ts';

export interface UpgraderDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** Certificates of the authorities of the coordinator, PEM. */
  readonly trustPem: () => string;
  /** How long a session of a version on trial has to stand before that version stays. */
  readonly settleMs: number;
  /** Told that there is something to tell the coordinator. */
  readonly onNews: () => void;
}

/** What the hello says of upgrades. */
export interface UpgradeGreeting {
  /** Empty: it cannot be upgraded. */
  readonly package: string;
  readonly obstacle: string;
  readonly failure: GivenUp | null;
  readonly isOnTrial: boolean;
}

const notLaunched =
  'its agent was not started by the launcher of our packages, so nothing could bring the version before back; upgrade it the way it was installed, or install it by the line of "fairlead node invite"';

/** What an agent finds when it starts. */
export interface Standing {
  readonly program: Program;
  /** Null: this host cannot be upgraded. */
  readonly versions: Versions | null;
  /** What runs is a new version that has to prove itself. */
  readonly isOnTrial: boolean;
  readonly failure: GivenUp | null;
}

/** Looks at the directory that the launcher named, if there is a launcher, and removes what is of no use there. */
export async function standingOf(
  directory: string | undefined,
  program: Program,
  log: Logger,
): Promise<Standing> {
  const nothing = { program, versions: null, isOnTrial: false, failure: null };
  if (directory === undefined || program.package === null) return nothing;
  const versions = new Versions(directory);
  try {
    const isOnTrial = await versions.isOnTrial(program.directory);
    if (!isOnTrial) await versions.tidy();
    return { program, versions, isOnTrial, failure: isOnTrial ? null : await versions.givenUp() };
  } catch (error) {
    log.warn({ reason: messageOf(error), directory }, 'agent cannot be upgraded');
    return nothing;
  }
}

/**
 * Brings other versions of the agent to this host: fetches and checks what the coordinator asks for, hands
 * over to it by ending, and, in the version that came, says that it stands once a session has lasted: one that
 * opens its session and crashes is no better than one that opens none. Going back is the launcher's part.
 */
export class Upgrader {
  readonly #deps: UpgraderDeps;
  readonly #program: Program;
  readonly #versions: Versions | null;
  readonly #asked = new Wakeup();
  #isOnTrial: boolean;
  #wanted: Wanted | null = null;
  #failure: GivenUp | null;
  /** What has not been told yet in this session. */
  #news: 'failed' | 'stands' | null = null;

  constructor({ program, versions, isOnTrial, failure }: Standing, deps: UpgraderDeps) {
    this.#deps = deps;
    this.#program = program;
    this.#versions = versions;
    this.#isOnTrial = isOnTrial;
    this.#failure = failure;
  }

  get greeting(): UpgradeGreeting {
    this.#news = null;
    const name = this.#versions === null ? null : this.#program.package;
    return {
      package: name ?? '',
      obstacle: name === null ? notLaunched : '',
      failure: this.#failure,
      isOnTrial: this.#isOnTrial,
    };
  }

  /** A session begins; what is on trial has proved itself if it lasts, which the signal says. */
  accepted(session: AbortSignal): void {
    if (this.#isOnTrial && this.#versions !== null) void this.#settle(this.#versions, session);
  }

  async #settle(versions: Versions, session: AbortSignal): Promise<void> {
    const { clock, settleMs, log, onNews } = this.#deps;
    await clock.sleep(settleMs, session);
    if (session.aborted) return;
    try {
      versions.confirm();
      log.info('upgrade stands');
    } catch (error) {
      // The launcher will go back, which is as good as this host gets.
      log.error({ reason: messageOf(error) }, 'upgrade cannot be kept');
      return;
    }
    this.#isOnTrial = false;
    this.#news = 'stands';
    onNews();
    // What it was asked for meanwhile.
    this.#asked.notify();
    try {
      await versions.settle();
    } catch (error) {
      log.warn({ reason: messageOf(error) }, 'the version before cannot be removed');
    }
  }

  /** The coordinator asks for an upgrade; one that is under way, or has failed, is not begun again. */
  take(wanted: Wanted): void {
    if (this.#wanted !== null || this.#versions === null) return;
    if (wanted.attempt === this.#failure?.attempt) {
      this.#news = 'failed';
      this.#deps.onNews();
      return;
    }
    this.#wanted = wanted;
    this.#asked.notify();
  }

  /** What the coordinator has not been told of: a failure, or that what was on trial stands. */
  takeNews(): GivenUp | 'stands' | null {
    const news = this.#news;
    this.#news = null;
    return news === 'failed' ? this.#failure : news;
  }

  /** Returns when the agent is to end, because its launcher is to start another version. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#asked.wait(signal);
      // What is on trial first has to stand: until then there is one version to go back to, and no more.
      if (this.#wanted === null || this.#versions === null || this.#isOnTrial) continue;
      if (await this.#prepare(this.#wanted, this.#versions, signal)) return;
      this.#wanted = null;
    }
  }

  /** False: it cannot be, and why is known. */
  async #prepare(wanted: Wanted, versions: Versions, signal: AbortSignal): Promise<boolean> {
    const { clock, random, log, trustPem, onNews } = this.#deps;
    const { attempt, version } = wanted;
    log.info({ version, url: wanted.url }, 'upgrade begins');
    try {
      const { fetchVersion } = await import('./fetch-version.ts');
      const program = this.#program;
      const tools = { clock, random: () => random.fraction(), trustPem: trustPem() };
      const name = await fetchVersion(wanted, { ...tools, program, versions }, signal);
      await versions.propose(name, attempt);
      log.info({ version }, 'upgrade is fetched and checked; the agent ends for it');
      return true;
    } catch (error) {
      if (signal.aborted) return false;
      const reason = messageOf(error).replaceAll(/\s+/g, ' ');
      log.error({ version, reason }, 'upgrade failed');
      this.#failure = { attempt, version, reason };
      this.#news = 'failed';
      onNews();
      return false;
    }
  }
}
