import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { NodeState, ObservedPhase } from '../../../../coordinator/model.ts';
import {
  orphanInTheWay,
  reasonToWaitFor,
  type OrphanSighting,
  type SlotView,
} from '../../../../coordinator/orchestrator/slot-orphans.ts';
import type { Volume } from '../../../../shared/container-options.ts';
import { containerId, nodeId } from '../../../support/builders.ts';

const source = { kind: 'named', name: 'data', external: false } as const;
const data: Volume = { containerPath: '/data', source, readOnly: false };
const bind: Volume = { ...data, source: { kind: 'bind', path: '/srv' } };
const tmpfs: Volume = { ...data, source: { kind: 'tmpfs', sizeBytes: 0, mode: 0 } };
const anonymous: Volume = { ...data, source: { kind: 'anonymous' } };

function aSlot(changes: Partial<SlotView> = {}): SlotView {
  return { service: 'db', name: 'db-1', home: null, volumes: [data], ...changes };
}

interface Seen {
  readonly name?: string;
  readonly phase?: ObservedPhase;
  readonly node?: string;
  readonly state?: NodeState;
}

function seen({ name = 'db-1', phase = 'running', ...at }: Seen = {}): OrphanSighting {
  const { node = 'host-1', state = 'ready' } = at;
  const orphan = { containerId: containerId(`${name}-orphan`), name, phase, engineId: 'e' };
  return { nodeId: nodeId(node), node, state, orphan, handle: name };
}

interface Row {
  readonly title: string;
  readonly slot?: Partial<SlotView>;
  readonly orphan?: Seen;
  readonly waits: boolean;
}

const rows: readonly Row[] = [
  { title: 'waits for the orphan of its name', waits: true },
  { title: 'waits for it on any node', orphan: { node: 'host-2' }, waits: true },
  { title: 'waits for it with a directory of the host', slot: { volumes: [bind] }, waits: true },
  { title: 'does not wait without volumes', slot: { volumes: [] }, waits: false },
  {
    title: 'does not wait with volumes that it only reads',
    slot: {
      volumes: [
        { ...data, readOnly: true },
        { ...bind, readOnly: true },
      ],
    },
    waits: false,
  },
  {
    title: 'does not wait with volumes of its own',
    slot: { volumes: [tmpfs, anonymous] },
    waits: false,
  },
  { title: 'waits if one of many is written', slot: { volumes: [tmpfs, bind] }, waits: true },
  { title: 'does not wait for another slot', orphan: { name: 'db-2' }, waits: false },
  { title: 'does not wait for another service', orphan: { name: 'db-1-1' }, waits: false },
  { title: 'waits for one that is started again', orphan: { phase: 'starting' }, waits: true },
  { title: 'waits for one that is being stopped', orphan: { phase: 'stopping' }, waits: true },
  { title: 'does not wait for one that ended', orphan: { phase: 'stopped' }, waits: false },
  { title: 'does not wait for one that failed', orphan: { phase: 'failed' }, waits: false },
  { title: 'waits for one that is out of reach', orphan: { state: 'unreachable' }, waits: true },
  { title: 'waits for one whose node is down', orphan: { state: 'down' }, waits: true },
  { title: 'waits while the engine is away', orphan: { state: 'engine-away' }, waits: true },
  {
    title: 'on every node, does not wait for one of another node',
    slot: { home: nodeId('host-2') },
    waits: false,
  },
  {
    title: 'on every node, waits for one of its node whatever its number',
    slot: { home: nodeId('host-1') },
    orphan: { name: 'db-7' },
    waits: true,
  },
  {
    title: 'on every node, does not wait for one of another service',
    slot: { home: nodeId('host-1') },
    orphan: { name: 'db-x-7' },
    waits: false,
  },
];

describe('a slot', () => {
  test.each(rows)('$title', ({ slot, orphan, waits }) => {
    const sighting = seen(orphan);
    const others = [seen({ name: 'web-1' }), seen({ phase: 'removed' })];
    const found = orphanInTheWay(aSlot(slot), [...others, sighting]);
    expect(found).toBe(waits ? sighting : undefined);
  });

  const aSighting = fc.record({
    name: fc.constantFrom('db-1', 'db-2', 'db-10', 'web-1'),
    phase: fc.constantFrom<ObservedPhase>('starting', 'running', 'stopping', 'stopped', 'removed'),
    node: fc.constantFrom('host-1', 'host-2'),
    state: fc.constantFrom<NodeState>('ready', 'unreachable', 'down'),
  });

  test('waits exactly while one of those that live is of it, in whatever order they are seen', () => {
    fc.assert(
      fc.property(
        fc.array(aSighting),
        fc.option(fc.constantFrom('host-1', 'host-2')),
        fc.constantFrom('db-1', 'db-2'),
        (orphans, home, name) => {
          const slot = aSlot({ name, home: home === null ? null : nodeId(home) });
          const isOf = (orphan: (typeof orphans)[number]) =>
            home === null
              ? orphan.name === name
              : orphan.node === home && orphan.name.startsWith('db-');
          const living = orphans.filter(({ phase }) => phase !== 'stopped' && phase !== 'removed');
          const found = orphanInTheWay(slot, orphans.map(seen));
          expect(found !== undefined).toBe(living.some(isOf));
          expect(orphanInTheWay(slot, orphans.map(seen).reverse()) === undefined).toBe(
            found === undefined,
          );
          // One more never lets a slot go that waits.
          if (found !== undefined) {
            expect(orphanInTheWay(slot, [...orphans.map(seen), seen()])).toBeDefined();
          }
          expect(orphanInTheWay({ ...slot, volumes: [tmpfs] }, orphans.map(seen))).toBeUndefined();
        },
      ),
    );
  });
});

describe('what is said of the wait', () => {
  test.each<[string, Seen, string]>([
    [
      'names both ways out',
      {},
      'runs the orphan db-1, which may write to the same volumes: adopt it (fairlead node adopt host-1 db-1), or discard it (fairlead node discard host-1 db-1)',
    ],
    [
      'asks for nothing while it is stopped',
      { phase: 'stopping' },
      'is stopping the orphan db-1, which may write to the same volumes until it has ended',
    ],
    [
      'leads to the node while that is out of reach',
      { state: 'down' },
      'is not in reach, and was last seen to run the orphan db-1, which may write to the same volumes: have the node come back, or remove it if it is gone for good (fairlead node rm host-1)',
    ],
  ])('%s', (_, orphan, reason) => {
    expect(reasonToWaitFor(seen(orphan))).toEqual({
      ...{ nodeId: 'host-1', node: 'host-1', filter: 'ORPHAN_RUNS', reason },
    });
  });

  test('calls it by its id where its name is that of two', () => {
    const { reason } = reasonToWaitFor({ ...seen(), handle: 'c1' });
    expect(reason).toContain('fairlead node discard host-1 c1');
  });
});
