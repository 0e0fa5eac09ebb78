import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock } from '../../../shared/clock.ts';
import { DomainError } from '../../../shared/errors.ts';
import { removeCgroup } from './cgroups.ts';
import { run, type CommandOptions } from './command.ts';
import { docker } from './docker.ts';
import { clearDeadEngine, engineReady, prepareEngine } from './engine.ts';
import { LabProcess, type ProcessPlace, type SpawnOptions } from './lab-process.ts';
import { freezeAll, killAll, processesOfHost, thawAll } from './members.ts';
import {
  createHostNetwork,
  cutHostLink,
  healHostLink,
  removeHostLink,
  removeNamespace,
} from './network.ts';
import { namespacePath, type HostPlan, type LabPlan } from './plan.ts';
import { programOf, type ProcessIdentity } from './proc.ts';
import { listProcesses, type EngineOptions } from './record.ts';

/** How long an engine may take to stop its containers before it is killed. */
const engineGraceMs = 60_000;

/** One host of a lab: a network namespace with a cable, an engine, and whatever is spawned there. */
export class LabHost {
  /** `host-1`, `host-2`, ... */
  readonly name: string;
  /** Where the gateway and the other hosts reach it. */
  readonly address: string;
  /** Where its engine listens; on the host itself also at /run/docker.sock. */
  readonly dockerSocket: string;
  /** Where the engine's containerd listens; on the host itself also in /run/docker/containerd. */
  readonly containerdSocket: string;
  /** Where its engine stores images and containers. */
  readonly dataRoot: string;
  /** The host's own files; what is put here survives `kill`. */
  readonly directory: string;
  /** Its control group, in whatever hierarchy: goes with the host, with those below it. */
  readonly cgroup: string;
  /** The cable between the host and the bridge. */
  readonly link: {
    /** Every packet from and to the host vanishes. Nobody gets a reset or an ICMP message. */
    readonly cut: (signal: AbortSignal) => Promise<void>;
    readonly heal: (signal: AbortSignal) => Promise<void>;
  };
  readonly #lab: LabPlan;
  readonly #plan: HostPlan;
  readonly #engine: EngineOptions;

  constructor(lab: LabPlan, plan: HostPlan, engine: EngineOptions) {
    this.#lab = lab;
    this.#plan = plan;
    this.#engine = engine;
    this.name = plan.name;
    this.address = plan.address;
    this.dockerSocket = plan.dockerSocket;
    this.containerdSocket = join(plan.execRoot, 'containerd', 'containerd.sock');
    this.dataRoot = plan.dataRoot;
    this.directory = plan.directory;
    this.cgroup = plan.cgroup;
    this.link = {
      cut: (signal) => cutHostLink(lab, plan, signal),
      heal: (signal) => healHostLink(lab, plan, signal),
    };
  }

