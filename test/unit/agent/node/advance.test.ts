import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { advance, afterEnd, type Action, type View } from '../../../../agent/node/advance.ts';
import type {
  EngineContainer,
  EngineContainerState,
} from '../../../../agent/node/docker/engine.ts';
import type { ContainerStatus, Phase, WantedPhase } from '../../../../agent/node/model.ts';
import { aBinding, anEngineContainer, aStatus, aView, startedAt } from './builders.ts';

const ended = (exitCode: number, more: Partial<EngineContainer> = {}) =>
  anEngineContainer({
    state: 'ended',
    exitCode,
    endedAt: new Date('2030-01-01T01:00:00Z'),
    ...more,
  });

describe('advance to running', () => {
  test.each<[string, Partial<View>, Action, Partial<ContainerStatus> | undefined]>([
    ['looks for the image first, and says nothing yet', {}, 'find-image', undefined],
    ['pulls a missing image', { image: 'missing' }, 'pull', { phase: 'pulling' }],
    ['creates with the image', { image: 'present' }, 'create', { phase: 'starting' }],
    [
      'starts what was only created',
      { engine: anEngineContainer({ state: 'created', startedAt: undefined, ports: [] }) },
      'start',
      { phase: 'starting', readiness: 'not-ready', ports: [] },
    ],
    [
      'lets run what runs',
      { engine: anEngineContainer(), readiness: 'ready' },
      'none',
      { phase: 'running', readiness: 'ready', ports: [aBinding()], startedAt, message: '' },
    ],
    [
      'says why a running one is not ready',
      { engine: anEngineContainer(), readinessMessage: 'refuses connections' },
      'none',
      { phase: 'running', readiness: 'not-ready', message: 'refuses connections' },
    ],
    [
      'does not judge a process that was there before the agent',
      { engine: anEngineContainer(), readiness: 'unknown' },
      'none',
      { phase: 'running', readiness: 'unknown' },
    ],
    [
      'calls a paused one running and not ready',
      { engine: anEngineContainer({ state: 'paused' }), readiness: 'ready' },
      'none',
      { phase: 'running', readiness: 'not-ready', message: 'is paused', ports: [aBinding()] },
    ],
    [
      'has one leave the balancers whose process ended, before the engine says how',
      { engine: anEngineContainer(), readiness: 'ready', hasJustEnded: true },
      'none',
      { phase: 'starting', readiness: 'not-ready', ports: [], message: 'its process ended' },
    ],
    [
      'does not restart what has ended meanwhile',
      {
        engine: anEngineContainer(),
        ...{ hasJustEnded: true, livenessMessage: 'hangs', mayRestart: true },
      },
      'none',
      { phase: 'starting', readiness: 'not-ready', awaitsDrain: false },
    ],
    [
      'does not call failed what may have ended well',
      { engine: anEngineContainer({ restartPolicy: 'never' }), hasJustEnded: true },
      'none',
      { phase: 'running', readiness: 'not-ready', ports: [], message: 'its process ended' },
    ],
    [
      'waits for the engine to restart a process',
      { engine: ended(1, { state: 'restarting' }), mayReturn: true },
      'wait',
      {
        phase: 'starting',
        readiness: 'not-ready',
        exitCode: 1,
        message: 'its process ended with exit status 1; the engine restarts it',
      },
    ],
    [
      'waits while the engine may be shutting down',
      { engine: ended(0), mayReturn: true },
      'wait',
      { phase: 'starting', exitCode: 0 },
    ],
    [
      'fails what the engine promised to restart and did not',
      { engine: ended(1, { state: 'restarting' }) },
      'none',
      {
        phase: 'failed',
        message: 'its process ended with exit status 1; the engine was to restart it but did not',
      },
    ],
    [
      'fails a process that ended badly by itself',
      { engine: ended(3) },
      'none',
      { phase: 'failed', exitCode: 3, message: 'its process ended with exit status 3', ports: [] },
    ],
    [
      'names want of memory',
      { engine: ended(137, { outOfMemory: true }) },
      'none',
      {
        phase: 'failed',
        message: 'its process ended with exit status 137, killed for lack of memory',
      },
    ],
    ['calls one that ended well stopped', { engine: ended(0) }, 'none', { phase: 'stopped' }],
    [
      "passes on the engine's words",
      { engine: ended(128, { error: 'port is already allocated' }) },
      'none',
      { phase: 'failed', message: 'port is already allocated' },
    ],
    [
      'removes the half of one that could not be started',
      { engine: anEngineContainer({ state: 'created' }), failure: 'cannot be started: no' },
      'remove',
      { phase: 'failed', message: 'cannot be started: no' },
    ],
    [
      'leaves it failed then',
      { seen: true, failure: 'cannot be started: no' },
      'none',
      { phase: 'failed', message: 'cannot be started: no' },
    ],
    [
      'fails one that somebody removed',
      { seen: true, last: aStatus() },
      'none',
      { phase: 'failed', message: "was removed behind Fairlead's back", ports: [] },
    ],
    [
      'keeps how one ended that was removed after',
      { seen: true, last: aStatus({ phase: 'stopped', exitCode: 0 }) },
      'none',
      { phase: 'stopped', exitCode: 0 },
    ],
    [
      'learns that an end that it saw before it knew better was a failure',
      { engine: ended(1), last: aStatus({ phase: 'stopped', exitCode: 1 }) },
      'none',
      { phase: 'failed', exitCode: 1 },
    ],
    [
      'cannot run what it has no definition of',
      { hasDefinition: false },
      'none',
      { phase: 'failed' },
    ],
    [
      'does not revive what ended, whatever the engine does',
      { engine: anEngineContainer(), readiness: 'ready', last: aStatus({ phase: 'failed' }) },
      'none',
      { phase: 'failed', readiness: 'not-ready', ports: [] },
    ],
  ])('%s', (_, view, action, status) => {
    const step = advance(aView(view));
    expect(step.action).toBe(action);
    if (status === undefined) expect(step.status).toBeUndefined();
    else expect(step.status).toMatchObject(status);
  });
});

