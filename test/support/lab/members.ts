import { statSync } from 'node:fs';
import { systemClock } from '../../../shared/clock.ts';
import { DomainError } from '../../../shared/errors.ts';
import { hostVariable, labVariable, namespacePath, type HostPlan, type LabPlan } from './plan.ts';
import {
  findProcesses,
  hasVariable,
  isInCgroup,
  isStopped,
  networkNamespaceOf,
  signalProcess,
  type ProcessIdentity,
} from './proc.ts';

/** Longer than any process needs to die of SIGKILL, however loaded the machine is. */
const deadlineMs = 30_000;

/**
 * Every process of a host: engine, containerd, shims, what runs in containers, spawned agents and
 * their children. Nothing is found by its name: a process says by its namespace, its control group
 * or its environment where it comes from.
 */
export function processesOfHost(plan: LabPlan, host: HostPlan): ProcessIdentity[] {
  const namespace = inodeOf(host);
  return findProcesses(
    (pid) =>
      isIn(namespace, pid) ||
      isInCgroup(pid, host.cgroup) ||
      hasVariable(pid, hostVariable, `${plan.id}/${host.name}`),
  );
}

/** Every process of a lab, on its hosts and in the root namespace. */
export function processesOfLab(plan: LabPlan): ProcessIdentity[] {
  const namespaces = plan.hosts.map(inodeOf);
  return findProcesses(
    (pid) =>
      namespaces.some((namespace) => isIn(namespace, pid)) ||
      isInCgroup(pid, plan.cgroup) ||
      hasVariable(pid, labVariable, plan.id),
  );
}

/** Kills until nothing is found any more: a process may start another one while we look. */
export async function killAll(find: () => ProcessIdentity[], signal: AbortSignal): Promise<void> {
  await untilNone(find, 'SIGKILL', signal);
}

/** Stops every process by SIGSTOP, and those that were started meanwhile. */
export async function freezeAll(find: () => ProcessIdentity[], signal: AbortSignal): Promise<void> {
  await untilNone(() => find().filter((identity) => !isStopped(identity)), 'SIGSTOP', signal);
}

/** Undoes `freezeAll`. */
export async function thawAll(find: () => ProcessIdentity[], signal: AbortSignal): Promise<void> {
  await untilNone(() => find().filter(isStopped), 'SIGCONT', signal);
}

async function untilNone(
  find: () => ProcessIdentity[],
  kind: NodeJS.Signals,
  signal: AbortSignal,
): Promise<void> {
  const deadline = systemClock.monotonic() + deadlineMs;
  for (let found = find(); found.length > 0; found = find()) {
    if (systemClock.monotonic() > deadline) {
      const pids = found.map(({ pid }) => pid).join(', ');
      throw new DomainError('unavailable', `${kind} had no effect on the processes ${pids}`, {
        reason: 'LAB_PROCESS_STUCK',
      });
    }
    for (const identity of found) signalProcess(identity, kind);
    await systemClock.sleep(5, signal);
    signal.throwIfAborted();
  }
}

function isIn(namespace: number | undefined, pid: number): boolean {
  return namespace !== undefined && networkNamespaceOf(pid) === namespace;
}

/** Never our own namespace, whatever lies at that path: every process of the machine is in it. */
function inodeOf(host: HostPlan): number | undefined {
  const own = statSync('/proc/self/ns/net');
  const stat = statSync(namespacePath(host.namespace), { throwIfNoEntry: false });
  return stat?.dev === own.dev && stat.ino !== own.ino ? stat.ino : undefined;
}