  /** Starts a command on the host. */
  async spawn(
    command: string,
    args: readonly string[],
    options: SpawnOptions = {},
  ): Promise<LabProcess> {
    return await LabProcess.start(this.#place(), command, args, options);
  }

  /** Runs a command in the host's network to its end and returns what it wrote to stdout. */
  async run(
    command: string,
    args: readonly string[],
    options: CommandOptions,
    signal: AbortSignal,
  ): Promise<string> {
    const network = `--net=${namespacePath(this.#plan.namespace)}`;
    return await run('nsenter', [network, '--', command, ...args], options, signal);
  }

  /** Runs the docker command against the host's engine and returns what it wrote to stdout. */
  async docker(args: readonly string[], signal: AbortSignal): Promise<string> {
    return await docker(this.dockerSocket, args, {}, signal);
  }

  /** Switches the host on if it is off, then its engine; resolves when the engine answers. */
  async startEngine(signal: AbortSignal): Promise<void> {
    if (this.#process('engine') !== undefined) {
      throw new DomainError('precondition', `the engine of ${this.name} runs already`, {
        reason: 'LAB_ENGINE_RUNS',
      });
    }
    await this.#switchOn(signal);
    await clearDeadEngine(this.#lab, this.#plan, signal);
    const args = await prepareEngine(this.#plan, this.#engine, signal);
    // What engines that are killed leave behind goes with the host.
    const env = { TMPDIR: this.#plan.execRoot };
    const engine = await this.spawn('dockerd', args, { name: 'engine', env });
    await engineReady(engine, this.dockerSocket, signal);
  }

  /** Ends the engine as an upgrade does: it stops its containers first unless live-restore is on. */
  async stopEngine(signal: AbortSignal): Promise<void> {
    await this.#process('engine')?.stop(engineGraceMs, signal);
  }

  /** Kills the engine and its containerd; what runs in containers goes on. */
  async killEngine(signal: AbortSignal): Promise<void> {
    await this.#process('engine')?.kill(signal);
    await clearDeadEngine(this.#lab, this.#plan, signal);
  }

  /** Every process of the host, in containers too. */
  processes(): ProcessIdentity[] {
    return processesOfHost(this.#lab, this.#plan);
  }

  /** Stops every process of the host by SIGSTOP. Its kernel still answers, unlike a cut link's. */
  async freeze(signal: AbortSignal): Promise<void> {
    await freezeAll(() => this.processes(), signal);
  }

  async thaw(signal: AbortSignal): Promise<void> {
    await thawAll(() => this.processes(), signal);
  }

  /**
   * A power cut: every process is gone and no peer hears of it. The engine's data stays, what a
   * real host keeps in memory (/run, namespaces, control groups) does not. `startEngine` boots it.
   */
  async kill(signal: AbortSignal): Promise<void> {
    if (this.#process('init') === undefined) return;
    await removeHostLink(this.#lab, this.#plan, signal);
    await this.#clearDeadHost(signal);
  }

  async #switchOn(signal: AbortSignal): Promise<void> {
    if (this.#process('init') !== undefined) return;
    await this.#clearDeadHost(signal);
    mkdirSync(this.#plan.directory, { recursive: true, mode: 0o700 });
    await createHostNetwork(this.#lab, this.#plan, signal);
    // Nothing resolves names at the gateway unless the lab's user starts it there: lookups are
    // refused at once, and no test depends on the name server of the machine.
    writeFileSync(
      join(this.#plan.directory, 'resolv.conf'),
      `nameserver ${this.#lab.gatewayAddress}\n`,
    );
    const init = await LabProcess.start(
      this.#place(),
      'unshare',
      ['--uts', '--mount', '--propagation', 'slave', 'sh', '-c', initScript, this.#plan.directory],
      { name: 'init' },
    );
    while (programOf(init.pid) !== 'sleep') {
      if (!init.isRunning()) {
        throw new DomainError('unavailable', `${this.name} did not boot:\n${init.log()}`, {
          reason: 'LAB_HOST_FAILED',
        });
      }
      await systemClock.sleep(5, signal);
      signal.throwIfAborted();
    }
  }

  async #clearDeadHost(signal: AbortSignal): Promise<void> {
    await killAll(() => this.processes(), signal);
    await removeNamespace(this.#plan.namespace, signal);
    await removeCgroup(this.#plan.cgroup, signal);
    rmSync(this.#plan.execRoot, { recursive: true, force: true });
  }

  #place(): ProcessPlace {
    const init = this.#process('init');
    const { name, namespace } = this.#plan;
    return {
      labId: this.#lab.id,
      labDirectory: this.#lab.directory,
      host: { name, namespace, ...(init === undefined ? {} : { initPid: init.pid }) },
    };
  }

  /** Asked of the record each time: another process may have attached to the lab. */
  #process(name: 'init' | 'engine'): LabProcess | undefined {
    const record = listProcesses(this.#lab.directory).find(
      (candidate) => candidate.host === this.name && candidate.name === name,
    );
    return record && new LabProcess(record);
  }
}

/**
 * The first process of a host keeps its view of the file system alive: a /run of its own, with the
 * engine where clients look for it, its own name and name server. What is mounted here vanishes with the
 * last process of the host.
 */
const initScript = `
set -e
hostname "$(basename "$0")"
for point in $(cut -d ' ' -f 5 /proc/self/mountinfo | grep '^/run/' | sort -r); do
  umount -l "$point" || true
done
resolver=$(realpath -m /etc/resolv.conf)
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/docker /run/lock
ln -s "$0/docker.sock" /run/docker.sock
ln -s "$0/exec/containerd" /run/docker/containerd
case $resolver in /run/*) mkdir -p "$(dirname "$resolver")" && : > "$resolver" ;; esac
[ ! -e "$resolver" ] || mount --bind "$0/resolv.conf" "$resolver"
exec sleep infinity
`;
