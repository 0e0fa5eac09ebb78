import { readFileSync, watch, type FSWatcher } from 'node:fs';
import { join } from 'node:path';

/** The first process of an engine container, as it is numbered on this host. */
export interface WatchedProcess {
  readonly engineId: string;
  readonly pid: number;
}

/**
 * Calls `onEnd` once when the process has ended, unless it is disposed of before. Where that cannot be known it
 * never does; the engine tells later.
 */
export type WatchEnd = (process: WatchedProcess, onEnd: () => void) => Disposable;

const nothing: Disposable = { [Symbol.dispose]: () => undefined };

/**
 * Has the ends of processes from the kernel, which tells when nothing runs in a control group any more: within
 * a millisecond, before the runtime of the container has reaped it and containerd has heard. How it ended is
 * not known then.
 *
 * Takes version 2 of control groups; where containers are bound by version 1, their runtime puts them into
 * groups of version 2 as well if there are any. Anybody may read what it reads: as the service of our packages, an
 * agent sees no processes of others, and looks for a group where Docker puts it as a rule.
 */
export function watchEnds(): WatchEnd {
  let root: string | null | undefined;
  return (process, onEnd) => {
    root ??= rootOf(read('/proc/self/mountinfo'));
    if (root === null) return nothing;
    const groups = read(`/proc/${process.pid}/cgroup`);
    const group =
      groups === null
        ? usualGroups(root, process).find(isThere)
        : absolute(root, groupOf(process, groups));
    const told = { onEnd, isShown: groups !== null };
    return group === undefined ? nothing : watchGroup(group, process.pid, told);
  };
}

function absolute(root: string, group: string | null): string | undefined {
  return group === null ? undefined : join(root, group);
}

/** Where Docker puts the group of a container unless it is told to put it elsewhere. */
function usualGroups(root: string, { engineId }: WatchedProcess): string[] {
  return [join(root, `system.slice/docker-${engineId}.scope`), join(root, 'docker', engineId)];
}

function isThere(group: string): boolean {
  return read(eventsOf(group)) !== null;
}

function eventsOf(group: string): string {
  return join(group, 'cgroup.events');
}

function watchGroup(
  group: string,
  pid: number,
  { onEnd, isShown }: { readonly onEnd: () => void; readonly isShown: boolean },
): Disposable {
  const path = eventsOf(group);
  let watcher: FSWatcher;
  const look = (): void => {
    if (!isEmpty(read(path)) || !isOver(read(`/proc/${pid}/stat`))) return;
    watcher.close();
    onEnd();
  };
  try {
    watcher = watch(path, { persistent: false }, look);
  } catch {
    // It ended meanwhile, or the host allows no more watches.
    return nothing;
  }
  watcher.on('error', () => {
    watcher.close();
  });
  // From here on nothing is missed; it may have been before. But a group that is empty from the beginning says
  // nothing of a process that is not shown to us: it may have gone elsewhere.
  if (isShown) look();
  return {
    [Symbol.dispose]: () => {
      watcher.close();
    },
  };
}

/** Where groups of version 2 are mounted as a whole; null: nowhere. Takes /proc/self/mountinfo. */
export function rootOf(mounts: string | null): string | null {
  for (const line of mounts?.split('\n') ?? []) {
    const [, , , root, path = ''] = line.split(' ');
    if (line.includes(' - cgroup2 ') && root === '/') return path;
  }
  return null;
}

/**
 * The group of a process; null if it is not that of the container: then the number is another process here, as
 * for an agent that does not see the processes of its host. Takes /proc/PID/cgroup.
 */
export function groupOf({ engineId }: WatchedProcess, groups: string): string | null {
  const line = groups.split('\n').find((each) => each.startsWith('0::/'));
  return line?.includes(engineId) === true ? line.slice('0::'.length) : null;
}

/** Nothing runs in a group. Takes its cgroup.events. */
function isEmpty(events: string | null): boolean {
  return events?.split('\n').includes('populated 0') === true;
}

/** The process is gone, or nobody has asked yet how it ended. Takes /proc/PID/stat. */
export function isOver(stat: string | null): boolean {
  // Its name, which is in parentheses, may have any in it.
  return stat === null || /^[ZX]/.test(stat.slice(stat.lastIndexOf(')') + 2));
}

/** Files of the kernel: they are in memory, and short. Null: there is none. */
function read(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}
