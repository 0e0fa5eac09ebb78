import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Strategy } from '../../../../coordinator/model.ts';
import { fixedPortsOf } from '../../../../coordinator/scheduler/occupancy.ts';
import { tagsOf } from '../../../../coordinator/scheduler/node-tags.ts';
import {
  explainUnplaceable,
  indexPlaced,
  schedule,
  type Decision,
  type NodeView,
  type PendingView,
  type PlacedView,
} from '../../../../coordinator/scheduler/schedule.ts';
import { countBy, groupBy } from '../../../../shared/collections.ts';
import type { ContainerId } from '../../../../shared/ids.ts';
import { description as described } from '../orchestrator/fleet/model-agent.ts';
import {
  aNode,
  aPending,
  aPlaced,
  fixed,
  nodeId,
  nodes,
  pendings,
  serviceId,
  times,
  zones,
} from './builders.ts';

function nodesOf(decisions: readonly Decision[]): string[] {
  return decisions.map((decision) => (decision.kind === 'placed' ? decision.nodeId : '-'));
}

function countsOf(decisions: readonly Decision[]): Record<string, number> {
  return Object.fromEntries([...countBy(nodesOf(decisions), (node) => node)].sort());
}

/** A node with tags of its own and those that it has by itself, named after its architecture. */
function taggedNode(hostname: string, ...tags: string[]): NodeView {
  const [architecture = ''] = hostname.split('-');
  const description = { ...described, hostname, os: 'linux', architecture: `${architecture}64` };
  return aNode(hostname, { tags: tagsOf({ tags, description }, null).all });
}

const spreading: readonly Strategy[] = ['emptiest-node', 'high-availability'];

describe('volumes', () => {
  const volumes = (...names: string[]) => names.map((name) => ({ name, external: false }));
  const having = (name: string, ...on: string[]) => aNode(name, { volumes: on });

  test('keep containers together: the first makes it, the others follow', () => {
    const pending = pendings(3, { volumes: volumes('data'), strategy: 'high-availability' });
    expect(nodesOf(schedule(pending, nodes(3), []))).toEqual(['node-1', 'node-1', 'node-1']);
  });

  test('of their own let slots spread', () => {
    const pending = [1, 2, 3].map((slot) => aPending({ slot, volumes: volumes(`data-${slot}`) }));
    expect(nodesOf(schedule(pending, nodes(3), []))).toEqual(['node-1', 'node-2', 'node-3']);
  });

  test('take a container to the node that has them all', () => {
    const all = [having('node-1', 'a'), having('node-2', 'b', 'a'), having('node-3')];
    const place = (...names: string[]) =>
      nodesOf(schedule([aPending({ volumes: volumes(...names) })], all, []));
    expect(place('a', 'b')).toEqual(['node-2']);
    expect(place('a')).toEqual(['node-1']);
    expect(place('b', 'new')).toEqual(['node-2']);
    expect(place('new')).toEqual(['node-1']);
  });

  test('wait for their node while it is away', () => {
    const all = [aNode('node-1'), aNode('node-2', { volumes: ['a'], state: 'down' })];
    const [decision] = schedule([aPending({ volumes: volumes('a') })], all, []);
    expect(decision).toMatchObject({
      kind: 'unplaceable',
      reasons: [
        { node: 'node-1', filter: 'VOLUME_ELSEWHERE' },
        { node: 'node-2', filter: 'NOT_READY' },
      ],
    });
  });
});

test('what waits for an orphan is placed nowhere, says for which, and takes no place of another', () => {
  const inTheWay = {
    ...{ nodeId: nodeId('node-9'), node: 'node-9', filter: 'ORPHAN_RUNS' as const },
    reason: 'runs the orphan web-1',
  };
  const decisions = schedule(
    [
      aPending({ inTheWay, pinnedTo: nodeId('node-1'), maxPerNode: 1 }),
      aPending({ maxPerNode: 1 }),
    ],
    nodes(1),
    [],
  );
  expect(nodesOf(decisions)).toEqual(['-', 'node-1']);
  expect(decisions[0]).toMatchObject({ reasons: [inTheWay] });
  expect(explainUnplaceable([inTheWay], { pinnedTo: nodeId('node-1') })).toBe(
    'node-9 runs the orphan web-1',
  );
});

