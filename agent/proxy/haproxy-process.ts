import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { open, readFile, stat, truncate, type FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Clock } from '../../shared/clock.ts';
import { DomainError, messageOf } from '../../shared/errors.ts';
import type { Logger } from '../../shared/logger.ts';
import { oldestVersion, setsClientTimeout, type Capabilities } from './capabilities.ts';
import { askMaster, RuntimeClient } from './runtime-client.ts';
import { parseInfo, parseProcesses, type ProcessList, type WorkerInfo } from './server-state.ts';
import { slotsMap } from './slots.ts';
import { readIfThere, writeAtomically, type StatePaths } from './state-directory.ts';

/** A connection to the worker that serves. */
export interface WorkerConnection {
  readonly client: RuntimeClient;
  readonly info: WorkerInfo;
}

export interface HaproxyProcessOptions {
  /** Name or path of the program. */
  readonly binary: string;
  /** Bounds every command. */
  readonly commandTimeoutMs: number;
  /** Bounds start and reload. */
  readonly startTimeoutMs: number;
  /** Whether HAProxy's standard output, where it writes of requests, is ours; else it goes to its log. */
  readonly sharesOutput: boolean;
  /** What a version can do; undefined: it is too old. */
  readonly capabilitiesOf: (version: string) => Capabilities | undefined;
}

const maxLogBytes = 1024 * 1024;
const pollMs = 5;
/** All that HAProxy learns of ours; a check must find what a start would. */
const environment = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' };

/** What a HAProxy can do by its build and its version. */
export interface Features {
  readonly exporter: boolean;
  readonly lua: boolean;
  /** Each request may have its own time for which its client may be silent. */
  readonly clientTimeouts: boolean;
}

/**
 * The one HAProxy of a state directory: a master, which outlives the agent, and its workers.
 *
 * Whether it runs is read from the system each time: it may have been started by an agent before this
 * one.
 */
export class HaproxyProcess {
  readonly #paths: StatePaths;
  readonly #options: HaproxyProcessOptions;
  readonly #clock: Clock;
  readonly #log: Logger;
  /** The master that this agent started last; 0: none. */
  #startedPid = 0;

  constructor(
    paths: StatePaths,
    options: HaproxyProcessOptions,
    deps: { readonly clock: Clock; readonly log: Logger },
  ) {
    this.#paths = paths;
    this.#options = options;
    this.#clock = deps.clock;
    this.#log = deps.log;
  }

