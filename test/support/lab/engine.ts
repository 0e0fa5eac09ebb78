import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { get } from 'node:http';
import { join } from 'node:path';
import { systemClock } from '../../../shared/clock.ts';
import { DomainError } from '../../../shared/errors.ts';
import { run } from './command.ts';
import type { LabProcess } from './lab-process.ts';
import { killAll } from './members.ts';
import { hostVariable, type HostPlan, type LabPlan } from './plan.ts';
import { hasVariable, identify, isRunning, programOf } from './proc.ts';
import type { EngineOptions } from './record.ts';

/** An engine boots in half a second on an idle machine. */
const startDeadlineMs = 90_000;

/** Lays out what dockerd needs and returns its arguments. */
export async function prepareEngine(
  host: HostPlan,
  options: EngineOptions,
  signal: AbortSignal,
): Promise<string[]> {
  const configFile = join(host.directory, 'daemon.json');
  mkdirSync(host.dataRoot, { recursive: true, mode: 0o700 });
  mkdirSync(host.execRoot, { recursive: true, mode: 0o700 });
  const config =
    (await majorVersion(signal)) < 23
      ? // The engine's id comes from a key in /etc/docker, which all hosts would share.
        { 'deprecated-key-path': join(host.directory, 'key.json') }
      : // Newer engines may leave images to containerd, where seeds of images cannot be planted.
        { features: { 'containerd-snapshotter': false } };
  writeFileSync(configFile, JSON.stringify(config));
  return [
    ['--config-file', configFile],
    ['--data-root', host.dataRoot],
    ['--exec-root', host.execRoot],
    ['--pidfile', host.pidFile],
    ['--storage-driver', 'overlay2'],
    ['--host', `unix://${host.dockerSocket}`],
    ['--bip', host.engineBridge],
    ['--default-address-pool', 'base=198.19.128.0/17,size=24'],
    // Named, so that the plan knows where the containers' control groups are.
    ['--exec-opt', 'native.cgroupdriver=cgroupfs'],
    ['--cgroup-parent', host.cgroup],
    options.liveRestore === true ? ['--live-restore'] : [],
    options.args ?? [],
  ].flat();
}

/**
 * Removes what an engine that was killed left behind. A pid file of a pid that was given to another
 * process meanwhile would keep dockerd from starting, or from starting its containerd.
 */
export async function clearDeadEngine(
  plan: LabPlan,
  host: HostPlan,
  signal: AbortSignal,
): Promise<void> {
  const containerdPidFile = join(host.execRoot, 'containerd', 'containerd.pid');
  await killAll(() => {
    if (!existsSync(containerdPidFile)) return [];
    const pid = Number(readFileSync(containerdPidFile, 'utf8'));
    const ours = hasVariable(pid, hostVariable, `${plan.id}/${host.name}`);
    const identity = ours && programOf(pid) === 'containerd' ? identify(pid) : undefined;
    return identity !== undefined && isRunning(identity) ? [identity] : [];
  }, signal);
  for (const path of [host.pidFile, containerdPidFile, host.dockerSocket]) {
    rmSync(path, { force: true });
  }
}

/** Resolves when the engine answers; rejects with its last words when it ends instead. */
export async function engineReady(
  engine: LabProcess,
  socketPath: string,
  signal: AbortSignal,
): Promise<void> {
  const deadline = systemClock.monotonic() + startDeadlineMs;
  while (!(await answersPing(socketPath))) {
    signal.throwIfAborted();
    if (!engine.isRunning() || systemClock.monotonic() > deadline) {
      const outcome = engine.isRunning() ? 'does not answer' : 'ended at once';
      throw new DomainError(
        'unavailable',
        `the engine ${outcome}, its log ${engine.logPath} ends with:\n${engine.log().slice(-2000)}`,
        { reason: 'LAB_ENGINE_FAILED' },
      );
    }
    await systemClock.sleep(20, signal);
  }
}

/** Whether an engine answers at this socket within a second. */
async function answersPing(socketPath: string): Promise<boolean> {
  return await new Promise((resolve) => {
    const request = get({ socketPath, path: '/_ping', timeout: 1000, agent: false }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    request.on('timeout', () => request.destroy());
    request.on('error', () => {
      resolve(false);
    });
  });
}

async function majorVersion(signal: AbortSignal): Promise<number> {
  const version = await run('dockerd', ['--version'], {}, signal);
  return Number(/version (\d+)\./.exec(version)?.[1] ?? 0);
}