describe('advance to stopped, removed, and of what is not assigned', () => {
  const running = anEngineContainer();
  const created = anEngineContainer({ state: 'created' });
  const restarting = anEngineContainer({ state: 'restarting', exitCode: 1 });
  const removing = anEngineContainer({ state: 'removing' });
  test.each<[WantedPhase | 'unassigned', EngineContainer | undefined, Action, Phase]>([
    ['stopped', running, 'stop', 'stopping'],
    ['stopped', restarting, 'stop', 'stopping'],
    ['stopped', created, 'none', 'stopped'],
    ['stopped', ended(137), 'none', 'stopped'],
    ['stopped', removing, 'none', 'stopped'],
    ['stopped', undefined, 'none', 'removed'],
    ['removed', running, 'stop', 'stopping'],
    ['removed', restarting, 'stop', 'stopping'],
    ['removed', created, 'remove', 'stopped'],
    ['removed', ended(137), 'remove', 'stopped'],
    ['removed', removing, 'none', 'stopped'],
    ['removed', undefined, 'none', 'removed'],
    ['unassigned', running, 'none', 'running'],
    ['unassigned', restarting, 'none', 'starting'],
    ['unassigned', created, 'none', 'starting'],
    ['unassigned', ended(137), 'none', 'stopped'],
    ['unassigned', removing, 'none', 'stopped'],
  ])('%s with %o', (wanted, engine, action, phase) => {
    const step = advance(aView({ wanted, engine, last: undefined }));
    expect(step.action).toBe(action);
    expect(step.status?.phase).toBe(phase);
    expect(step.status?.readiness).toBe('not-ready');
  });

  test('reports nothing of a container that is neither assigned nor there', () => {
    expect(advance(aView({ wanted: 'unassigned' }))).toEqual({ action: 'none', status: undefined });
  });

  test('says why one cannot be stopped or removed yet', () => {
    const trouble = 'cannot be removed: device is busy';
    expect(advance(aView({ wanted: 'removed', engine: ended(0), trouble })).status?.message).toBe(
      trouble,
    );
    expect(advance(aView({ wanted: 'stopped', engine: running, trouble })).status?.message).toBe(
      trouble,
    );
  });

  test('remembers the exit status of what is gone', () => {
    const last = aStatus({ phase: 'stopped', exitCode: 143, endedAt: startedAt });
    expect(advance(aView({ wanted: 'removed', seen: true, last })).status).toMatchObject({
      phase: 'removed',
      exitCode: 143,
      endedAt: startedAt,
      engineId: last.engineId,
    });
  });
});

describe('the end of a process, before the engine was asked', () => {
  const atMs = startedAt.getTime() + 5_000.25;
  test.each([
    ['always', 0, 'restarting'],
    ['always', 1, 'restarting'],
    ['on-failure', 1, 'restarting'],
    ['on-failure', 0, 'ended'],
    ['never', 1, 'ended'],
  ] as const)('under the policy %s with exit status %i is %s', (restartPolicy, exitCode, state) => {
    expect(afterEnd(anEngineContainer({ restartPolicy }), { exitCode, atMs })).toMatchObject({
      state,
      exitCode,
      ports: [],
      endedAt: new Date(startedAt.getTime() + 5_000),
    });
  });

  test('is no news if the process was started after it', () => {
    const container = anEngineContainer();
    const before = { exitCode: 1, atMs: startedAt.getTime() - 1 };
    expect(afterEnd(container, before)).toBe(container);
  });

  test('is no news of what does not run', () => {
    const container = ended(3);
    expect(afterEnd(container, { exitCode: 1, atMs })).toBe(container);
  });
});

const order: readonly Phase[] = [
  'pulling',
  'starting',
  'running',
  'stopping',
  'stopped',
  'failed',
  'removed',
];

/** An engine with one container, and what the controller remembers, moved by chance. */
class World {
  view: View = aView();
  readonly statuses: ContainerStatus[] = [];
  readonly actions: { readonly action: Action; readonly view: View }[] = [];
  #runs = 0;

