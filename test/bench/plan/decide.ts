/**
 * Fills an empty database that is named with a big fleet, and says how long each of many decisions took there.
 */
import type { Service } from '../../../coordinator/model.ts';
import { systemClock } from '../../../shared/clock.ts';
import { aContainer, aRollout } from '../../support/builders.ts';
import { fill, openCore, type Core } from './big-fleet.ts';

const runs = 50;

/** How long each of many calls took, in milliseconds. */
type Times = readonly number[];

const [path = ''] = process.argv.slice(2);
using core = openCore(path);
fill(core);
process.stdout.write(`${JSON.stringify({ ...decisions(core), ...plans(core) })}\n`);

/** Each is made after something changed, as in a fleet that works. */
function decisions({ store, placement }: Core): Record<string, Times> {
  const service = [...store.services.values()][0]!;
  const spread: Service = { ...service, spec: { ...service.spec, strategy: 'high-availability' } };
  const pending = aContainer({ serviceId: service.id, nodeId: null, definition: null });
  const containers = [...store.containers.values()];
  const change = (turn: number) => {
    const container = containers[turn]!;
    store.transact((tx) => {
      tx.containers.put({ ...container, outdated: !container.outdated });
    });
  };
  return {
    'decision, emptiest node': timed((turn) => {
      placement.decide(service, [pending]);
      return () => {
        change(turn);
      };
    }),
    'decision, high availability': timed(() => void placement.decide(spread, [pending])),
    'decision, nowhere': timed(() => {
      const spec = { ...service.spec, tags: ['nowhere'] };
      placement.decide({ ...service, spec }, [pending]);
    }),
  };
}

function plans({ store, orchestrator }: Core): Record<string, Times> {
  const service = [...store.services.values()][1]!;
  const like = (change: Partial<Service['spec']>, more: Partial<Service> = {}): Service => ({
    ...{ ...service, ...more },
    spec: { ...service.spec, ...change },
  });
  const rollout = aRollout({ sinceMs: systemClock.now() });
  const next = { revision: 2, base: { revision: 1, alike: [] }, rollout };
  return {
    'plan, as wanted': timed(() => void orchestrator.preview(service)),
    'plan, 1,000 to 10': timed(() => void orchestrator.preview(like({ replicas: 10 }))),
    'plan, 1,000 to 2,000': timed(() => void orchestrator.preview(like({ replicas: 2_000 }))),
    'plan, another revision': timed(() => void orchestrator.preview(like({}, next))),
  };
}

/** Calls `act` often; what it returns is done between, and not counted. */
function timed(act: (turn: number) => unknown): Times {
  const times: number[] = [];
  for (let turn = 0; turn < runs + 10; turn++) {
    const startedAt = systemClock.monotonic();
    const between = act(turn);
    times.push(systemClock.monotonic() - startedAt);
    if (typeof between === 'function') (between as () => void)();
  }
  // The first calls warm up.
  return times.slice(10);
}
