import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { planService } from '../../../../coordinator/orchestrator/plan.ts';
import { serves } from '../../../../coordinator/orchestrator/standing.ts';
import type { ServiceView } from '../../../../coordinator/orchestrator/views.ts';
import { PlanWorld, servingIn, type Kind, type Moment } from './plan-world.ts';

// What holds of plans whatever happens between them. The whole core, with agents and proxies that are late, is in
// fleet/; here it is the plan alone, on more and stranger states.

/** More runs find more: FAIRLEAD_PLAN_RUNS. */
const numRuns = Number(process.env['FAIRLEAD_PLAN_RUNS'] ?? 300);

/** A service, and how many steps of its plans are carried out in one go. */
type Setup = Partial<ServiceView> & { readonly pieceSize: number };

const services: fc.Arbitrary<Setup> = fc.record({
  pieceSize: fc.constantFrom(1, 2, Infinity),
  replicas: fc.integer({ min: 1, max: 5 }),
  order: fc.constantFrom('start-first' as const, 'stop-first' as const),
  parallelism: fc.integer({ min: 1, max: 3 }),
  failureBudget: fc.nat({ max: 2 }),
  onFailure: fc.constantFrom('roll-back' as const, 'pause' as const, 'continue' as const),
  settleMs: fc.constantFrom(0, 0, 1_500),
  sequential: fc.boolean(),
  deadlineMs: fc.constant(20_000),
});

type Happening = readonly [words: string, happen: (world: PlanWorld) => void];

const pick = fc.nat({ max: 7 });

/** In reports of failures only its words are shown. */
const named = (words: string, happen: (world: PlanWorld) => void): Happening =>
  Object.assign([words, happen] as const, { [fc.toStringMethod]: () => words });

/** Everything that a plan has to do with, by chance. */
const happenings: fc.Arbitrary<Happening> = fc.oneof(
  fc.nat({ max: 6 }).map((replicas) =>
    named(`scale ${replicas}`, (world) => {
      world.set({ replicas });
    }),
  ),
  fc.constantFrom<Kind>('good', 'good', 'broken', 'mute', 'looping').map((kind) =>
    named(`update ${kind}`, (world) => {
      world.update(kind);
    }),
  ),
  fc.constantFrom(true, true, false).map((started) =>
    named(started ? 'start' : 'stop', (world) => {
      world.set({ started });
    }),
  ),
  fc.constant(
    named('pause', (world) => {
      world.pause();
    }),
  ),
  fc.constant(
    named('resume', (world) => {
      world.resume();
    }),
  ),
  pick.map((which) =>
    named(`redeploy ${which}`, (world) => {
      world.change(which, { outdated: true });
    }),
  ),
  fc.tuple(pick, fc.boolean()).map(([which, evicted]) =>
    named(`${evicted ? 'evict' : 'spare'} ${which}`, (world) => {
      world.change(which, { evicted });
    }),
  ),
  pick.map((which) =>
    named(`crash ${which}`, (world) => {
      world.crash(which);
    }),
  ),
  pick.map((which) =>
    named(`blink ${which}`, (world) => {
      world.change(which, { ready: false, admitted: false });
    }),
  ),
  fc.tuple(fc.nat({ max: 2 }), fc.boolean()).map(([node, isDown]) =>
    named(`node ${node} ${isDown ? 'down' : 'up'}`, (world) => {
      world.setDown(world.nodes[node]!, isDown);
    }),
  ),
  ...[1, 700, 3_000, 25_000].map((ms) =>
    fc.constant(
      named(`${ms} ms`, (world) => {
        world.tick(ms);
      }),
    ),
  ),
);

const stories = fc.array(happenings, { minLength: 1, maxLength: 40 });

