import { describe, expect, test } from 'vitest';
import type { PlacementFilter } from '../../../../coordinator/model.ts';
import { isEligible, refusalsOf } from '../../../../coordinator/scheduler/filters.ts';
import { indexPlaced } from '../../../../coordinator/scheduler/occupancy.ts';
import type {
  NodeView,
  PendingView,
  PlacedView,
} from '../../../../coordinator/scheduler/schedule.ts';
import { aNode, aPending, aPlaced, fixed, nodeId, serviceId, times } from './builders.ts';

interface Row {
  readonly title: string;
  readonly pending?: Partial<PendingView>;
  readonly node?: Partial<NodeView>;
  readonly placed?: readonly PlacedView[];
  readonly expected: readonly [PlacementFilter, string] | undefined;
}

const lb = (port: ReturnType<typeof fixed>) =>
  aPlaced('node-1', { containerName: 'lb-1', ports: [port] });

const data = { name: 'data', external: false };

const rows: readonly Row[] = [
  { title: 'takes a container that asks nothing', expected: undefined },
  {
    title: 'takes one whose tags are all there, among others',
    pending: { tags: ['web', 'ssd'] },
    node: { tags: ['ssd', 'eu', 'web'] },
    expected: undefined,
  },
  {
    title: 'refuses one whose tag is missing',
    pending: { tags: ['web'] },
    node: { tags: ['db', 'webx'] },
    expected: ['TAG_MISSING', 'lacks the tag "web"'],
  },
  {
    title: 'names only the tags that are missing',
    pending: { tags: ['web', 'ssd', 'eu'] },
    node: { tags: ['ssd'] },
    expected: ['TAG_MISSING', 'lacks the tags "web", "eu"'],
  },
  {
    title: 'tells tags apart by case',
    pending: { tags: ['Web'] },
    node: { tags: ['web'] },
    expected: ['TAG_MISSING', 'lacks the tag "Web"'],
  },
  {
    title: 'takes one that avoids other tags',
    pending: { avoidTags: ['edge', 'Web'] },
    node: { tags: ['web', 'edge-2'] },
    expected: undefined,
  },
  {
    title: 'refuses one that avoids a tag of it',
    pending: { tags: ['web'], avoidTags: ['edge', 'old'] },
    node: { tags: ['old', 'web'] },
    expected: ['TAG_AVOIDED', 'has the tag "old", which the service avoids'],
  },
  {
    title: 'names all tags that are avoided',
    pending: { avoidTags: ['edge', 'eu', 'old'] },
    node: { tags: ['old', 'edge'] },
    expected: ['TAG_AVOIDED', 'has the tags "edge", "old", which the service avoids'],
  },
  {
    title: 'asks for the tags that it must have before those that it must not have',
    pending: { tags: ['web'], avoidTags: ['old'] },
    node: { tags: ['old'] },
    expected: ['TAG_MISSING', 'lacks the tag "web"'],
  },
  {
    title: 'refuses on a paused node',
    node: { availability: 'paused' },
    expected: ['NOT_ACTIVE', 'is paused'],
  },
  {
    title: 'refuses on a node not heard of yet',
    node: { state: 'unknown' },
    expected: ['NOT_READY', 'is not ready: it has not been heard of since the coordinator started'],
  },
  {
    title: 'refuses on a node without engine',
    node: { state: 'engine-away' },
    expected: ['NOT_READY', 'is not ready: its engine does not answer'],
  },
  {
    title: 'refuses on an unreachable node',
    node: { state: 'unreachable' },
    expected: ['NOT_READY', 'is not ready: its agent is away'],
  },
  {
    title: 'refuses on a node that is down',
    node: { state: 'down' },
    expected: ['NOT_READY', 'is not ready: its agent has been away for longer than the grace'],
  },
  {
    title: "prefers the node's own words",
    node: { state: 'engine-away', message: 'docker: permission denied' },
    expected: ['NOT_READY', 'is not ready: docker: permission denied'],
  },
  {
    title: 'refuses a fixed port that is taken',
    pending: { ports: [fixed(80)] },
    placed: [lb(fixed(80))],
    expected: ['PORT_TAKEN', 'has port 80 taken by lb-1'],
  },
  {
    title: 'refuses a fixed UDP port that is taken',
    pending: { ports: [fixed(53, { protocol: 'udp' })] },
    placed: [lb(fixed(53, { protocol: 'udp' }))],
    expected: ['PORT_TAKEN', 'has port 53/udp taken by lb-1'],
  },
  {
    title: 'names the first of several ports that is taken',
    pending: { ports: [fixed(79), fixed(80), fixed(81)] },
    placed: [lb(fixed(81)), lb(fixed(80))],
    expected: ['PORT_TAKEN', 'has port 80 taken by lb-1'],
  },
  {
    title: 'takes the same number of the other protocol',
    pending: { ports: [fixed(53)] },
    placed: [lb(fixed(53, { protocol: 'udp' }))],
    expected: undefined,
  },
  {
    title: 'takes the same fixed port on another node',
    pending: { ports: [fixed(80)] },
    placed: [aPlaced('node-2', { ports: [fixed(80)] })],
    expected: undefined,
  },
  {
    title: 'takes dynamic ports, whatever is there',
    pending: { ports: [fixed(0), fixed(0, { containerPort: 81 })] },
    placed: [lb(fixed(0)), lb(fixed(80))],
    expected: undefined,
  },
  {
    title: "refuses a port of the node's network that is taken, published or not",
    pending: { ports: [fixed(80, { published: false })] },
    placed: [lb(fixed(80))],
    expected: ['PORT_TAKEN', 'has port 80 taken by lb-1'],
  },
  {
    title: 'refuses an image for another platform',
    pending: { platforms: ['linux/arm64', 'linux/riscv64'] },
    expected: [
      'PLATFORM_MISMATCH',
      'is linux/amd64, and the image is for linux/arm64, linux/riscv64',
    ],
  },
  {
    title: 'takes an image for its platform among others',
    pending: { platforms: ['linux/arm64', 'linux/amd64'] },
    expected: undefined,
  },
  {
    title: 'refuses one whose volume a container elsewhere has',
    pending: { volumes: [data] },
    placed: [aPlaced('node-2', { volumes: ['data'] })],
    expected: ['VOLUME_ELSEWHERE', 'lacks the volume "data", which is on another node'],
  },
  {
    title: 'takes one whose volume it has as well',
    pending: { volumes: [data] },
    placed: [aPlaced('node-2', { volumes: ['data'] }), aPlaced('node-1', { volumes: ['data'] })],
    expected: undefined,
  },
  {
    title: 'takes one of every node, that has a volume of its own on each',
    pending: { volumes: [data], strategy: 'every-node' },
    placed: [aPlaced('node-2', { volumes: ['data'] })],
    expected: undefined,
  },
  {
    title: 'refuses one whose volume is to be there and is not',
    pending: { volumes: [{ ...data, external: true }] },
    expected: ['VOLUME_MISSING', 'lacks the volume "data", which is to be there already'],
  },
  {
    title: 'refuses one more than may be there',
    pending: { maxPerNode: 2 },
    placed: times(2, aPlaced('node-1', { serviceId: serviceId('web') })),
    expected: ['MAX_PER_NODE', 'has 2 of its containers, and may have 2'],
  },
  {
    title: 'does not count what is being replaced towards the maximum',
    pending: { maxPerNode: 1 },
    placed: [aPlaced('node-1', { serviceId: serviceId('web'), leaving: true })],
    expected: undefined,
  },
  {
    title: 'refuses one that reserves more processors than are free',
    pending: { reservation: { cpuMillis: 600, memoryBytes: 0 } },
    placed: [aPlaced('node-1', { reservation: { cpuMillis: 3500, memoryBytes: 0 } })],
    expected: ['NOT_ENOUGH_CPU', 'lacks processors: 0.5 of 4 are free, 0.6 needed'],
  },
  {
    title: 'refuses one that is to run on a processor that it lacks',
    pending: { cpus: 6 },
    expected: ['NOT_ENOUGH_CPU', 'lacks processors: it has 4, and number 5 is asked for'],
  },
  {
    title: 'refuses one that reserves more memory than is free, of what is leaving too',
    pending: { reservation: { cpuMillis: 0, memoryBytes: 2 ** 31 } },
    placed: [
      aPlaced('node-1', { leaving: true, reservation: { cpuMillis: 0, memoryBytes: 2 ** 33 - 1 } }),
    ],
    expected: ['NOT_ENOUGH_MEMORY', 'lacks memory: 0 of 8192 MiB are free, 2048 needed'],
  },
  {
    title: 'takes one that reserves just what is free',
    pending: { reservation: { cpuMillis: 4000, memoryBytes: 2 ** 33 }, cpus: 4 },
    expected: undefined,
  },
  {
    title: 'refuses one that belongs on another node',
    pending: { pinnedTo: nodeId('node-2') },
    expected: ['PINNED_ELSEWHERE', 'is not the node that it belongs to'],
  },
  {
    title: 'takes one that belongs here',
    pending: { pinnedTo: nodeId('node-1') },
    expected: undefined,
  },
  {
    title: 'validates also the node that a container belongs to',
    pending: { pinnedTo: nodeId('node-1'), tags: ['web'] },
    expected: ['TAG_MISSING', 'lacks the tag "web"'],
  },
  {
    title: 'asks first for what only the user can change',
    pending: { tags: ['web'], ports: [fixed(80)] },
    node: { availability: 'paused', state: 'down' },
    placed: [lb(fixed(80))],
    expected: ['TAG_MISSING', 'lacks the tag "web"'],
  },
  {
    title: 'asks for the availability before the state',
    node: { availability: 'paused', state: 'down' },
    expected: ['NOT_ACTIVE', 'is paused'],
  },
  {
    title: 'asks for the state before the ports',
    pending: { ports: [fixed(80)] },
    node: { state: 'unreachable' },
    placed: [lb(fixed(80))],
    expected: ['NOT_READY', 'is not ready: its agent is away'],
  },
  {
    title: 'a node that keeps failing it',
    pending: { failing: [{ nodeId: nodeId('node-1'), count: 4, untilMs: 20_000 }] },
    expected: [
      'FAILING_HERE',
      'keeps failing it: 4 times, and is tried again at 1970-01-01T00:00:20.000Z',
    ],
  },
  {
    title: 'another node keeps failing it',
    pending: { failing: [{ nodeId: nodeId('node-2'), count: 4, untilMs: 20_000 }] },
    expected: undefined,
  },
];

test.each(rows)('$title', ({ pending, node, placed, expected }) => {
  const refusal = refusalsOf(aPending(pending))(aNode('node-1', node), indexPlaced(placed ?? []));
  expect(refusal).toEqual(
    expected && { nodeId: 'node-1', node: 'node-1', filter: expected[0], reason: expected[1] },
  );
});

describe('isEligible', () => {
  test.each<[string, Partial<NodeView>, boolean]>([
    ['with all tags', { tags: ['web', 'eu'] }, true],
    ['without one of them', { tags: ['eu'] }, false],
    ['paused', { tags: ['web'], availability: 'paused' }, false],
    ['away for a moment', { tags: ['web'], state: 'unreachable' }, true],
    ['down', { tags: ['web'], state: 'down' }, true],
    ['with one that is avoided', { tags: ['web', 'old'] }, false],
  ])('a node %s', (_, node, expected) => {
    const asked = { tags: ['web'], avoidTags: ['edge', 'old'], platforms: [] };
    expect(isEligible(asked, aNode('node-1', node))).toBe(expected);
  });
});
