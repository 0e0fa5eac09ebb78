import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  identityOf,
  labelsOf,
  type ContainerIdentity,
} from '../../../../../agent/node/docker/container-labels.ts';
import type { ContainerId, NodeId } from '../../../../../shared/ids.ts';

const hex = fc.stringMatching(/^[0-9a-f]{32}$/);
const identities: fc.Arbitrary<ContainerIdentity> = fc.record({
  nodeId: hex.map((id) => id as NodeId),
  containerId: hex.map((id) => id as ContainerId),
  name: fc.string(),
  service: fc.string(),
  serviceId: hex,
  slot: fc.integer({ min: 1, max: 1000 }),
  revision: fc.integer({ min: 1, max: 999_999_999 }),
  ports: fc.array(
    fc.record({
      containerPort: fc.integer({ min: 1, max: 65_535 }),
      protocol: fc.constantFrom('tcp' as const, 'udp' as const),
      published: fc.boolean(),
      hostPort: fc.integer({ min: 0, max: 65_535 }),
    }),
  ),
});

describe('the labels of an engine container', () => {
  test('say all that it is', () => {
    fc.assert(
      fc.property(identities, (identity) => {
        expect(identityOf(labelsOf(identity))).toEqual(identity);
      }),
    );
  });

  test('say that it is not ours when an id is missing', () => {
    expect(identityOf({})).toBeUndefined();
    expect(identityOf({ 'fairlead.node': 'a' })).toBeUndefined();
    expect(identityOf({ 'fairlead.container': 'a' })).toBeUndefined();
  });

  test.each([
    ['nothing', undefined],
    ['no JSON', '[{'],
    ['no list', '{"containerPort":80}'],
    ['no ports', '[null, 1, {}, {"containerPort":80,"protocol":"sctp"}]'],
  ])('are read as far as they can be: ports with %s', (_, ports) => {
    const labels = { 'fairlead.node': 'a', 'fairlead.container': 'b', 'fairlead.slot': 'x' };
    const damaged = ports === undefined ? labels : { ...labels, 'fairlead.ports': ports };
    expect(identityOf(damaged)).toEqual({
      nodeId: 'a',
      containerId: 'b',
      name: '',
      service: '',
      serviceId: '',
      slot: 0,
      revision: 0,
      ports: [],
    });
  });

  test('never make reading fail, whatever they say', () => {
    fc.assert(
      fc.property(fc.string(), fc.jsonValue(), (text, value) => {
        const labels = { 'fairlead.node': 'a', 'fairlead.container': 'b', 'fairlead.slot': text };
        identityOf({ ...labels, 'fairlead.ports': text });
        identityOf({ ...labels, 'fairlead.ports': JSON.stringify(value) });
      }),
    );
  });
});
