import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock } from '../../../shared/clock.ts';
import { CommandError, searchPath } from './command.ts';
import { identify, isRunning, signalProcess, type ProcessIdentity } from './proc.ts';
import { hostVariable, labVariable, namespacePath } from './plan.ts';
import { recordProcess, type ProcessRecord } from './record.ts';

export interface SpawnOptions {
  /** Names its log file; the command's own name if left out. */
  readonly name?: string;
  /** Added to the environment. Of ours, everything that steers Docker, Fairlead or tests is left out. */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

/** Where a process of a lab is put. */
export interface ProcessPlace {
  readonly labId: string;
  readonly labDirectory: string;
  /** Left out for the root namespace. */
  readonly host?: {
    readonly name: string;
    readonly namespace: string;
    /** Whose view of the file system and of its name it shares; ours if left out. */
    readonly initPid?: number;
  };
}

export interface ExitStatus {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

const pollMs = 10;

/**
 * A process of a lab. It writes to a log file and belongs to a session of its own, so it lives on
 * without the process that started it if the lab is kept; whatever it starts belongs to the lab too.
 */
export class LabProcess {
  readonly name: string;
  readonly pid: number;
  /** Where its stdout and stderr go. */
  readonly logPath: string;
  readonly #identity: ProcessIdentity;
  #exitStatus: ExitStatus | undefined;

  constructor(record: ProcessRecord) {
    this.name = record.name;
    this.pid = record.pid;
    this.logPath = record.logPath;
    this.#identity = { pid: record.pid, startTime: record.startTime };
  }

  /** Starts a command, and notes it in the lab's record before anything waits for it. */
  static async start(
    place: ProcessPlace,
    command: string,
    args: readonly string[],
    options: SpawnOptions,
  ): Promise<LabProcess> {
    const name = options.name ?? command.slice(command.lastIndexOf('/') + 1);
    const fileName = place.host === undefined ? name : `${place.host.name}.${name}`;
    const logPath = join(place.labDirectory, 'logs', `${fileName}.log`);
    const log = openSync(logPath, 'a', 0o600);
    const [program, programArgs] = enter(place, command, args, options.cwd);
    const child = spawn(program, programArgs, {
      detached: true,
      stdio: ['ignore', log, log],
      env: environment(place, options.env),
      cwd: options.cwd,
    });
    closeSync(log);
    child.unref();
    const { pid } = child;
    const identity = pid === undefined ? undefined : identify(pid);
    if (identity === undefined) {
      const [error] = (await once(child, 'error')) as [Error];
      throw new CommandError(command, `could not be started (${error.message})`, '');
    }
    const record = { ...identity, name, host: place.host?.name, logPath };
    const strikeOut = recordProcess(place.labDirectory, record);
    const started = new LabProcess(record);
    child.once('exit', (code, signal) => {
      started.#exitStatus = { code, signal };
      strikeOut();
    });
    return started;
  }

  isRunning(): boolean {
    return this.#exitStatus === undefined && isRunning(this.#identity);
  }

  /** How it ended: known only to the process that started it, and only once it has ended. */
  get exitStatus(): ExitStatus | undefined {
    return this.#exitStatus;
  }

  /** Sends a signal; says whether the process was still there to get it. */
  signal(signal: NodeJS.Signals): boolean {
    return signalProcess(this.#identity, signal);
  }

  /** Resolves when the process has ended. */
  async exited(signal: AbortSignal): Promise<void> {
    while (this.isRunning()) {
      signal.throwIfAborted();
      await systemClock.sleep(pollMs, signal);
    }
  }

  /** Asks it to end by SIGTERM and makes it by SIGKILL after the grace; resolves when it is gone. */
  async stop(graceMs: number, signal: AbortSignal): Promise<void> {
    this.signal('SIGTERM');
    const deadline = systemClock.monotonic() + graceMs;
    while (this.isRunning()) {
      signal.throwIfAborted();
      if (systemClock.monotonic() >= deadline) this.signal('SIGKILL');
      await systemClock.sleep(pollMs, signal);
    }
  }

  /** Ends it by SIGKILL, without a word before; resolves when it is gone. */
  async kill(signal: AbortSignal): Promise<void> {
    this.signal('SIGKILL');
    await this.exited(signal);
  }

  /** Everything it, and earlier processes of the same name, wrote so far. */
  log(): string {
    return readFileSync(this.logPath, 'utf8');
  }
}

/** Namespaces are entered by nsenter, which then becomes the command: the pid stays the same. */
function enter(
  { host }: ProcessPlace,
  command: string,
  args: readonly string[],
  cwd: string | undefined,
): [string, string[]] {
  if (host === undefined) return [command, [...args]];
  const network = `--net=${namespacePath(host.namespace)}`;
  if (host.initPid === undefined) return ['nsenter', [network, '--', command, ...args]];
  // Entering a mount namespace moves the process to its root.
  const moveBack = ['sh', '-c', 'cd "$0" && exec "$@"', cwd ?? process.cwd()];
  const own = `/proc/${host.initPid}/ns`;
  const others = [`--mount=${own}/mnt`, `--uts=${own}/uts`];
  return ['nsenter', [network, ...others, '--', ...moveBack, command, ...args]];
}

function environment(
  { labId, host }: ProcessPlace,
  added: Readonly<Record<string, string>> = {},
): Record<string, string> {
  const inherited = Object.entries(process.env).filter(
    ([name]) => !/^(DOCKER_|FAIRLEAD_|VITEST|NODE_OPTIONS$|NODE_V8_COVERAGE$)/.test(name),
  );
  return {
    ...(Object.fromEntries(inherited) as Record<string, string>),
    PATH: searchPath().join(':'),
    ...added,
    [labVariable]: labId,
    ...(host === undefined ? {} : { [hostVariable]: `${labId}/${host.name}` }),
  };
}