  /** Where the map of slots is that HAProxy has. */
  get slotsPath(): string {
    return join(this.#paths.maps, slotsMap);
  }

  /** What a HAProxy of that version can do; throws if it is too old to be driven. */
  capabilitiesOf(version: string): Capabilities {
    const capabilities = this.#options.capabilitiesOf(version);
    if (capabilities !== undefined) return capabilities;
    throw new DomainError(
      'precondition',
      `HAProxy ${version} is too old: ${oldestVersion} or later is needed`,
      { reason: 'HAPROXY_NOT_LOADED' },
    );
  }

  /** Process id of the master, if it is alive and really ours. */
  async find(): Promise<number | undefined> {
    // It has no space to write its number where the disk is full.
    const pid = Number((await readIfThere(this.#paths.pidFile))?.trim()) || this.#startedPid;
    return Number.isInteger(pid) && pid > 0 && (await this.#isOurs(pid)) ? pid : undefined;
  }

  /** Connects to the worker that serves. */
  async connect(signal: AbortSignal): Promise<WorkerConnection> {
    const client = await RuntimeClient.open(
      { socketPath: this.#paths.adminSocket, timeoutMs: this.#options.commandTimeoutMs },
      signal,
    );
    try {
      return { client, info: parseInfo(await client.query('show info')) };
    } catch (error) {
      client.close();
      throw error;
    }
  }

  /** Starts HAProxy on the configuration on disk, and returns when it serves. */
  async start(signal: AbortSignal): Promise<WorkerConnection> {
    const { config, masterSocket, pidFile, log, directory } = this.#paths;
    await this.#forgetServerState();
    await truncateIfThere(log, 0);
    const output = await open(log, 'a', 0o600);
    const lines = this.#options.sharesOutput ? await ownOutput() : output;
    let ended: ReturnType<typeof endOf>;
    try {
      const child = spawn(
        this.#options.binary,
        ['-W', '-S', `${masterSocket},mode,600`, '-p', pidFile, '-f', config],
        {
          cwd: directory,
          // A session of its own: what ends the agent does not end HAProxy. And none of our secrets.
          detached: true,
          env: environment,
          stdio: ['ignore', lines?.fd ?? 'inherit', output.fd],
        },
      );
      // It says at once that it could not be started, and nobody who listens for that is the end of this process.
      ended = endOf(child);
      child.unref();
      this.#startedPid = child.pid ?? 0;
    } finally {
      await output.close();
      if (lines !== output) await lines?.close();
    }
    return await this.#untilServing(undefined, ended, signal);
  }

  /** Why HAProxy would refuse a configuration, in its words; undefined if it takes it. */
  async check(path: string, signal: AbortSignal): Promise<string | undefined> {
    return await new Promise((resolve) => {
      execFile(
        this.#options.binary,
        ['-c', '-f', path],
        { cwd: dirname(path), env: environment, timeout: this.#options.startTimeoutMs, signal },
        (error, stdout, stderr) => {
          resolve(error === null ? undefined : alertsOf(stdout + stderr) || messageOf(error));
        },
      );
    });
  }

  /** What HAProxy has to offer. One that cannot be asked is taken to have its exporter, and nothing else. */
  async features(): Promise<Features> {
    const { binary, commandTimeoutMs: timeout } = this.#options;
    return await new Promise((resolve) => {
      execFile(binary, ['-vv'], { env: environment, timeout }, (error, stdout) => {
        resolve({
          exporter: error !== null || stdout.includes('prometheus-exporter'),
          lua: stdout.includes('Built with Lua version'),
          clientTimeouts: setsClientTimeout(/^HAProxy version (\S+)/m.exec(stdout)?.[1] ?? ''),
        });
      });
    });
  }

  /**
   * Makes the master load the configuration on disk, and connects to the new worker when that serves and
   * the old one has let go of the ports. Throws if HAProxy refuses: the old worker goes on then.
   */
  async reload(previous: WorkerConnection, signal: AbortSignal): Promise<WorkerConnection> {
    const master = await this.find();
    if (master === undefined) throw new DomainError('unavailable', 'HAProxy ended', unreachable);
    const { failedReloads } = await this.processes(signal);
    const failed = this.#loadingFailed({ master, failedReloads }, signal);
    await truncateIfThere(this.#paths.log, 0);
    process.kill(master, 'SIGUSR2');
    const connection = await this.#untilServing(previous.info.pid, failed, signal);
    try {
      await this.#untilStopping(previous, signal);
      return connection;
    } catch (error) {
      connection.client.close();
      throw error;
    }
  }

  /** Asks the master for its workers. */
  async processes(signal: AbortSignal): Promise<ProcessList> {
    return parseProcesses(await this.askMaster('show proc', signal));
  }

  /** As `processes`, of a master that loads: it does not listen for a moment after its worker serves. */
  async processesOnceLoaded(signal: AbortSignal): Promise<ProcessList> {
    const until = this.#clock.monotonic() + this.#options.startTimeoutMs;
    for (;;) {
      try {
        return await this.processes(signal);
      } catch (error) {
        if (this.#clock.monotonic() >= until) throw error;
      }
      await this.#clock.sleep(pollMs, signal);
      signal.throwIfAborted();
      if ((await this.find()) === undefined) {
        throw new DomainError('unavailable', 'HAProxy ended', unreachable);
      }
    }
  }

  async askMaster(command: string, signal: AbortSignal): Promise<string> {
    return await askMaster(
      command,
      { socketPath: this.#paths.masterSocket, timeoutMs: this.#options.commandTimeoutMs },
      signal,
    );
  }

  async writeServerState(text: string): Promise<void> {
    await writeAtomically(this.#paths.serverState, text);
  }

  /** Each server that goes up or down makes a line; what is old is of no use. */
  async trimLog(): Promise<void> {
    const size = await stat(this.#paths.log).then(
      (file) => file.size,
      () => 0,
    );
    if (size > maxLogBytes) await truncateIfThere(this.#paths.log, 0);
  }

  /** States of an earlier run could say "down" of servers that are well again. */
  async #forgetServerState(): Promise<void> {
    const none = '1\n';
    try {
      await this.writeServerState(none);
    } catch {
      // On a full disk: the first line is always the same, and to keep that alone takes no space.
      await truncateIfThere(this.#paths.serverState, none.length);
    }
  }

  /**
   * Waits until no process of HAProxy is left, at most `timeoutMs`: a master whose worker died ends by
   * itself. True: it is gone.
   */
  async gone(timeoutMs: number, signal: AbortSignal): Promise<boolean> {
    const until = this.#clock.monotonic() + timeoutMs;
    while ((await this.find()) !== undefined) {
      if (signal.aborted || this.#clock.monotonic() >= until) return false;
      await this.#clock.sleep(pollMs, signal);
    }
    return true;
  }

  /** Ends a master that has no worker left and did not notice. True: there was such a one. */
  async killIfWithoutWorkers(): Promise<boolean> {
    const pid = await this.find();
    if (pid === undefined) return false;
    const children = await readIfThere(`/proc/${pid}/task/${pid}/children`);
    if (children === undefined || children.trim() !== '') return false;
    process.kill(pid, 'SIGKILL');
    return true;
  }

  /**
   * Lets requests in flight finish for at most `graceMs`, then ends HAProxy. Takes no signal: it is what is
   * done after one.
   */
  async stop(graceMs: number): Promise<void> {
    const never = new AbortController().signal;
    for (const [signal, waitMs] of [
      ['SIGUSR1', graceMs],
      ['SIGTERM', 500],
      ['SIGKILL', 500],
    ] as const) {
      const pid = await this.find();
      if (pid === undefined) return;
      if (signal !== 'SIGUSR1')
        this.#log.warn({ signal }, 'ending HAProxy before its last request');
      signalIfThere(pid, signal);
      if (await this.gone(waitMs, never)) return;
    }
  }

  async #isOurs(pid: number): Promise<boolean> {
    try {
      const command = (await readFile(`/proc/${pid}/cmdline`, 'utf8')).split('\0');
      return command.includes(this.#paths.config) && (await isAlive(pid));
    } catch {
      return false;
    }
  }

  /** Connects as soon as a worker other than `previousPid` answers. */
  async #untilServing(
    previousPid: number | undefined,
    failure: { readonly words: () => Promise<string | undefined> },
    signal: AbortSignal,
  ): Promise<WorkerConnection> {
    const until = this.#clock.monotonic() + this.#options.startTimeoutMs;
    while (!signal.aborted && this.#clock.monotonic() < until) {
      const connection = await this.connect(signal).catch(() => undefined);
      if (connection !== undefined && connection.info.pid !== previousPid) return connection;
      connection?.client.close();
      const words = await failure.words();
      if (words !== undefined) {
        const alerts = alertsOf((await readIfThere(this.#paths.log)) ?? '');
        throw new DomainError('precondition', alerts || words, { reason: 'HAPROXY_NOT_LOADED' });
      }
      await this.#clock.sleep(pollMs, signal);
    }
    signal.throwIfAborted();
    throw new DomainError('unavailable', 'HAProxy did not come up in time', unreachable);
  }

  /** Until then the old worker may begin requests by the old list. */
  async #untilStopping({ client }: WorkerConnection, signal: AbortSignal): Promise<void> {
    const until = this.#clock.monotonic() + this.#options.startTimeoutMs;
    while (this.#clock.monotonic() < until) {
      signal.throwIfAborted();
      try {
        if (parseInfo(await client.query('show info')).stopping) return;
      } catch (error) {
        if (client.closed) return;
        throw error;
      }
      await this.#clock.sleep(pollMs, signal);
    }
    throw new DomainError('unavailable', 'the old worker of HAProxy does not stop', unreachable);
  }

  /**
   * The master counts failures since the last success, and is away for moments while it loads. One that was killed
   * meanwhile is not waited for.
   */
  #loadingFailed(
    before: { readonly master: number; readonly failedReloads: number },
    signal: AbortSignal,
  ) {
    return {
      words: async () => {
        const processes = await this.processes(signal).catch(() => undefined);
        if (processes === undefined) {
          if (await isAlive(before.master)) return undefined;
          throw new DomainError('unavailable', 'HAProxy ended', unreachable);
        }
        return processes.failedReloads > before.failedReloads
          ? 'HAProxy could not load its configuration'
          : undefined;
      },
    };
  }
}

/** Of a process that loads, what it is called by and its file with its number may be empty for a moment. */
async function isAlive(pid: number): Promise<boolean> {
  const state = await stateOf(pid);
  return state !== undefined && state !== 'Z';
}

/** The letter of a process' state, Z if it is dead and not buried; undefined: there is none. */
async function stateOf(pid: number): Promise<string | undefined> {
  const status = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => undefined);
  if (status === undefined) return undefined;
  // The name in parentheses may hold anything, the state follows the last one.
  return status.slice(status.lastIndexOf(')') + 2, status.lastIndexOf(')') + 3);
}

/**
 * Opened anew where that can be done: HAProxy makes what it writes to non-blocking, which would hold for this
 * process too. A socket, which is what systemd gives, can only be shared.
 */
async function ownOutput(): Promise<FileHandle | undefined> {
  return await open('/proc/self/fd/1', 'a').catch(() => undefined);
}

const unreachable = { reason: 'HAPROXY_UNREACHABLE' } as const;

function endOf(child: ChildProcess) {
  let words: string | undefined;
  child.on('error', (error) => {
    words = `HAProxy could not be started: ${error.message}`;
  });
  child.on('exit', (code, signal) => {
    words = `HAProxy ended with ${signal ?? `status ${code ?? 0}`}`;
  });
  return { words: () => Promise.resolve(words) };
}

/** What an operator has to know of HAProxy's output: its alerts, without their prefixes. */
function alertsOf(output: string): string {
  const alerts = output
    .split('\n')
    .filter((line) => line.startsWith('[ALERT]'))
    .map((line) => line.replace(/^\[ALERT\]\s*\(\d+\)\s*:\s*/, '').trim())
    .filter((line) => !line.includes('Fatal errors found'));
  return alerts.slice(0, 3).join('; ');
}

/** A process that was just found may have ended since. */
function signalIfThere(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

async function truncateIfThere(path: string, length: number): Promise<void> {
  await truncate(path, length).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  });
}
