import fc from 'fast-check';
import { expect, test } from 'vitest';
import { BackendList, type ListDelta, type Target } from '../../../../agent/proxy/backend-list.ts';
import { aList, aTarget } from './builders.ts';

const one = aTarget({ id: 'web-1' });
const two = aTarget({ id: 'web-2' });

function delta(options: Partial<ListDelta> = {}): ListDelta {
  return {
    epoch: 'epoch-1',
    baseVersion: 1,
    version: 2,
    targets: [],
    removedTargetIds: [],
    rejected: [],
    ...options,
  };
}

test('takes a whole list, and says what differs from the one before', () => {
  const list = new BackendList(aList({ targets: [one, two] }));
  const drained = { ...two, mode: 'drain' } as const;

  const change = list.replace(
    aList({ epoch: 'epoch-2', version: 9, targets: [drained, aTarget({ id: 'web-3' })] }),
  );

  expect(change.structure).toBe(false);
  expect(change.paths.toSorted()).toEqual(['web/web-1', 'web/web-2', 'web/web-3']);
  expect([...list.targets.keys()].toSorted()).toEqual(['web/web-2', 'web/web-3']);
  expect([list.epoch, list.version]).toEqual(['epoch-2', 9]);
});

test('says when the structure differs', () => {
  const list = new BackendList(aList());
  expect(list.replace(aList({ version: 2 })).structure).toBe(false);
  const frontends = [
    { name: 'http', port: 8080, protocol: 'http', defaultBackend: 'web', routes: [] },
  ] as const;
  expect(list.replace(aList({ version: 3, frontends })).structure).toBe(true);
  expect(list.replace(aList({ version: 4, frontends, backends: [] })).structure).toBe(true);
});

test('an empty list is obeyed', () => {
  const list = new BackendList(aList({ targets: [one, two] }));
  expect(list.replace(aList({ version: 2 })).paths.length).toBe(2);
  expect(list.targets.size).toBe(0);
});

test('goes on by a delta from the version it has', () => {
  const list = new BackendList(aList({ targets: [one] }));
  const change = list.apply(delta({ targets: [two], removedTargetIds: ['web-1', 'unknown'] }));
  expect(change).toEqual({ structure: false, paths: ['web/web-1', 'web/web-2'] });
  expect(list.version).toBe(2);
  expect([...list.targets.values()]).toEqual([two]);
});

test.each([
  ['from another version', delta({ baseVersion: 2, version: 3, targets: [two] })],
  ['of another epoch', delta({ epoch: 'epoch-0', targets: [two] })],
])('changes nothing by a delta %s', (_name, gap) => {
  const list = new BackendList(aList({ targets: [one] }));
  expect(list.apply(gap)).toBe('gap');
  expect(list.toSnapshot()).toEqual(aList({ targets: [one] }));
});

test('a target that moves to another backend leaves the one before', () => {
  const list = new BackendList(aList({ targets: [one] }));
  const change = list.apply(delta({ targets: [{ ...one, backend: 'api' }] }));
  expect(change).toEqual({ structure: false, paths: ['web/web-1', 'api/web-1'] });
  expect([...list.targets.keys()]).toEqual(['api/web-1']);
});

test('keeps what is wrong with targets until they are given anew or removed', () => {
  const bad = (id: string) => ({ id, message: 'no address' });
  const list = new BackendList(aList({ rejected: [bad('a'), bad('b'), bad('c')] }));
  list.apply(delta({ targets: [aTarget({ id: 'a' })], removedTargetIds: ['b'] }));
  expect([...list.rejected]).toEqual([['c', 'no address']]);
});

const target: fc.Arbitrary<Target> = fc
  .record({
    id: fc.constantFrom('a', 'b', 'c', 'd', 'e'),
    backend: fc.constantFrom('web', 'api'),
    mode: fc.constantFrom('ready' as const, 'drain' as const),
    port: fc.integer({ min: 1, max: 3 }),
  })
  .map((options) => aTarget(options));
const targets = fc.uniqueArray(target, { selector: ({ id }) => id });

test('deltas lead to the same list as snapshots, and name all that differs', () => {
  fc.assert(
    fc.property(fc.array(targets, { minLength: 1, maxLength: 6 }), (versions) => {
      const list = new BackendList(aList({ version: 0 }));
      for (const [index, wanted] of versions.entries()) {
        const before = new Map(list.targets);
        const ids = new Set(wanted.map(({ id }) => id));
        const change = list.apply(
          delta({
            baseVersion: index,
            version: index + 1,
            targets: wanted,
            removedTargetIds: [...before.values()].map(({ id }) => id).filter((id) => !ids.has(id)),
          }),
        );
        const whole = new BackendList(aList({ version: index + 1, targets: wanted }));
        expect(new Map(list.targets)).toEqual(new Map(whole.targets));
        const differing = [...new Set([...before.keys(), ...whole.targets.keys()])].filter(
          (path) => JSON.stringify(before.get(path)) !== JSON.stringify(whole.targets.get(path)),
        );
        expect(new Set(change === 'gap' ? [] : change.paths)).toEqual(new Set(differing));
      }
    }),
  );
});

test('a target goes on whose container takes requests elsewhere, until they come there', () => {
  const old = { ...aTarget({ id: 'web-1' }), containerId: 'c1' };
  const other = { ...aTarget({ id: 'web-2' }), containerId: 'c2' };
  const list = new BackendList(aList({ targets: [old, other] }));
  list.structureTookEffect();
  const moved = { ...old, id: 'web-1.80', backend: 'web.80' };
  const drains = [
    { ...old, mode: 'drain' as const },
    { ...other, mode: 'drain' as const },
  ];
  list.replace(aList({ version: 2, backends: [], targets: [...drains, moved] }));
  const modes = () => [...list.targets.values()].map(({ id, mode }) => `${id} ${mode}`);
  expect(modes()).toEqual(['web-1 ready', 'web-2 drain', 'web-1.80 ready']);
  expect(list.toSnapshot().targets).toEqual([...drains, moved]);
  expect(list.structureTookEffect()).toEqual(['web/web-1']);
  expect(modes()).toEqual(['web-1 drain', 'web-2 drain', 'web-1.80 ready']);
});