  /** Asks what is next and does it; `refuses`: the engine will not. Returns the action. */
  step(refuses: boolean): Action {
    const view = this.view;
    const { action, status } = advance(view);
    this.actions.push({ action, view });
    if (status !== undefined) {
      this.statuses.push(status);
      this.#see({ last: status });
    }
    if (refuses && action !== 'none' && action !== 'wait') this.#refuse(action);
    else this.#do(action);
    return action;
  }

  /** Something happens that nobody here asked for. */
  happen(event: EngineContainerState | 'gone' | WantedPhase | 'unassigned'): void {
    const { engine } = this.view;
    if (event === 'gone') this.#see({ engine: undefined });
    else if (event === 'stopped' || event === 'removed' || event === 'unassigned') {
      if (this.view.wanted !== 'removed') this.#see({ wanted: event });
    } else if (engine !== undefined) {
      const startedAt = event === 'running' ? new Date(++this.#runs) : engine.startedAt;
      const mayReturn = event === 'restarting';
      this.#see({ engine: { ...engine, state: event, startedAt }, mayReturn, readiness: 'ready' });
    }
  }

  #refuse(action: Action): void {
    const isOnTheWayUp = action !== 'stop' && action !== 'remove';
    this.#see(isOnTheWayUp ? { failure: 'no' } : { trouble: 'no' });
  }

  #do(action: Action): void {
    const engine = this.view.engine ?? anEngineContainer({ state: 'created' });
    switch (action) {
      case 'find-image':
        this.#see({ image: 'missing' });
        return;
      case 'pull':
        this.#see({ image: 'present' });
        return;
      case 'create':
        this.#see({ engine: { ...engine, state: 'created' } });
        return;
      case 'start':
      case 'restart':
        this.#see({ engine: { ...engine, state: 'running', startedAt: new Date(++this.#runs) } });
        return;
      case 'stop':
        this.#see({ engine: { ...engine, state: 'ended', exitCode: 137 } });
        return;
      case 'remove':
        this.#see({ engine: undefined });
        return;
      case 'wait':
        this.#see({ mayReturn: false });
        return;
      case 'none':
        return;
    }
  }

  #see(change: Partial<View>): void {
    this.view = { ...this.view, ...change };
    if (this.view.engine !== undefined) this.view = { ...this.view, seen: true };
  }
}

const happenings = fc.constantFrom(
  ...(['running', 'paused', 'restarting', 'ended', 'gone', 'stopped', 'removed'] as const),
  'unassigned' as const,
);
const story = fc.array(fc.oneof(fc.boolean(), happenings), { maxLength: 30 });

function play(events: readonly (boolean | Parameters<World['happen']>[0])[]): World {
  const world = new World();
  for (const event of events) {
    if (typeof event === 'boolean') world.step(event);
    else world.happen(event);
  }
  return world;
}

describe('whatever happens', () => {
  test('the phase never goes back, but from running to starting', () => {
    fc.assert(
      fc.property(story, (events) => {
        const { statuses } = play(events);
        for (const [index, { phase }] of statuses.entries()) {
          const before = statuses[index - 1]?.phase;
          if (before === undefined || (before === 'running' && phase === 'starting')) continue;
          expect(order.indexOf(phase)).toBeGreaterThanOrEqual(order.indexOf(before));
        }
      }),
    );
  });

  test('only what runs is ready and has ports', () => {
    fc.assert(
      fc.property(story, (events) => {
        for (const { phase, readiness, ports } of play(events).statuses) {
          if (phase !== 'running')
            expect({ readiness, ports }).toEqual({ readiness: 'not-ready', ports: [] });
        }
      }),
    );
  });

  test('nothing is done to what nobody wants anything of, and no more than is wanted', () => {
    fc.assert(
      fc.property(story, (events) => {
        for (const { action, view } of play(events).actions) {
          if (view.wanted === 'unassigned') expect(action).toBe('none');
          if (view.seen) expect(action).not.toBe('create');
          if (view.wanted !== 'running') expect(action).not.toMatch(/image|pull|create|start/);
          if (view.wanted === 'running' && view.failure === '') {
            expect(action).not.toMatch(/stop|remove/);
          }
          if (view.wanted === 'stopped') expect(action).not.toBe('remove');
        }
      }),
    );
  });

  test('it ends as wanted once nothing more happens', () => {
    fc.assert(
      fc.property(story, (events) => {
        const world = play(events);
        if (world.view.engine?.state === 'removing') world.happen('gone');
        let steps = 0;
        while (world.step(false) !== 'none') expect(++steps).toBeLessThan(10);
        const { wanted, engine, last } = world.view;
        switch (wanted) {
          case 'running':
            expect(['running', 'stopped', 'failed']).toContain(last?.phase);
            break;
          case 'stopped':
            expect(['running', 'paused', 'restarting']).not.toContain(engine?.state);
            expect(['stopped', 'failed', 'removed']).toContain(last?.phase);
            break;
          case 'removed':
            expect(engine).toBeUndefined();
            expect(last?.phase).toBe('removed');
            break;
          case 'unassigned':
            break;
        }
      }),
    );
  });
});
