import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ContainerWork } from '../../../../agent/node/container-work.ts';
import { EngineRefusedError } from '../../../../agent/node/docker/engine.ts';
import type { ProcessExit } from '../../../../agent/node/docker/exit-events.ts';
import { Images } from '../../../../agent/node/images.ts';
import { Limiter } from '../../../../shared/limiter.ts';
import type {
  Assignment,
  ContainerDefinition,
  ContainerFailure,
  ContainerStatus,
  WantedPhase,
} from '../../../../agent/node/model.ts';
import { Worker } from '../../../../agent/node/worker.ts';
import type { Liveness } from '../../../../shared/health-check.ts';
import type { ContainerId } from '../../../../shared/ids.ts';
import { createLogger } from '../../../../shared/logger.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { aDefinition, anEngineContainer, aReadinessSpec, nodeId, startedAt } from './builders.ts';
import { FakeEngine } from './fake-engine.ts';

const idOf = (number: number) => `${number}`.padStart(8, '0').padEnd(32, 'f') as ContainerId;
const advertiseAddress = '192.0.2.7';

describe('a worker', () => {
  let clock: FakeClock;
  let engine: FakeEngine;
  let worker: Worker;
  let statuses: ContainerStatus[];
  let failures: ContainerFailure[];
  let forgotten: ContainerId[];
  let probeFailure: string;
  /** Those whose processes are watched, and what tells of their ends. */
  let ends: Map<number, () => void>;

  beforeEach(() => {
    clock = new FakeClock();
    engine = new FakeEngine();
    statuses = [];
    failures = [];
    forgotten = [];
    probeFailure = '';
    ends = new Map();
    worker = createWorker();
  });
  afterEach(async () => {
    for (const { release } of engine.held) release();
    await worker.stop();
  });

  function createWorker(): Worker {
    const random = { fraction: () => 0.5, id: () => '', secret: () => '' };
    const placement = { nodeId, advertiseAddress, publishAddress: '0.0.0.0' };
    const starts = new Limiter(4);
    return new Worker({
      ...{ engine, clock, random, advertiseAddress },
      work: new ContainerWork({ engine, images: new Images(engine), starts, placement }),
      probe: () => Promise.resolve(probeFailure),
      watchEnd: ({ pid }, onEnd) => {
        ends.set(pid, onEnd);
        return { [Symbol.dispose]: () => void ends.delete(pid) };
      },
      log: createLogger({ level: 'silent', process: 'test' }),
      async *logs() {
        // They wrote nothing.
      },
      report: (status) => statuses.push(status),
      failed: (failure) => failures.push(failure),
      forget: (id) => forgotten.push(id),
    });
  }

  function assignment(
    number: number,
    wanted: WantedPhase,
    definition: Partial<ContainerDefinition> = {},
  ): Assignment {
    const named = aDefinition({ name: `web-${number}`, ...definition });
    return { containerId: idOf(number), wanted, definition: named, drained: false };
  }

  async function order(...assignments: readonly Assignment[]): Promise<void> {
    worker.apply({ complete: false, assignments, forgotten: [] });
    await clock.settle();
  }

  /** Follows the engine's events from now on, as the agent does. */
  async function follow(): Promise<void> {
    const events = await engine.events(0, new AbortController().signal);
    void (async () => {
      for await (const event of events) worker.handle({ kind: 'event', event });
    })().catch(() => undefined);
  }

  const last = (number: number) =>
    statuses.filter(({ containerId }) => containerId === idOf(number)).at(-1);
  const engineIdOf = (number: number) => {
    const containers = [...engine.containers.values()];
    return containers.find(({ identity }) => identity.containerId === idOf(number))!.engineId;
  };

  test('takes a container all the way up and down, with nothing done twice', async () => {
    await follow();
    await order(assignment(1, 'running'));
    expect(last(1)).toMatchObject({ phase: 'running', readiness: 'ready', name: 'web-1' });
    await order(assignment(1, 'running'));
    worker.apply({ complete: true, assignments: [assignment(1, 'running')], forgotten: [] });
    await clock.settle();
    await order(assignment(1, 'stopped', { stopGraceMs: 1_234 }));
    expect(last(1)).toMatchObject({ phase: 'stopped', exitCode: 143 });
    await order(assignment(1, 'removed'));
    expect(last(1)).toMatchObject({ phase: 'removed' });
    expect(engine.calls).toEqual([
      'create web-1',
      'start web-1',
      'stop web-1 1234',
      'remove web-1',
    ]);
  });

  test('asks the engine little: for an image once for all, for each container before it is made and when it runs', async () => {
    await follow();
    await order(...[1, 2, 3].map((number) => assignment(number, 'running')));
    for (const number of [1, 2, 3]) expect(last(number)?.readiness).toBe('ready');
    const asked = (question: string) => engine.questions.filter((each) => each === question).length;
    expect([asked('hasImage'), asked('find'), asked('inspect')]).toEqual([1, 3, 3]);
  });

  test('looks at once at a process that was started again, however short a time after its end', async () => {
    await follow();
    await order(assignment(1, 'running'));
    engine.end(engineIdOf(1), 137, 'restarting');
    engine.run(engineIdOf(1));
    const { startedAt: second } = engine.containers.get(engineIdOf(1))!;
    await clock.settle();
    expect(last(1)).toMatchObject({ phase: 'running', readiness: 'ready', startedAt: second });
  });

  describe('a process whose end containerd tells of', () => {
    const exitOf = (number: number, change: Partial<ProcessExit> = {}): ProcessExit => {
      const engineId = engineIdOf(number);
      const { pid } = engine.containers.get(engineId)!;
      const atMs = startedAt.getTime() + 3_600_000;
      return { engineId, pid, exitCode: 137, atMs, ...change };
    };

    test('is not ready at once, and stays so while the engine still says that it runs', async () => {
      await follow();
      await order(assignment(1, 'running'), assignment(2, 'running'));
      const engineId = engineIdOf(1);
      worker.handleExit(exitOf(1));
      expect(last(1)).toMatchObject({ phase: 'starting', readiness: 'not-ready', exitCode: 137 });
      expect(last(2)).toMatchObject({ phase: 'running', readiness: 'ready' });
      await clock.advance(5_000);
      expect(last(1)).toMatchObject({ phase: 'starting', readiness: 'not-ready' });

      const told = statuses.length;
      engine.end(engineId, 137, 'restarting');
      await clock.advance(1_000);
      expect(statuses.slice(told).map(({ phase }) => phase)).not.toContain('running');
      engine.run(engineId);
      await clock.settle();
      expect(last(1)).toMatchObject({ phase: 'running', readiness: 'ready' });
    });

    test('is not asked of the engine before that tells of it too', async () => {
      await follow();
      await order(assignment(1, 'running'));
      engine.hold.add('inspect');
      worker.handleExit(exitOf(1));
      await clock.advance(500);
      expect(engine.held).toEqual([]);
      engine.end(engineIdOf(1), 137, 'restarting');
      await clock.advance(20);
      expect(engine.held).toEqual([]);
      await clock.advance(20);
      expect(engine.held).toHaveLength(1);
      engine.hold.clear();
      engine.release();
    });

    describe('is looked at as soon as containerd tells of its next start', () => {
      let engineId: string;
      let before: number;
      const asked = () => engine.questions.filter((each) => each === 'inspect').length - before;

      beforeEach(async () => {
        await follow();
        await order(assignment(1, 'running'));
        engineId = engineIdOf(1);
        engine.end(engineId, 137, 'restarting');
        await clock.advance(100);
        engine.hold.add('inspect');
        before = 0;
        before = asked();
      });

      async function answer(): Promise<void> {
        engine.hold.clear();
        engine.release();
        await clock.settle();
        expect(last(1)).toMatchObject({ phase: 'running', readiness: 'ready' });
        worker.handleStart({ engineId });
        await clock.advance(1_000);
      }

      test('and once, if the engine has what it tells of meanwhile', async () => {
        worker.handleStart({ engineId: 'f'.repeat(64) });
        await clock.settle();
        expect(asked()).toBe(0);
        engine.change(engineId, { state: 'running', pid: 4_242 });
        worker.handleStart({ engineId });
        await clock.settle();
        expect(asked()).toBe(1);
        engine.tell(engineId, { kind: 'started' });
        await clock.settle();
        await answer();
        expect(asked()).toBe(1);
      });

      test('and again if the engine did not know of it yet', async () => {
        worker.handleStart({ engineId });
        await clock.settle();
        engine.run(engineId);
        await clock.settle();
        await answer();
        expect(asked()).toBe(2);
      });
    });

    test('is told of too late, or of a container that is not ours, and changes nothing', async () => {
      await follow();
      await order(assignment(1, 'running'));
      const late = exitOf(1);
      engine.end(engineIdOf(1), 137, 'restarting');
      engine.run(engineIdOf(1));
      await clock.settle();
      const told = statuses.length;
      worker.handleExit(late);
      worker.handleExit(exitOf(1, { engineId: 'f'.repeat(64) }));
      await clock.advance(5_000);
      expect(statuses.length).toBe(told);
      expect(last(1)).toMatchObject({ phase: 'running', readiness: 'ready' });
    });
  });

  describe('a process whose end the kernel tells of', () => {
    const pidOf = (number: number) => engine.containers.get(engineIdOf(number))!.pid;

    async function run(definition: Partial<ContainerDefinition> = {}): Promise<number> {
      await follow();
      await order(assignment(1, 'running', definition));
      await clock.advance(1_000);
      return pidOf(1);
    }

    test('is not ready at once, stays so while the engine says that it runs, and is watched anew when it is back', async () => {
      const pid = await run();
      expect([...ends.keys()]).toEqual([pid]);
      ends.get(pid)!();
      const message = 'its process ended';
      expect(last(1)).toMatchObject({
        phase: 'starting',
        readiness: 'not-ready',
        ports: [],
        message,
      });
      expect(last(1)?.exitCode).toBeUndefined();
      worker.handle({ kind: 'present', info: engine.info, containers: [] });
      await clock.advance(5_000);
      expect(last(1)).toMatchObject({ phase: 'starting', readiness: 'not-ready', message });

      engine.end(engineIdOf(1), 137, 'restarting');
      await clock.advance(40);
      expect(last(1)).toMatchObject({ phase: 'starting', exitCode: 137 });
      engine.run(engineIdOf(1));
      await clock.advance(1_000);
      expect(last(1)).toMatchObject({ phase: 'running', readiness: 'ready' });
      expect(pidOf(1)).not.toBe(pid);
      expect([...ends.keys()]).toEqual([pidOf(1)]);
    });

    test('is told of once more when containerd says how it ended, in a moment', async () => {
      const pid = await run();
      ends.get(pid)!();
      const told = statuses.length;
      const atMs = startedAt.getTime() + 3_600_000;
      worker.handleExit({ engineId: engineIdOf(1), pid, exitCode: 137, atMs });
      expect(statuses).toHaveLength(told);
      await clock.advance(40);
      expect(statuses.slice(told)).toEqual([
        expect.objectContaining({ phase: 'starting', readiness: 'not-ready', exitCode: 137 }),
      ]);
    });

    test('has not failed, for all that is known, if the engine would not restart it', async () => {
      const pid = await run({ restart: 'never' });
      ends.get(pid)!();
      expect(last(1)).toMatchObject({ phase: 'running', readiness: 'not-ready', ports: [] });
      engine.end(engineIdOf(1), 0, 'ended');
      await clock.advance(40);
      expect(last(1)).toMatchObject({ phase: 'stopped', exitCode: 0 });
    });

    test('is watched no more when the agent ends', async () => {
      await run();
      await worker.stop();
      expect([...ends.keys()]).toEqual([]);
    });
  });

  describe('a container whose liveness fails', () => {
    const liveness: Liveness = {
      check: { kind: 'command', command: ['check'] },
      ...{ intervalMs: 1_000, timeoutMs: 500, failureThreshold: 2 },
      ...{ successThreshold: 1, startPeriodMs: 0 },
    };
    const readiness = aReadinessSpec({ check: { kind: 'none' } });
    const sick = { liveness, readiness, drainTimeoutMs: 30_000, stopGraceMs: 1_234 };

    async function fallSick(changes: Partial<ContainerDefinition> = {}): Promise<void> {
      await follow();
      await order(assignment(1, 'running', { ...sick, ...changes }));
      expect(last(1)).toMatchObject({ phase: 'running', readiness: 'ready' });
      probeFailure = 'hangs';
      await clock.advance(2_500);
      expect(last(1)).toMatchObject({
        ...{ phase: 'running', readiness: 'not-ready', awaitsDrain: true },
        message: 'its liveness check fails: hangs; it is restarted once it is drained',
      });
      expect(engine.calls).not.toContain('restart web-1 1234');
    }

    test('leaves the load balancers, and is restarted when they have drained it', async () => {
      await fallSick();
      probeFailure = '';
      await order({ ...assignment(1, 'running', sick), drained: true });
      await clock.advance(1_000);
      expect(engine.calls.at(-1)).toBe('restart web-1 1234');
      expect(last(1)).toMatchObject({ phase: 'running', readiness: 'ready', awaitsDrain: false });
      const phases = new Set(statuses.map(({ phase }) => phase));
      expect([...phases]).toEqual(['starting', 'running']);
    });

    test('is restarted after its drain timeout, whatever its restart policy', async () => {
      await fallSick({ restart: 'never' });
      await clock.advance(27_000);
      expect(engine.calls).not.toContain('restart web-1 1234');
      probeFailure = '';
      await clock.advance(3_000);
      expect(engine.calls.at(-1)).toBe('restart web-1 1234');
      expect(last(1)).toMatchObject({ phase: 'running', readiness: 'ready' });
    });

    test('is drained anew the next time', async () => {
      await fallSick();
      await order({ ...assignment(1, 'running', sick), drained: true });
      await clock.advance(10_000);
      expect(last(1)).toMatchObject({ readiness: 'not-ready', awaitsDrain: true });
      expect(engine.calls.filter((call) => call.startsWith('restart'))).toHaveLength(1);
    });

    test('is stopped when it is to stop, and not restarted then', async () => {
      await fallSick();
      await order(assignment(1, 'stopped', sick));
      await clock.advance(60_000);
      expect(last(1)).toMatchObject({ phase: 'stopped', awaitsDrain: false });
      expect(engine.calls).not.toContain('restart web-1 1234');
    });
  });

  test('creates and starts at most four at the same time', async () => {
    engine.hold.add('start');
    await order(...[1, 2, 3, 4, 5, 6].map((number) => assignment(number, 'running')));
    expect(engine.held).toHaveLength(4);
    expect(engine.calls.filter((call) => call.startsWith('create'))).toHaveLength(4);
    engine.release();
    await clock.settle();
    expect(engine.held).toHaveLength(4);
    expect(engine.calls.filter((call) => call.startsWith('create'))).toHaveLength(5);
  });

  test('does not create what is not wanted any more once it is its turn', async () => {
    engine.hold.add('start');
    await order(...[1, 2, 3, 4, 5].map((number) => assignment(number, 'running')));
    await order(assignment(5, 'removed'));
    expect(last(5)).toMatchObject({ phase: 'removed' });
    engine.release();
    await clock.settle();
    expect(engine.calls).not.toContain('create web-5');
  });

  test('gives up a pull that is not wanted any more, and pulls once for many', async () => {
    engine.hold.add('pull');
    const image = 'registry/big';
    await order(assignment(1, 'running', { image }), assignment(2, 'running', { image }));
    expect(engine.calls).toEqual(['pull registry/big']);
    expect(last(1)).toMatchObject({ phase: 'pulling' });
    await order(assignment(1, 'removed'), assignment(2, 'removed'));
    expect([last(1)?.phase, last(2)?.phase]).toEqual(['removed', 'removed']);
    expect(engine.calls).toEqual(['pull registry/big']);
  });

  test('fails what the engine will not start, removes its half, and does not try again', async () => {
    engine.refusals.set('start', new EngineRefusedError('refused', 'port is already allocated'));
    await order(assignment(1, 'running'));
    expect(last(1)).toMatchObject({
      phase: 'failed',
      message: 'cannot be started: port is already allocated',
    });
    expect(engine.containers.size).toBe(0);
    await order(assignment(1, 'running'));
    expect(engine.calls).toEqual(['create web-1', 'start web-1', 'remove web-1']);
  });

  test('does not take it out on a container when the engine goes down', async () => {
    engine.refusals.set('start', new EngineRefusedError('refused', 'shutting down'));
    engine.unreachable.add('ping');
    await order(assignment(1, 'running'));
    expect(last(1)).toMatchObject({ phase: 'starting' });
    engine.refusals.clear();
    engine.unreachable.clear();
    await clock.advance(1_000);
    expect(last(1)).toMatchObject({ phase: 'running' });
    expect(engine.calls.filter((call) => call.startsWith('create'))).toHaveLength(1);
  });

  test('takes over what turns out to be there already when it is created', async () => {
    engine.hold.add('create');
    await order(assignment(1, 'running'));
    const identity = { ...aDefinition({ name: 'web-1' }), nodeId, containerId: idOf(1) };
    const engineId = 'e'.repeat(64);
    engine.containers.set(engineId, anEngineContainer({ engineId, identity, state: 'created' }));
    engine.release();
    await clock.settle();
    expect(last(1)).toMatchObject({ phase: 'running', engineId });
    expect(engine.calls).toEqual(['create web-1', 'start web-1']);
  });

  test('fails a container whose name the engine gave to something that is not ours', async () => {
    engine.refusals.set('create', new EngineRefusedError('conflict', 'the name is in use'));
    await order(assignment(1, 'running'));
    expect(last(1)).toMatchObject({
      phase: 'failed',
      message: 'cannot be created: the name is in use',
    });
  });

  test('does not begin anew what it is told again', async () => {
    engine.hold.add('pull');
    const again = assignment(1, 'running', { image: 'registry/big' });
    await order(again);
    worker.apply({ complete: true, assignments: [{ ...again }], forgotten: [] });
    await order({ ...again });
    expect(engine.held).toHaveLength(1);
    expect(engine.calls).toEqual(['pull registry/big']);
  });

  test('waits for an engine that is away, and makes one engine container then', async () => {
    engine.isAway = true;
    await order(assignment(1, 'running'));
    await clock.advance(60_000);
    expect(statuses).toEqual([]);
    engine.isAway = false;
    worker.handle({ kind: 'present', info: engine.info, containers: [] });
    await clock.settle();
    expect(last(1)).toMatchObject({ phase: 'running' });
    expect(engine.calls).toEqual(['create web-1', 'start web-1']);
  });

  test('reports the end of a process before it asks the engine', async () => {
    await follow();
    await order(assignment(1, 'running'));
    const known = statuses.length;
    engine.isFrozen = true;
    engine.end(engineIdOf(1), 1, 'restarting');
    await clock.settle();
    expect(statuses.slice(known)).toMatchObject([
      { phase: 'starting', readiness: 'not-ready', exitCode: 1, ports: [] },
    ]);
  });

  test('does not believe what it asked before it heard of the end', async () => {
    await follow();
    await order(assignment(1, 'running'));
    const known = statuses.length;
    engine.hold.add('inspect');
    engine.tell(engineIdOf(1), { kind: 'changed' });
    await clock.settle();
    engine.end(engineIdOf(1), 1, 'restarting');
    await clock.settle();
    engine.release();
    await clock.settle();
    expect(statuses.slice(known).map(({ phase }) => phase)).toEqual(['starting']);
  });

  test('takes no notice of another engine container with the same label', async () => {
    await follow();
    await order(assignment(1, 'running'));
    const known = statuses.length;
    const copy = { engineId: 'd'.repeat(64), containerId: idOf(1), atMs: Number.MAX_SAFE_INTEGER };
    worker.handle({ kind: 'event', event: { ...copy, kind: 'ended', exitCode: 1 } });
    await clock.settle();
    expect(statuses.slice(known)).toEqual([]);
  });

  test('follows a process through its restart, with the ports that it has then', async () => {
    await follow();
    await order(assignment(1, 'running'));
    const before = last(1)!;
    engine.end(engineIdOf(1), 1, 'restarting');
    await clock.settle();
    probeFailure = 'refuses connections';
    engine.run(engineIdOf(1));
    await clock.settle();
    expect(last(1)).toMatchObject({ phase: 'running', readiness: 'not-ready' });
    expect(last(1)?.ports).not.toEqual(before.ports);
    probeFailure = '';
    await clock.advance(100);
    expect(last(1)).toMatchObject({ phase: 'running', readiness: 'ready' });
  });

  test('does not fall for late news of a process that was restarted since', async () => {
    await follow();
    await order(assignment(1, 'running'));
    const engineId = engineIdOf(1);
    const known = statuses.length;
    const atMs = startedAt.getTime() - 1;
    const about = { engineId, containerId: idOf(1), atMs };
    worker.handle({ kind: 'event', event: { ...about, kind: 'ended', exitCode: 1 } });
    await clock.settle();
    expect(statuses.slice(known).every(({ readiness }) => readiness === 'ready')).toBe(true);
  });

  test('gives an engine that may be shutting down time to go away', async () => {
    await follow();
    await order(assignment(1, 'running'));
    engine.isShuttingDown = true;
    engine.tell(engineIdOf(1), { kind: 'signalled', signalNumber: 15 });
    engine.end(engineIdOf(1), 0, 'ended');
    await clock.advance(19_000);
    expect(last(1)).toMatchObject({ phase: 'starting', readiness: 'not-ready' });
    await clock.advance(2_000);
    expect(last(1)).toMatchObject({ phase: 'stopped', exitCode: 0 });
  });

  test('finds out soon that somebody stopped it by hand', async () => {
    await follow();
    await order(assignment(1, 'running'));
    engine.tell(engineIdOf(1), { kind: 'signalled', signalNumber: 15 });
    engine.end(engineIdOf(1), 143, 'ended');
    await clock.advance(2_000);
    expect(last(1)).toMatchObject({ phase: 'starting', readiness: 'not-ready' });
    await clock.advance(2_000);
    expect(last(1)).toMatchObject({ phase: 'failed', exitCode: 143 });
  });

  test('lets somebody restart it by hand', async () => {
    await follow();
    await order(assignment(1, 'running'));
    engine.tell(engineIdOf(1), { kind: 'signalled', signalNumber: 15 });
    engine.end(engineIdOf(1), 143, 'ended');
    await clock.advance(500);
    engine.run(engineIdOf(1));
    await clock.advance(5_000);
    expect(last(1)).toMatchObject({ phase: 'running', readiness: 'ready' });
    expect(statuses.map(({ phase }) => phase)).not.toContain('failed');
  });

  test('adopts what runs, and says nothing against it before a check is sure', async () => {
    await order(assignment(1, 'running'));
    await worker.stop();
    statuses = [];
    worker = createWorker();
    const containers = [...engine.containers.values()];
    worker.handle({ kind: 'present', info: engine.info, containers });
    expect(statuses).toMatchObject([{ phase: 'running', readiness: 'unknown', name: 'web-1' }]);
    probeFailure = 'refuses connections';
    await order(assignment(1, 'running'));
    await clock.advance(1_500);
    expect(last(1)).toMatchObject({ readiness: 'unknown' });
    probeFailure = '';
    await clock.advance(1_000);
    expect(last(1)).toMatchObject({ readiness: 'ready' });
    expect(engine.calls).toEqual(['create web-1', 'start web-1']);
  });

  test('leaves alone what a complete set does not name, and forgets what is gone', async () => {
    await order(assignment(1, 'running'), assignment(2, 'running'));
    await order(assignment(2, 'removed'));
    worker.apply({ complete: true, assignments: [], forgotten: [] });
    await clock.settle();
    expect(engine.containers.size).toBe(1);
    expect(forgotten).toEqual([idOf(2)]);
    expect(last(1)).toMatchObject({ phase: 'running' });
    worker.apply({ complete: false, assignments: [], forgotten: [idOf(1)] });
    await clock.settle();
    expect(forgotten).toEqual([idOf(2), idOf(1)]);
    expect(engine.calls).not.toContain('remove web-1');
  });

  test('does not bring back what it forgot by the last that is heard of it', async () => {
    await order(assignment(1, 'running'));
    const engineId = engineIdOf(1);
    engine.containers.clear();
    await order(assignment(1, 'removed'));
    worker.apply({ complete: false, assignments: [], forgotten: [idOf(1)] });
    await clock.settle();
    const known = statuses.length;
    const about = { engineId, containerId: idOf(1), atMs: 0 };
    worker.handle({ kind: 'event', event: { ...about, kind: 'removed' } });
    await clock.settle();
    worker.apply({ complete: true, assignments: [], forgotten: [] });
    await clock.settle();
    expect(statuses).toHaveLength(known);
    expect(forgotten).toEqual([idOf(1)]);
  });

  test('says why it cannot remove a container, and tries again', async () => {
    await order(assignment(1, 'running'));
    engine.refusals.set('remove', new EngineRefusedError('refused', 'device is busy'));
    await order(assignment(1, 'removed'));
    expect(last(1)).toMatchObject({
      phase: 'stopped',
      message: 'cannot be removed: device is busy',
    });
    engine.refusals.clear();
    await clock.advance(1_000);
    expect(last(1)).toMatchObject({ phase: 'removed', message: '' });
  });

  test('ends without touching anything', async () => {
    await order(assignment(1, 'running'));
    engine.hold.add('stop');
    await order(assignment(1, 'stopped'));
    await worker.stop();
    await order(assignment(2, 'running'));
    expect(engine.calls).toEqual(['create web-1', 'start web-1', 'stop web-1 10000']);
  });
});