describe('reservations', () => {
  const half = { reservation: { cpuMillis: 2000, memoryBytes: 2 ** 32 } };

  test('count for those that are placed in the same go', () => {
    expect(nodesOf(schedule(pendings(5, half), nodes(2), []))).toEqual([
      'node-1',
      'node-2',
      'node-1',
      'node-2',
      '-',
    ]);
  });

  test('S8: come before the spread', () => {
    const full = times(2, aPlaced('node-1', { ...half, leaving: true }));
    expect(nodesOf(schedule(pendings(2, half), nodes(2), full))).toEqual(['node-2', 'node-2']);
  });

  test('say what is free', () => {
    const reasons = schedule(pendings(3, half), nodes(1), []).flatMap((decision) =>
      decision.kind === 'unplaceable' ? [decision.reasons] : [],
    );
    expect(explainUnplaceable(reasons[0]!, { pinnedTo: null })).toBe(
      'no node can take it: 1 lacks processors: 0 of 4 are free, 2 needed',
    );
  });
});

test('S11: no more than may be are placed on a node', () => {
  expect(nodesOf(schedule(pendings(3, { maxPerNode: 1 }), nodes(2), []))).toEqual([
    'node-1',
    'node-2',
    '-',
  ]);
});

describe('spreads', () => {
  test.each(spreading)('S1: 8 containers over 4 equal nodes, 2 each: %s', (strategy) => {
    expect(countsOf(schedule(pendings(8, { strategy }), nodes(4), []))).toEqual({
      'node-1': 2,
      'node-2': 2,
      'node-3': 2,
      'node-4': 2,
    });
  });

  test.each(spreading)('S17: 100 containers over 4 equal nodes, 25 each: %s', (strategy) => {
    const counts = countsOf(schedule(pendings(100, { strategy }), nodes(4), []));
    expect(Object.values(counts)).toEqual([25, 25, 25, 25]);
  });

  test('S2: a service evenly although another one loads some nodes', () => {
    const placed = [...times(5, aPlaced('node-1')), ...times(3, aPlaced('node-2'))];
    const pending = pendings(4, { strategy: 'high-availability' });
    expect(nodesOf(schedule(pending, nodes(4), placed))).toEqual([
      'node-3',
      'node-4',
      'node-2',
      'node-1',
    ]);
  });

  test.each(spreading)('S4: evenly over groups of nodes that are not equal: %s', (strategy) => {
    const pending = pendings(8, { strategy, spreadOver: ['zone'] });
    expect(countsOf(schedule(pending, zones({ a: 1, b: 4 }), []))).toEqual({
      ...{ 'a-1': 4, 'b-1': 1, 'b-2': 1, 'b-3': 1, 'b-4': 1 },
    });
  });

  test('S4: evenly over groups, by its own containers alone, those on nodes that are away too', () => {
    const away = aNode('b-2', { tags: ['zone=b'], state: 'unreachable' });
    const own = times(2, aPlaced('b-2', { serviceId: serviceId('web') }));
    const placed = [...own, ...times(9, aPlaced('a-1'))];
    const pending = pendings(3, { spreadOver: ['zone'] });
    const all = [...zones({ a: 1, b: 1 }), away];
    expect(nodesOf(schedule(pending, all, placed))).toEqual(['a-1', 'a-1', 'b-1']);
  });

  test('S4: over groups within groups, those without the tag being one', () => {
    const at = (name: string, ...tags: string[]) => aNode(name, { tags });
    const racks = [
      at('a1', 'rack=1', 'zone=a'),
      at('a2', 'rack=2', 'zone=a'),
      at('a2b', 'rack=2', 'zone=a'),
      at('b1', 'rack=1', 'zone=b', 'zoned=c'),
      at('none', 'zoned=a'),
    ];
    const pending = pendings(12, { spreadOver: ['zone', 'rack'] });
    expect(countsOf(schedule(pending, racks, []))).toEqual({
      ...{ a1: 2, a2: 1, a2b: 1, b1: 4, none: 4 },
    });
  });

  test('S4: more into the others where a group takes no more', () => {
    const pending = pendings(5, { spreadOver: ['zone'], maxPerNode: 1 });
    const decisions = schedule(pending, zones({ a: 1, b: 3 }), []);
    expect(countsOf(decisions.slice(0, 4))).toEqual({ 'a-1': 1, 'b-1': 1, 'b-2': 1, 'b-3': 1 });
    expect(decisions[4]).toMatchObject({
      kind: 'unplaceable',
      reasons: times(4, expect.objectContaining({ filter: 'MAX_PER_NODE' })),
    });
  });

  test('onto the emptiest nodes until the whole is even', () => {
    const placed = [...times(3, aPlaced('node-1')), ...times(1, aPlaced('node-2'))];
    expect(countsOf(schedule(pendings(5), nodes(3), placed))).toEqual({ 'node-2': 2, 'node-3': 3 });
  });

  test.each(spreading)(
    'S3: new containers onto a new node until it has as many: %s',
    (strategy) => {
      const old = ['node-1', 'node-2'].flatMap((node) =>
        times(3, aPlaced(node, { serviceId: serviceId('web') })),
      );
      const decisions = schedule(pendings(4, { strategy }), nodes(3), old);
      expect(nodesOf(decisions)).toEqual(['node-3', 'node-3', 'node-3', 'node-1']);
    },
  );

  test.each(spreading)('as if what is about to go were gone: %s', (strategy) => {
    const old = times(3, aPlaced('node-1', { serviceId: serviceId('web'), leaving: true }));
    const stays = aPlaced('node-2', { serviceId: serviceId('web') });
    expect(nodesOf(schedule(pendings(1, { strategy }), nodes(2), [...old, stays]))).toEqual([
      'node-1',
    ]);
  });

  test('the containers that stay: what is being replaced does not count, but keeps its port', () => {
    const leaving = ['node-1', 'node-1', 'node-2'].map((node) => aPlaced(node, { leaving: true }));
    const placed = [...leaving, aPlaced('node-3', { leaving: false })];
    expect(nodesOf(schedule(pendings(2), nodes(3), placed))).toEqual(['node-1', 'node-2']);
  });

  test('S13: only over nodes with the tags', () => {
    const some = [aNode('a', { tags: ['web'] }), aNode('b'), aNode('c', { tags: ['eu', 'web'] })];
    expect(countsOf(schedule(pendings(4, { tags: ['web'] }), some, []))).toEqual({ a: 2, c: 2 });
  });

  test.each<[string, Partial<PendingView>, Record<string, number>]>([
    ['a tag not there', { avoidTags: ['web'] }, { 'arm-2': 4 }],
    ['several not there', { avoidTags: ['eu', 'os=windows'] }, { 'amd-1': 2, 'arm-2': 2 }],
    ['there and not there', { tags: ['web'], avoidTags: ['eu'] }, { 'amd-1': 4 }],
    ['an architecture', { tags: ['arch=arm64'] }, { 'arm-1': 2, 'arm-2': 2 }],
    ['another one', { avoidTags: ['arch=arm64'] }, { 'amd-1': 4 }],
    ['a host', { tags: ['hostname=arm-2', 'os=linux'] }, { 'arm-2': 4 }],
    ['another one', { avoidTags: ['hostname=arm-2'] }, { 'amd-1': 2, 'arm-1': 2 }],
    ['all of it', { tags: ['arch=arm64'], avoidTags: ['web'] }, { 'arm-2': 4 }],
    ['what none has', { tags: ['arch=amd64'], avoidTags: ['web'] }, { '-': 4 }],
  ])('S13: by what nodes are and are called: %s', (_, asked, expected) => {
    const some = [
      taggedNode('amd-1', 'web'),
      taggedNode('arm-1', 'web', 'eu'),
      taggedNode('arm-2'),
    ];
    expect(countsOf(schedule(pendings(4, asked), some, []))).toEqual(expected);
  });

  test('S13: for kinds of containers in turn, on the same nodes, with the reasons of each', () => {
    const some = [aNode('a', { tags: ['web', 'old'] }), aNode('b', { tags: ['old'] }), aNode('c')];
    const kinds = [{ avoidTags: ['old'] }, { avoidTags: ['web'] }, { avoidTags: [] }];
    const placed = kinds.map((kind) => nodesOf(schedule(pendings(3, kind), some, [])));
    expect(placed).toEqual([
      ['c', 'c', 'c'],
      ['b', 'c', 'b'],
      ['a', 'b', 'c'],
    ]);
    const [nowhere] = schedule([aPending({ tags: ['web'], avoidTags: ['old'] })], some, []);
    const reasons = nowhere?.kind === 'unplaceable' ? nowhere.reasons : [];
    expect(explainUnplaceable(reasons, { pinnedTo: null })).toBe(
      'no node can take it: 2 lack the tag "web", 1 has the tag "old", which the service avoids',
    );
  });
});