/** Lets all of it happen, each to its end as far as it can come at that moment. */
function live(
  { pieceSize, ...service }: Setup,
  story: readonly Happening[],
  watch: (moment: Moment) => void = () => undefined,
  after: (world: PlanWorld) => void = () => undefined,
): PlanWorld {
  const world = new PlanWorld(service, watch, pieceSize);
  for (const [, happen] of story) {
    happen(world);
    world.converge();
    after(world);
  }
  return world;
}

/** Nothing fails any more, and the user asks for something that works. */
function mend(world: PlanWorld): void {
  for (const node of world.nodes) world.setDown(node, false);
  for (let i = 0; i < 8; i++) world.change(i, { evicted: false });
  world.set({ started: true, replicas: Math.max(1, world.service.replicas) });
  world.update('good');
}

function rest(world: PlanWorld): void {
  for (let i = 0; i < 100; i++) world.tick(1_000);
}

describe('plans', { timeout: 60_000 + 100 * numRuns }, () => {
  test('lead to what is wanted once changes stop, and then to nothing more', () => {
    fc.assert(
      fc.property(services, stories, (service, story) => {
        const world = live(service, story);
        mend(world);
        rest(world);
        const { replicas, revision, rollout } = world.service;
        expect(rollout).toBeNull();
        expect(world.containers).toHaveLength(replicas);
        expect(new Set(world.containers.map(({ slot }) => slot)).size).toBe(replicas);
        for (const container of world.containers) {
          expect(container).toMatchObject({ revision, wanted: 'running', ready: true });
        }
        expect(planService(world.service, world.containers, world.nowMs).steps).toEqual([]);
        expect(planService(world.service, world.containers, world.nowMs * 2).steps).toEqual([]);
      }),
      { numRuns },
    );
  });

  test('have nothing to add once they are carried out: twice is as good as once', () => {
    fc.assert(
      fc.property(services, stories, (service, story) => {
        live(service, story, undefined, (world) => {
          const before = JSON.stringify(world.containers);
          expect(world.converge()).toBe(0);
          expect(JSON.stringify(world.containers)).toBe(before);
        });
      }),
      { numRuns },
    );
  });

  test('make never more than is wanted, and besides as many as may be replaced at a time', () => {
    fc.assert(
      fc.property(services, stories, (service, story) => {
        live(service, story, ({ service: view, containers, steps }) => {
          const created = steps.filter(({ kind }) => kind === 'create');
          if (created.length === 0) return;
          const retired = new Set(
            steps.flatMap((step) => (step.kind === 'retire' ? [step.containerId] : [])),
          );
          const staying = containers.filter(
            ({ id, wanted, lost }) => wanted === 'running' && !lost && !retired.has(id),
          );
          const most = view.replicas + view.parallelism;
          expect(staying.length + created.length).toBeLessThanOrEqual(most);
        });
      }),
      { numRuns },
    );
  });

  test('take what serves away only for what serves in its slot, where new ones start first', () => {
    fc.assert(
      fc.property(services, stories, (service, story) => {
        const startFirst = { ...service, order: 'start-first' } as const;
        live(startFirst, story, ({ containers, steps }) => {
          const retirements = steps.filter((step) => step.kind === 'retire');
          const retired = new Set(retirements.map(({ containerId: id }) => id));
          for (const { containerId: id, reason } of retirements) {
            const container = containers.find((each) => each.id === id)!;
            if (!serves(container) || ['scaled-down', 'stopped'].includes(reason)) continue;
            const others = servingIn(container.slot, containers).filter((c) => !retired.has(c.id));
            expect(others, `${reason} of ${container.name}`).not.toEqual([]);
          }
        });
      }),
      { numRuns },
    );
  });

  test('leave never two in a slot that serve and are to go on', () => {
    fc.assert(
      fc.property(services, stories, (service, story) => {
        live({ ...service, settleMs: 0 }, story, undefined, ({ containers }) => {
          for (const { slot } of containers) {
            expect(servingIn(slot, containers).length).toBeLessThanOrEqual(1);
          }
        });
      }),
      { numRuns },
    );
  });
});
