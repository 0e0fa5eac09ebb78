import { expect, test } from 'vitest';
import { specFromProto } from '../../../../coordinator/api/convert-spec.ts';
import type { FieldViolation } from '../../../../shared/errors.ts';
import { PlacementStrategy, type Volume } from '../../../../shared/gen/fairlead/v1/service.ts';
import { aProtoSpec } from './specs.ts';

type Changes = Parameters<typeof aProtoSpec>[0];

function rulesOf(changes: Changes): string[] {
  const into: FieldViolation[] = [];
  specFromProto(aProtoSpec(changes), 'spec', into);
  return into.map(({ field, rule }) => `${field} ${rule}`);
}

const at = (containerPath: string, source?: Volume['source']) => ({ containerPath, source });
const named = (name: string): Volume['source'] => ({
  $case: 'named',
  value: { name, external: false },
});

test('takes volumes of every kind', () => {
  const tmpfs = { $case: 'tmpfs' as const, value: { sizeBytes: 4096, mode: 0o1777 } };
  const bind = { $case: 'bind' as const, value: { path: '/srv' } };
  const longest = `${'{{.Container.Name}}'.repeat(4)}${'a'.repeat(15)}`;
  const volumes = [
    ...[at('/a'), at('/b', named('x-{{.Slot}}')), at('/c', bind), at('/d', tmpfs)],
    at('/e', named(longest)),
  ];
  expect(rulesOf({ volumes, volumesFrom: ['db'], platforms: ['linux/arm64'] })).toEqual([]);
});

test.each<[string, Changes, string]>([
  ['no path', { volumes: [at('')] }, 'spec.volumes[0].container_path is required'],
  ['a relative path', { volumes: [at('a')] }, 'spec.volumes[0].container_path must be an absolute'],
  ['a path with a colon', { volumes: [at('/a:b')] }, 'must have no ":"'],
  ['the root', { volumes: [at('/')] }, 'spec.volumes[0].container_path must not be the root'],
  [
    'a path twice',
    { volumes: [at('/a'), at('/a/')] },
    'spec.volumes[1] has the same container path as spec.volumes[0]: "/a"',
  ],
  ['no name', { volumes: [at('/a', named(''))] }, 'spec.volumes[0].named.name is required'],
  ['a name with a slash', { volumes: [at('/a', named('a/b'))] }, 'must be letters, digits'],
  [
    'a name that depends on the node',
    { volumes: [at('/a', named('{{.Node.Name}}'))] },
    'spec.volumes[0].named.name must have no template but {{.Service.ID}}',
  ],
  [
    'a name that templates make too long',
    { volumes: [at('/a', named('{{.Container.Name}}'.repeat(5)))] },
    'spec.volumes[0].named.name must have at most 255 characters when its templates are filled in, and may have 300',
  ],
  [
    'too small a file system',
    { volumes: [at('/a', { $case: 'tmpfs', value: { sizeBytes: 1, mode: 0 } })] },
    'spec.volumes[0].tmpfs.size_bytes must be a whole number from 4096',
  ],
  ['a service twice', { volumesFrom: ['a', 'a'] }, 'spec.volumes_from[1] has the same service'],
  ['no platform', { platforms: ['arm64'] }, 'spec.platforms[0] must be an operating system'],
  ['a tag for its key', { spreadOver: ['zone=a'] }, 'spec.spread_over[0] must be the key of a tag'],
  ['a key twice', { spreadOver: ['zone', 'zone'] }, 'spec.spread_over[1] has the same key'],
  [
    'spread of what is everywhere',
    { spreadOver: ['zone'], strategy: PlacementStrategy.EVERY_NODE },
    'spec.spread_over must be empty with the strategy EVERY_NODE',
  ],
  ['too many a node', { maxPerNode: 1001 }, 'spec.max_per_node must be a whole number'],
  [
    'too much memory',
    { reservation: { memoryBytes: 2 ** 51 } },
    'spec.reservation.memory_bytes must be a whole number',
  ],
])('refuses %s', (_, changes, rule) => {
  expect(rulesOf(changes)).toEqual([expect.stringContaining(rule)]);
});