describe('a fixed port', () => {
  test('S10: allows one container a node; the rest waits and says for whom', () => {
    const decisions = schedule(pendings(3, { ports: [fixed(80)] }), nodes(2), []);
    expect(nodesOf(decisions)).toEqual(['node-1', 'node-2', '-']);
    expect(decisions[2]).toMatchObject({
      reasons: [
        { node: 'node-1', filter: 'PORT_TAKEN' },
        { node: 'node-2', filter: 'PORT_TAKEN' },
      ],
    });
  });

  test('S10: is free again as soon as its holder is gone', () => {
    const holder = aPlaced('node-1', { ports: [fixed(80)] });
    const pending = [aPending({ ports: [fixed(80)] })];
    expect(nodesOf(schedule(pending, nodes(1), [holder]))).toEqual(['-']);
    expect(nodesOf(schedule(pending, nodes(1), []))).toEqual(['node-1']);
  });

  test('is taken as long as its holder is there, also on its way out', () => {
    const leaving = aPlaced('node-1', { ports: [fixed(80)], leaving: true });
    expect(nodesOf(schedule([aPending({ ports: [fixed(80)] })], nodes(1), [leaving]))).toEqual([
      '-',
    ]);
  });

  test('leaves the other protocol free, also within one pass', () => {
    const pending = [
      aPending({ slot: 1, ports: [fixed(53)] }),
      aPending({ slot: 2, ports: [fixed(53, { protocol: 'udp' })] }),
    ];
    expect(nodesOf(schedule(pending, nodes(1), []))).toEqual(['node-1', 'node-1']);
  });
});

