import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { NodeLink, type AssignmentSet } from '../../../../coordinator/dispatcher/node-link.ts';
import type { Container, Observed, Wanted } from '../../../../coordinator/model.ts';
import type { ContainerId, SessionId } from '../../../../shared/ids.ts';
import { aContainer, anObservation, containerId, nodeId } from '../../../support/builders.ts';

const here = nodeId('node-1');

/** What the coordinator knows, and the link that tells it. */
class Fleet {
  readonly containers = new Map<ContainerId, Container>();
  readonly observed = new Map<ContainerId, Observed>();
  readonly drained = new Set<ContainerId>();
  readonly heldBack = new Set<ContainerId>();
  readonly link = new NodeLink(
    { nodeId: here, sessionId: 'session' as SessionId, verbs: [] },
    { wake: () => undefined, close: () => undefined },
    {
      containersOn: (node) => [...this.containers.values()].filter((c) => c.nodeId === node),
      container: (id) => this.containers.get(id),
      observed: (id) => this.observed.get(id),
      isDrained: ({ id }) => this.drained.has(id),
      isHeldBack: ({ id }) => this.heldBack.has(id),
    },
  );

  put(name: string, changes: Partial<Container> = {}): void {
    const id = containerId(name);
    this.containers.set(id, aContainer({ id, name, ...changes }));
    this.link.changed(id);
  }

  remove(name: string): void {
    this.containers.delete(containerId(name));
    this.link.changed(containerId(name));
  }

  next(): string[] | null {
    const set = this.link.nextMessage();
    return set && wordsOf(set);
  }
}

function wordsOf({ complete, sequence, assignments, forgotten }: AssignmentSet): string[] {
  return [
    `${complete ? 'all' : 'more'} ${sequence}`,
    ...assignments.map(({ containerId: id, wanted }) => `${id} ${wanted}`),
    ...forgotten.map((id) => `forget ${id}`),
  ];
}

describe('a session is told', () => {
  test('everything at first, then what changes, numbered', () => {
    const fleet = new Fleet();
    fleet.put('a');
    fleet.put('elsewhere', { nodeId: nodeId('node-2') });
    fleet.put('pending', { nodeId: null });
    expect(fleet.next()).toEqual(['all 1', 'a running']);
    expect(fleet.next()).toBeNull();
    fleet.put('b');
    fleet.put('a', { wanted: 'removed' });
    expect(fleet.next()).toEqual(['more 2', 'b running', 'a removed']);
    fleet.remove('a');
    expect(fleet.next()).toEqual(['more 3', 'forget a']);
    expect(fleet.next()).toBeNull();
  });

  test('that a container is drained once it awaits that, and when it does no more', () => {
    const fleet = new Fleet();
    const id = containerId('a');
    fleet.put('a');
    const drained = () => fleet.link.nextMessage()?.assignments.map((one) => one.drained);
    expect(drained()).toEqual([false]);
    fleet.observed.set(id, anObservation({ awaitsDrain: true }));
    fleet.link.changed(id);
    expect(drained()).toBeUndefined();
    fleet.drained.add(id);
    fleet.link.changed(id);
    expect(drained()).toEqual([true]);
    fleet.observed.set(id, anObservation());
    fleet.link.changed(id);
    expect(drained()).toEqual([false]);
  });

  test('of a container that is held back once it is not, and of its end at any time', () => {
    const fleet = new Fleet();
    const a = containerId('a');
    fleet.heldBack.add(a);
    fleet.put('a');
    expect(fleet.next()).toEqual(['all 1']);
    fleet.put('a', { wanted: 'draining' });
    fleet.link.resync();
    expect(fleet.next()).toEqual(['all 2']);
    fleet.heldBack.clear();
    fleet.link.changed(a);
    expect(fleet.next()).toEqual(['more 3', 'a running']);

    const another = new Fleet();
    another.heldBack.add(a);
    another.put('a');
    another.next();
    another.put('a', { wanted: 'removed' });
    expect(another.next()).toEqual(['more 2', 'a removed']);
  });

  test('an empty set when there is nothing: the agent waits for it', () => {
    expect(new Fleet().next()).toEqual(['all 1']);
  });

  test('everything again when it missed something, with the next number', () => {
    const fleet = new Fleet();
    fleet.put('a');
    fleet.next();
    fleet.put('b');
    fleet.link.resync();
    expect(fleet.next()).toEqual(['all 2', 'a running', 'b running']);
    expect(fleet.next()).toBeNull();
  });

  test('only the last of what changed since', () => {
    const fleet = new Fleet();
    fleet.next();
    fleet.put('a');
    fleet.put('a', { wanted: 'removed' });
    expect(fleet.next()).toEqual(['more 2', 'a removed']);
  });

  test('nothing when a change comes to nothing for the node', () => {
    const fleet = new Fleet();
    fleet.put('a');
    fleet.next();
    fleet.put('a', { wanted: 'draining' });
    expect(fleet.next()).toBeNull();
    fleet.put('other', { nodeId: nodeId('node-2') });
    expect(fleet.next()).toBeNull();
  });

  test('to forget only what it was told of', () => {
    const fleet = new Fleet();
    fleet.next();
    fleet.put('a');
    fleet.remove('a');
    expect(fleet.next()).toBeNull();
  });

  test('nothing more of what ended, until that is to be removed', () => {
    const fleet = new Fleet();
    fleet.put('a');
    fleet.observed.set(containerId('a'), anObservation({ phase: 'failed' }));
    expect(fleet.next()).toEqual(['all 1']);
    fleet.put('a', { wanted: 'removed' });
    expect(fleet.next()).toEqual(['more 2', 'a removed']);
  });
});

const someChange = fc.record({
  name: fc.constantFrom('a', 'b', 'c'),
  wanted: fc.option(fc.constantFrom<Wanted>('running', 'draining', 'stopped', 'removed')),
  away: fc.boolean(),
});

test('increments lead to the same as a complete set, whenever they are taken', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(someChange, fc.boolean(), fc.boolean()), { maxLength: 30 }),
      (steps) => {
        const fleet = new Fleet();
        const known = new Map<string, string>();
        let sequence = 0;
        const take = () => {
          const set = fleet.link.nextMessage();
          if (set === null) return;
          expect(set.sequence).toBe(++sequence);
          if (set.complete) known.clear();
          for (const each of set.assignments) known.set(each.containerId, each.wanted);
          for (const id of set.forgotten) expect(known.delete(id)).toBe(true);
        };
        take();
        for (const [{ name, wanted, away }, taken, resync] of steps) {
          const node = away ? nodeId('node-2') : here;
          // A container never moves: what is put elsewhere is another one.
          const id = away ? `${name}-away` : name;
          if (wanted === null) fleet.remove(id);
          else fleet.put(id, { wanted, nodeId: node });
          if (resync) fleet.link.resync();
          if (taken) take();
        }
        take();
        const all = [...fleet.containers.values()].filter((c) => c.nodeId === here);
        const expected = all.map(({ id, wanted }) => [
          id,
          wanted === 'draining' ? 'running' : wanted,
        ]);
        expect([...known].sort()).toEqual(expected.sort());
      },
    ),
  );
});
