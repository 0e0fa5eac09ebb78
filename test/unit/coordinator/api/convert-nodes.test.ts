import { describe, expect, test } from 'vitest';
import {
  clusterChangeFromProto,
  clusterWishFromProto,
  nodeChangeFromProto,
} from '../../../../coordinator/api/convert-nodes.ts';
import type { FieldViolation } from '../../../../shared/errors.ts';
import {
  CreateNodeClusterRequest,
  UpdateNodeClusterRequest,
  UpdateNodeRequest,
} from '../../../../shared/gen/fairlead/v1/control_service.ts';
import { Availability } from '../../../../shared/gen/fairlead/v1/node.ts';

function collect<T>(convert: (into: FieldViolation[]) => T): [T, string[]] {
  const into: FieldViolation[] = [];
  const result = convert(into);
  return [result, into.map(({ field, rule }) => `${field} ${rule}`)];
}

describe('a change of a node', () => {
  const convert = (request: Parameters<typeof UpdateNodeRequest.fromPartial>[0]) =>
    collect((into) => nodeChangeFromProto(UpdateNodeRequest.fromPartial(request), into));

  test('takes what the mask names', () => {
    const request = { tags: ['web'], availability: Availability.PAUSED };
    expect(convert({ ...request, updateMask: ['tags'] })).toEqual([
      { tags: ['web'], availability: undefined, cluster: undefined },
      [],
    ]);
    expect(convert({ ...request, updateMask: ['availability'] })).toEqual([
      { tags: undefined, availability: 'paused', cluster: undefined },
      [],
    ]);
    expect(convert({ updateMask: ['availability', 'tags'] })).toEqual([
      { tags: [], availability: 'active', cluster: undefined },
      [],
    ]);
    expect(convert({ cluster: 'edge', updateMask: ['cluster'] })[0].cluster).toBe('edge');
    expect(convert({ updateMask: ['cluster'] })[0].cluster).toBeNull();
  });

  test('cannot give automatic tags', () => {
    const request = { tags: ['web', 'hostname=a'], updateMask: ['tags'] };
    expect(convert(request)[1]).toEqual([
      expect.stringMatching(
        /^tags\[1\] must not begin with .* by themselves, and is "hostname=a"$/,
      ),
    ]);
  });

  test('refuses no mask, unknown paths and wrong tags', () => {
    expect(convert({})[1]).toEqual(['update_mask is required']);
    expect(convert({ updateMask: ['name', 'tags'], tags: [''] })[1]).toEqual([
      'update_mask.paths[0] must be "tags", "availability" or "cluster", and is "name"',
      expect.stringContaining('tags[0] must be'),
    ]);
  });

  test.each([
    [Availability.ACTIVE, 'active'],
    [Availability.PAUSED, 'paused'],
    [Availability.DRAINING, 'draining'],
    [Availability.UNSPECIFIED, 'active'],
  ])('takes the availability %i as %s', (availability, word) => {
    const [change] = convert({ updateMask: ['availability'], availability });
    expect(change).toMatchObject({ tags: undefined, availability: word });
  });
});

describe('a node cluster', () => {
  const create = (request: Parameters<typeof CreateNodeClusterRequest.fromPartial>[0]) =>
    collect((into) => clusterWishFromProto(CreateNodeClusterRequest.fromPartial(request), into));
  const update = (request: Parameters<typeof UpdateNodeClusterRequest.fromPartial>[0]) =>
    collect((into) => clusterChangeFromProto(UpdateNodeClusterRequest.fromPartial(request), into));

  test('is taken as asked', () => {
    const wish = { name: 'edge', targetNodes: 4, tags: ['web'] };
    expect(create(wish)).toEqual([wish, []]);
    expect(create({ name: 'edge' })).toEqual([{ name: 'edge', targetNodes: 0, tags: [] }, []]);
  });

  test('is refused with a wrong name, target and tags, all at once', () => {
    expect(create({ name: 'Edge', targetNodes: 10_001, tags: ['a b', 'cluster=x'] })[1]).toEqual([
      expect.stringMatching(/^name must be lower-case/),
      'target_nodes must be a whole number from 0 to 10000, and is 10001',
      expect.stringMatching(/^tags\[0\] must be at most/),
      expect.stringMatching(/^tags\[1\] must not begin with/),
    ]);
  });

  test('is changed in what the mask names', () => {
    expect(update({ targetNodes: 3, tags: ['a'], updateMask: ['target_nodes'] })).toEqual([
      { targetNodes: 3, tags: undefined },
      [],
    ]);
    expect(update({ updateMask: ['tags', 'target_nodes'] })).toEqual([
      { targetNodes: 0, tags: [] },
      [],
    ]);
    expect(update({ updateMask: ['name'] })[1]).toEqual([
      'update_mask.paths[0] must be "target_nodes" or "tags", and is "name"',
    ]);
  });
});