describe('a pending container', () => {
  test('S6: is placed as soon as a node is ready, with nothing else changed', () => {
    const away = [aNode('node-1', { state: 'unreachable' })];
    expect(nodesOf(schedule([aPending()], away, []))).toEqual(['-']);
    expect(nodesOf(schedule([aPending()], nodes(1), []))).toEqual(['node-1']);
  });

  test('S15: that belongs to a node goes there, however full, and nowhere else', () => {
    const pending = aPending({ strategy: 'every-node', pinnedTo: nodeId('node-2') });
    const full = times(50, aPlaced('node-2'));
    expect(nodesOf(schedule([pending], nodes(3), full))).toEqual(['node-2']);
    const paused = [aNode('node-1'), aNode('node-2', { availability: 'paused' })];
    expect(schedule([pending], paused, [])).toMatchObject([
      { reasons: [{ filter: 'PINNED_ELSEWHERE' }, { filter: 'NOT_ACTIVE' }] },
    ]);
  });

  test('S14: of an every-node service goes to each node once', () => {
    const pending = ['node-1', 'node-2', 'node-3'].map((node, index) =>
      aPending({ slot: index + 1, strategy: 'every-node', pinnedTo: nodeId(node) }),
    );
    expect(nodesOf(schedule(pending, nodes(3), []))).toEqual(['node-1', 'node-2', 'node-3']);
  });

  test('avoids the node where it failed before', () => {
    const pending = aPending({ avoid: [nodeId('node-1')] });
    const loaded = times(9, aPlaced('node-2'));
    expect(nodesOf(schedule([pending], nodes(2), loaded))).toEqual(['node-2']);
  });

  test('goes back where it failed when no other node can have it', () => {
    const pending = aPending({ avoid: [nodeId('node-1')], ports: [fixed(80)] });
    const taken = [aPlaced('node-2', { ports: [fixed(80)] })];
    expect(nodesOf(schedule([pending], nodes(2), taken))).toEqual(['node-1']);
    const all = aPending({ avoid: [nodeId('node-1'), nodeId('node-2')] });
    expect(nodesOf(schedule([all], nodes(2), [aPlaced('node-1')]))).toEqual(['node-2']);
  });
});

