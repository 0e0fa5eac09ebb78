import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Target } from '../../../../coordinator/model.ts';
import {
  BackendList,
  type ListDelta,
  type ListSnapshot,
} from '../../../../coordinator/routing/backend-list.ts';
import { aBackend, aTarget, containerId } from '../../../support/builders.ts';

const structure = { frontends: [], backends: [], memberships: new Map() };
const web = containerId('web-1');

/** What somebody has who was sent one message after the other. */
class Copy {
  version = 0;
  readonly targets = new Map<string, Target>();

  take(message: ListSnapshot | ListDelta): void {
    if (message.kind === 'snapshot') this.targets.clear();
    else expect(message.baseVersion).toBe(this.version);
    for (const target of message.targets) this.targets.set(target.id, target);
    if (message.kind === 'delta') {
      for (const id of message.removedTargetIds) this.targets.delete(id);
    }
    this.version = message.version;
  }
}

const sorted = (targets: Iterable<Target>) => [...targets].sort((a, b) => a.id.localeCompare(b.id));

describe('versions', () => {
  test('count every change, and nothing else', () => {
    const list = new BackendList(structure);
    expect(list.set(web, [])).toBe(false);
    expect(list.set(web, [aTarget('web-1')])).toBe(true);
    expect(list.set(web, [aTarget('web-1')])).toBe(false);
    expect(list.version).toBe(1);
    expect(list.set(web, [aTarget('web-1', { mode: 'drain' })])).toBe(true);
    expect(list.set(web, [])).toBe(true);
    expect(list.version).toBe(3);
    expect([...list.containers()]).toEqual([]);
  });

  test('say by which one the targets that are gone were given requests no more', () => {
    const list = new BackendList(structure);
    list.set(web, [aTarget('web-1')]);
    list.set(web, [aTarget('web-1', { mode: 'drain' })]);
    expect(list.urgentVersion).toBe(0);
    list.set(web, []);
    expect([list.urgentVersion, list.version]).toEqual([2, 3]);
    list.set(web, [aTarget('web-1'), aTarget('web-1b')]);
    list.set(web, [aTarget('web-1b')]);
    expect(list.urgentVersion).toBe(list.version);
    list.set(web, [aTarget('web-1b', { mode: 'drain' })]);
    expect(list.urgentVersion).toBe(list.version - 1);
  });

  test('say since when a target is in its mode', () => {
    const list = new BackendList(structure);
    list.set(web, [aTarget('web-1')]);
    expect(list.sinceOf(aTarget('web-1'))).toBe(1);
    list.set(containerId('web-2'), [aTarget('web-2')]);
    list.set(web, [aTarget('web-1', { mode: 'drain' })]);
    expect(list.sinceOf(aTarget('web-1'))).toBe(3);
    list.set(web, []);
    expect(list.targetsOf(web)).toEqual([]);
  });

  test('say so still when something else of it changes, as when its service is unlinked', () => {
    const list = new BackendList(structure);
    list.set(web, [aTarget('web-1', { mode: 'drain' })]);
    expect(list.set(web, [aTarget('web-1', { mode: 'drain', leaving: true })])).toBe(true);
    expect(list.sinceOf(aTarget('web-1'))).toBe(1);
    list.set(web, [aTarget('web-1', { mode: 'drain', address: '10.0.0.9' })]);
    expect(list.sinceOf(aTarget('web-1'))).toBe(3);
  });

  test('tell of a target that took another id as of one that went and one that came', () => {
    const list = new BackendList(structure);
    list.set(web, [aTarget('web-1')]);
    list.set(web, [aTarget('web-1', { id: 'web-1.2', port: 2 })]);
    expect(list.changesSince(1)).toMatchObject({
      removedTargetIds: ['web-1.1'],
      targets: [{ id: 'web-1.2' }],
    });
    expect(list.has('web-1.1')).toBe(false);
  });

  test('of the future are answered with everything', () => {
    const list = new BackendList(structure);
    list.set(web, [aTarget('web-1')]);
    expect(list.changesSince(2).kind).toBe('snapshot');
  });
});

describe('its structure', () => {
  test('changes only when it does', () => {
    const list = new BackendList(structure);
    const before = list.plan;
    expect(list.restructure({ ...structure })).toBe(false);
    expect(list.plan).toBe(before);
    expect(list.restructure({ ...structure, backends: [aBackend('a')] })).toBe(true);
    expect(list.plan).not.toBe(before);
  });

  test('has a version of its own when it changes, with no target in what changed', () => {
    const list = new BackendList(structure);
    list.restructure({ ...structure, backends: [aBackend('a')] });
    expect(list.changesSince(0)).toEqual({
      ...{ kind: 'delta', baseVersion: 0, version: 1 },
      ...{ targets: [], removedTargetIds: [] },
    });
  });
});

const someTarget = fc.record({
  container: fc.constantFrom('a', 'b', 'c', 'd'),
  target: fc.option(
    fc.record({
      port: fc.constantFrom(1, 2),
      mode: fc.constantFrom('ready' as const, 'drain' as const),
    }),
  ),
});

test('whatever changed, deltas from any version lead to the same as the whole list', () => {
  fc.assert(
    fc.property(
      fc.array(someTarget, { maxLength: 40 }),
      fc.array(fc.nat({ max: 40 }), { maxLength: 5 }),
      (steps, stops) => {
        const list = new BackendList(structure);
        const early = new Copy();
        const copies = [early];
        early.take(list.changesSince(0));
        for (const [index, { container, target }] of steps.entries()) {
          const id = containerId(container);
          const next =
            target && aTarget(container, { ...target, id: `${container}.${target.port}` });
          list.set(id, next === null ? [] : [next]);
          if (!stops.includes(index)) continue;
          early.take(list.changesSince(early.version));
          const late = new Copy();
          late.take(list.snapshot());
          copies.push(late);
        }
        for (const copy of copies) {
          copy.take(list.changesSince(copy.version));
          expect(copy.version).toBe(list.version);
          expect(sorted(copy.targets.values())).toEqual(sorted(list.targets()));
        }
      },
    ),
  );
});

test('who is too far behind gets the whole list; who is not still gets what changed', () => {
  const list = new BackendList(structure);
  const set = (port: number) => list.set(web, [aTarget('web-1', { id: 'web-1.1', port })]);
  const far = new Copy();
  const near = new Copy();
  far.take(list.changesSince(0));
  for (let port = 1; port <= 20_000; port++) {
    set(port);
    if (port === 19_000) near.take(list.snapshot());
    expect(list.version).toBe(port);
  }
  expect(list.changesSince(far.version).kind).toBe('snapshot');
  expect(list.changesSince(near.version)).toMatchObject({ kind: 'delta', baseVersion: 19_000 });
  for (const copy of [far, near]) {
    copy.take(list.changesSince(copy.version));
    expect(sorted(copy.targets.values())).toEqual(sorted(list.targets()));
  }
});
