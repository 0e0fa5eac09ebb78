import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { rootOf, watchEnds } from '../../../../agent/node/process-ends.ts';
import { eventually } from '../../../support/eventually.ts';
import { describeWithLab } from '../../../support/needs.ts';

/** Above all that the kernel gives: such a process is not shown. */
const hiddenPid = 2 ** 22 + 1;

describeWithLab('the ends of processes from the kernel', () => {
  const engineId = randomBytes(32).toString('hex');
  const root = rootOf(readFileSync('/proc/self/mountinfo', 'utf8'))!;
  const group = join(root, 'docker', engineId);
  let child: ChildProcess;
  let told: number;

  beforeEach(async () => {
    mkdirSync(group, { recursive: true });
    child = spawn('sleep', ['1000']);
    await once(child, 'spawn');
    told = 0;
  });
  afterEach(async () => {
    await end();
    await eventually(() => {
      rmdirSync(group);
    });
  });

  function enter(): void {
    writeFileSync(join(group, 'cgroup.procs'), `${child.pid}`);
  }

  async function end(): Promise<void> {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  }

  function watch(pid = child.pid!): Disposable {
    return watchEnds()({ engineId, pid }, () => told++);
  }

  test.each([
    { what: 'that it sees', pid: () => child.pid! },
    { what: 'that it does not see, by where Docker puts it', pid: () => hiddenPid },
  ])('are told once of a process $what', async ({ pid }) => {
    enter();
    using _watching = watch(pid());
    expect(told).toBe(0);
    await end();
    await eventually(() => {
      expect(told).toBe(1);
    });
  });

  test('are not told of one that left its group and lives, nor of one that was never seen in it', async () => {
    const others: string[] = [];
    const listener = (name: string) => () => void others.push(name);
    using _empty = watchEnds()({ engineId, pid: hiddenPid }, listener('never in it'));
    using _elsewhere = watchEnds()({ engineId, pid: child.pid! }, listener('elsewhere'));
    expect(others).toEqual([]);
    _empty[Symbol.dispose]();
    enter();
    using _left = watchEnds()({ engineId, pid: child.pid! }, listener('left'));
    // Of this one nothing is known but that the group is empty.
    using _hidden = watch(hiddenPid);
    writeFileSync(join(root, 'cgroup.procs'), `${child.pid}`);
    await eventually(() => {
      expect(told).toBe(1);
    });
    await end();
    expect(others).toEqual([]);
  });
});