test('an index made before is left as it was', () => {
  const index = indexPlaced([aPlaced('node-1', { ports: [fixed(80)] })]);
  const pending = pendings(3, { ports: [fixed(80)] });
  const first = schedule(pending, nodes(2), index);
  expect(nodesOf(first)).toEqual(['node-2', '-', '-']);
  expect(schedule(pending, nodes(2), index)).toEqual(first);
});

describe('explainUnplaceable', () => {
  const web = aPending({ tags: ['web'], ports: [fixed(80)] });
  const tagged = (name: string, changes: Partial<NodeView> = {}) =>
    aNode(name, { tags: ['web'], ...changes });
  const held = (node: string, containerName: string) =>
    aPlaced(node, { containerName, ports: [fixed(80)] });

  const explain = (
    pending: PendingView,
    all: readonly NodeView[],
    placed: readonly PlacedView[] = [],
  ) => {
    const [decision] = schedule([pending], all, placed);
    return decision?.kind === 'unplaceable'
      ? explainUnplaceable(decision.reasons, pending)
      : 'placed';
  };

  test('without nodes', () => {
    expect(explain(web, [])).toBe('no node has joined yet');
  });

  test('counts nodes by reason, the most frequent first', () => {
    expect(explain(web, [tagged('a'), ...nodes(4)], [held('a', 'lb-1')])).toBe(
      'no node can take it: 4 lack the tag "web", 1 has port 80 taken by lb-1',
    );
  });

  test('names those who hold a port, up to three', () => {
    const names = ['a', 'b', 'c', 'd', 'e'];
    const all = names.map((name) => tagged(name));
    const placed = names.map((name, index) => held(name, `lb-${index + 1}`));
    expect(explain(web, all.slice(0, 2), placed)).toBe(
      'no node can take it: 2 have port 80 taken by lb-1, lb-2',
    );
    expect(explain(web, all, placed)).toBe(
      'no node can take it: 5 have port 80 taken by lb-1, lb-2, lb-3 and 2 more',
    );
  });

  test('says why a single node is not ready, and counts several', () => {
    const down = tagged('a', { state: 'down' });
    const away = tagged('b', { state: 'unreachable' });
    expect(explain(web, [away])).toBe('no node can take it: 1 is not ready: its agent is away');
    expect(explain(web, [away, { ...away, id: nodeId('c') }])).toBe(
      'no node can take it: 2 are not ready: its agent is away',
    );
    expect(explain(web, [down, away])).toBe('no node can take it: 2 are not ready');
  });

  test('counts paused nodes', () => {
    const paused = ['a', 'b'].map((name) => tagged(name, { availability: 'paused' }));
    expect(explain(web, paused)).toBe('no node can take it: 2 are paused');
  });

  test('speaks of its own node alone where it has one', () => {
    const pinned = { ...web, pinnedTo: nodeId('a') };
    expect(explain(pinned, [tagged('a'), tagged('b')], [held('a', 'lb-1')])).toBe(
      'the node that it belongs to, a, has port 80 taken by lb-1',
    );
    expect(explain(pinned, [tagged('b')])).toBe('the node that it belongs to is gone');
  });
});

