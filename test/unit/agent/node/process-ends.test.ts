import { expect, test } from 'vitest';
import { groupOf, isOver, rootOf } from '../../../../agent/node/process-ends.ts';

const engineId = '0123456789abcdef'.repeat(4);
const process = { engineId, pid: 4_242 };

test.each([
  {
    what: 'is alone',
    mounts: '29 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate',
    root: '/sys/fs/cgroup',
  },
  {
    what: 'stands beside version 1',
    mounts:
      '31 23 0:27 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n',
    root: '/sys/fs/cgroup/unified',
  },
  {
    what: 'is not there',
    mounts: '31 23 0:27 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids',
    root: null,
  },
  {
    what: 'is seen in part only',
    mounts: '29 23 0:26 /docker/f00 /sys/fs/cgroup ro - cgroup2 cgroup rw',
    root: null,
  },
  { what: 'cannot be looked for', mounts: null, root: null },
])('finds the control groups of version 2 where that $what', ({ mounts, root }) => {
  expect(rootOf(mounts)).toBe(root);
});

test('finds the group of a container, by either of the ways that Docker names it', () => {
  const scope = `/system.slice/docker-${engineId}.scope`;
  expect(groupOf(process, `0::${scope}\n`)).toBe(scope);
  expect(groupOf(process, `8:pids:/docker/${engineId}\n0::/docker/${engineId}\n`)).toBe(
    `/docker/${engineId}`,
  );
});

test('takes no other process for that of a container, nor a group that others share', () => {
  const other = `/docker/${'f'.repeat(64)}`;
  expect(groupOf(process, `0::${other}\n`)).toBeNull();
  expect(groupOf(process, `8:pids:/docker/${engineId}\n0::/\n`)).toBeNull();
  expect(groupOf(process, `8:pids:/docker/${engineId}\n`)).toBeNull();
});

test.each([
  { stat: '4242 (httpd) S 1 4242', over: false },
  { stat: '4242 (Z) Z) R 1 4242', over: false },
  { stat: '4242 (httpd) Z 1 4242', over: true },
  { stat: '4242 (a) b) X 1 4242', over: true },
  { stat: null, over: true },
])('knows of a process whether it lives: $stat', ({ stat, over }) => {
  expect(isOver(stat)).toBe(over);
});