describe('whatever there is', () => {
  const port = fc.record({
    containerPort: fc.constantFrom(80, 81),
    protocol: fc.constantFrom('tcp' as const, 'udp' as const),
    published: fc.boolean(),
    hostPort: fc.constantFrom(0, 80, 81, 82),
  });
  // A spec never has the same fixed port twice: validation refuses it.
  const ports = fc.uniqueArray(port, {
    maxLength: 3,
    selector: ({ hostPort, protocol }) => (hostPort !== 0 ? `${hostPort}/${protocol}` : Symbol()),
  });
  const tags = fc.uniqueArray(fc.constantFrom('web', 'ssd', 'eu'), { maxLength: 3 });
  const service = fc.constantFrom('web', 'api', 'lb').map(serviceId);
  const someNodes = fc
    .array(
      fc.record({
        tags,
        availability: fc.constantFrom('active' as const, 'active' as const, 'paused' as const),
        state: fc.constantFrom('ready' as const, 'ready' as const, 'unreachable' as const),
      }),
      { maxLength: 6 },
    )
    .map((all) => all.map((changes, index) => aNode(`node-${index + 1}`, changes)));
  const someNodeId = fc.integer({ min: 1, max: 7 }).map((number) => nodeId(`node-${number}`));
  const reservations = fc.record({
    cpuMillis: fc.constantFrom(0, 0, 1500, 3000),
    memoryBytes: fc.constantFrom(0, 0, 2 ** 31),
  });
  const somePending = fc
    .array(
      fc.record({
        serviceId: service,
        tags,
        ports,
        strategy: fc.constantFrom(...spreading, 'every-node' as const),
        pinnedTo: fc.option(someNodeId, { freq: 4 }),
        avoid: fc.uniqueArray(someNodeId, { maxLength: 2 }),
        volumes: fc.uniqueArray(
          fc.record({ name: fc.constantFrom('a', 'b'), external: fc.boolean() }),
          { maxLength: 2, selector: ({ name }) => name },
        ),
        reservation: reservations,
        maxPerNode: fc.constantFrom(0, 0, 1, 2),
        platforms: fc.constantFrom([], [], ['linux/amd64'], ['linux/arm64']),
      }),
      { maxLength: 12 },
    )
    .map((all) =>
      all.map((changes, index) => ({
        ...aPending({ slot: index + 1 }),
        ...changes,
        // Those of every node bring volumes to nodes that had none, and so make room for others.
        volumes: changes.strategy === 'every-node' ? [] : changes.volumes,
      })),
    );
  const somePlaced = fc
    .array(
      fc.record({
        ...{ nodeId: someNodeId, serviceId: service, ports, reservation: reservations },
        volumes: fc.constantFrom<string[]>([], [], ['a'], ['b']),
      }),
      { maxLength: 12 },
    )
    .map((all) => {
      // Only what can be: no fixed port twice on a node.
      const seen = new Set<string>();
      return all.flatMap((changes, index): PlacedView[] => {
        const keys = fixedKeys(changes.nodeId, changes.ports);
        if (keys.some((key) => seen.has(key))) return [];
        for (const key of keys) seen.add(key);
        return [{ ...changes, containerName: `c-${index}`, leaving: index % 4 === 0 }];
      });
    });
  const cluster = fc.tuple(somePending, someNodes, somePlaced);

  function fixedKeys(node: string, all: PendingView['ports']): string[] {
    return fixedPortsOf(all).map(({ hostPort, protocol }) => `${node} ${hostPort}/${protocol}`);
  }

  function placements(pending: readonly PendingView[], decisions: readonly Decision[]) {
    return decisions.flatMap((decision, index) =>
      decision.kind === 'placed' ? [{ pending: pending[index]!, nodeId: decision.nodeId }] : [],
    );
  }

  test('no fixed port is given twice, no tag and no pin broken, no node taken that takes none', () => {
    fc.assert(
      fc.property(cluster, ([pending, all, placed]) => {
        const made = placements(pending, schedule(pending, all, placed));
        const keys = [
          ...placed.flatMap(({ nodeId: node, ports: held }) => fixedKeys(node, held)),
          ...made.flatMap(({ nodeId: node, pending: { ports: held } }) => fixedKeys(node, held)),
        ];
        expect(new Set(keys).size).toBe(keys.length);
        for (const { nodeId: id, pending: container } of made) {
          const node = all.find((candidate) => candidate.id === id)!;
          expect(node.tags).toEqual(expect.arrayContaining([...container.tags]));
          expect([node.state, node.availability]).toEqual(['ready', 'active']);
          expect([null, id]).toContain(container.pinnedTo);
          expect([[], [node.platform]]).toContainEqual(container.platforms);
        }
        for (const { nodeId: id, pending: container } of made) {
          if (container.reservation.cpuMillis === 0) continue;
          const here = [
            ...placed.filter(({ nodeId: other }) => other === id),
            ...made.flatMap((one) => (one.nodeId === id ? [one.pending] : [])),
          ];
          const reserved = here.reduce((sum, { reservation }) => sum + reservation.cpuMillis, 0);
          expect(reserved).toBeLessThanOrEqual(4000);
        }
      }),
    );
  });

  test('each container gets one decision, in order; an unplaceable one has one reason a node', () => {
    fc.assert(
      fc.property(cluster, ([pending, all, placed]) => {
        const decisions = schedule(pending, all, placed);
        expect(decisions.map(({ containerId }) => containerId)).toEqual(
          pending.map(({ id }) => id),
        );
        for (const decision of decisions) {
          if (decision.kind === 'placed') continue;
          expect(decision.reasons.map((reason) => reason.nodeId)).toEqual(all.map(({ id }) => id));
        }
      }),
    );
  });

  test('an unplaceable container fits nowhere: alone, it is refused as well', () => {
    fc.assert(
      fc.property(cluster, ([pending, all, placed]) => {
        const decisions = schedule(pending, all, placed);
        const then = [
          ...placed,
          ...placements(pending, decisions).map(({ pending: container, nodeId: node }) => ({
            nodeId: node,
            serviceId: container.serviceId,
            containerName: 'later',
            ports: container.ports,
            leaving: false,
            volumes: container.volumes.map(({ name }) => name),
            reservation: container.reservation,
          })),
        ];
        decisions.forEach((decision, index) => {
          if (decision.kind === 'placed') return;
          expect(schedule([pending[index]!], all, then)[0]!.kind).toBe('unplaceable');
        });
      }),
    );
  });

  test('the answer is the same again, with an index, and with the nodes in another order', () => {
    fc.assert(
      fc.property(cluster, ([pending, all, placed]) => {
        const decisions = schedule(pending, all, placed);
        expect(schedule(pending, all, indexPlaced(placed))).toEqual(decisions);
        expect(nodesOf(schedule(pending, all.toReversed(), placed))).toEqual(nodesOf(decisions));
      }),
    );
  });

  test('deciding one by one is deciding all at once', () => {
    fc.assert(
      fc.property(cluster, ([pending, all, placed]) => {
        const now = [...placed];
        const oneByOne = pending.map((container) => {
          const [decision] = schedule([container], all, now);
          if (decision!.kind === 'placed') {
            now.push({
              nodeId: decision!.nodeId,
              serviceId: container.serviceId,
              containerName: 'x',
              ports: container.ports,
              leaving: false,
              volumes: container.volumes.map(({ name }) => name),
              reservation: container.reservation,
            });
          }
          return decision!;
        });
        expect(nodesOf(oneByOne)).toEqual(nodesOf(schedule(pending, all, placed)));
      }),
    );
  });

  test.each(spreading)('equal nodes stay balanced within one: %s', (strategy) => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 0, max: 60 }), (n, count) => {
        const counts = groupBy(
          nodesOf(schedule(pendings(count, { strategy }), nodes(n), [])),
          (node) => node,
        );
        const sizes = nodes(n).map(({ name }) => counts.get(name)?.length ?? 0);
        expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
      }),
    );
  });

  test('high availability keeps each service balanced, whatever the load of others', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 5 }), { maxLength: 20 }),
        fc.array(service, { maxLength: 40 }),
        (load, services) => {
          const other = load.map((node) =>
            aPlaced(`node-${node}`, { serviceId: serviceId('noise') }),
          );
          const pending = services.map((id, index) => ({
            ...aPending({ slot: index + 1, strategy: 'high-availability' }),
            id: `${id}-${index}` as ContainerId,
            serviceId: id,
          }));
          const made = placements(pending, schedule(pending, nodes(5), other));
          for (const group of groupBy(made, ({ pending: { serviceId: id } }) => id).values()) {
            const counts = countBy(group, ({ nodeId: node }) => node);
            const sizes = nodes(5).map(({ id }) => counts.get(id) ?? 0);
            expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
          }
        },
      ),
    );
  });
});
