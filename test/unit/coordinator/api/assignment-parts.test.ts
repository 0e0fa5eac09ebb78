import fc from 'fast-check';
import { expect, test } from 'vitest';
import { AssignmentParts as Received } from '../../../../agent/node/assignment-parts.ts';
import { AssignmentParts } from '../../../../coordinator/api/assignment-parts.ts';
import type { Assignment } from '../../../../coordinator/dispatcher/assignments.ts';
import type { AssignmentSet } from '../../../../coordinator/dispatcher/node-link.ts';
import {
  WantedPhase,
  type AssignmentSet as Message,
} from '../../../../shared/gen/fairlead/v1/agent_service.ts';
import { partsVerb } from '../../../../shared/rpc/parts.ts';
import { aContainer, aDefinition, containerId } from '../../../support/builders.ts';

function anAssignment(name: string, variableBytes: number): Assignment {
  const id = containerId(name);
  const definition = aDefinition({ environment: { DATA: 'x'.repeat(variableBytes) } });
  return {
    ...{ containerId: id, wanted: 'running', drained: false, definition },
    container: aContainer({ id, name, definition }),
  };
}

function aSet(sequence: number, assignments: readonly Assignment[]): AssignmentSet {
  const forgotten = [containerId(`forgotten-${sequence}`)];
  return { complete: sequence === 1, sequence, assignments, forgotten, discarded: [] };
}

/** What a session says of its sets, one after the other. */
function partsOf(sets: readonly AssignmentSet[], verbs: readonly string[]) {
  const waiting = [...sets];
  const parts = new AssignmentParts({ verbs, nextMessage: () => waiting.shift() ?? null });
  const said = [];
  for (let part = parts.next(); part !== null; part = parts.next()) said.push(part);
  return said;
}

/** As it is on the wire, as far as it matters to whoever puts it together. */
function messageOf({ complete, sequence, unfinished, ...set }: ReturnType<typeof partsOf>[number]) {
  const assignments = set.assignments.map((assignment) => ({
    ...{
      containerId: assignment.containerId,
      wanted: WantedPhase.RUNNING,
      drained: false,
      definition: undefined,
    },
  }));
  return { complete, sequence, unfinished, assignments, forgotten: [...set.forgotten] };
}

const arbitrarySets = fc
  .array(fc.array(fc.nat(20_000), { maxLength: 30 }), { maxLength: 4 })
  .map((sets) =>
    sets.map((sizes, index) =>
      aSet(
        index + 1,
        sizes.map((bytes, slot) => anAssignment(`c-${index}-${slot}`, bytes)),
      ),
    ),
  );

test('an agent that takes parts has each set as it was, in parts that are small unless one assignment is large', () => {
  fc.assert(
    fc.property(arbitrarySets, (sets) => {
      const said = partsOf(sets, [partsVerb]);
      const received = new Received();
      const whole: Message[] = said.flatMap((part) => received.take(messageOf(part)) ?? []);
      expect(whole.map(({ sequence, complete }) => [sequence, complete])).toEqual(
        sets.map(({ sequence, complete }) => [sequence, complete]),
      );
      expect(whole.map(({ assignments }) => assignments.map((each) => each.containerId))).toEqual(
        sets.map(({ assignments }) => assignments.map((each) => each.containerId)),
      );
      expect(whole.map(({ forgotten }) => forgotten)).toEqual(
        sets.map(({ forgotten }) => forgotten),
      );
      for (const { assignments } of said) {
        const bytes = assignments.reduce(
          (sum, { definition }) => sum + (definition.environment['DATA']?.length ?? 0),
          0,
        );
        if (assignments.length > 1) expect(bytes).toBeLessThan(12 * 1024);
      }
    }),
  );
});

test('an agent that does not take parts gets each set in one message', () => {
  fc.assert(
    fc.property(arbitrarySets, (sets) => {
      const said = partsOf(sets, []);
      expect(said).toEqual(sets.map((set) => ({ ...set, unfinished: false })));
    }),
  );
});

test('what a set left unfinished is not taken for part of the next', () => {
  const received = new Received();
  const [first] = partsOf(
    [aSet(1, [anAssignment('a', 11_000), anAssignment('b', 11_000)])],
    [partsVerb],
  );
  const [second] = partsOf([aSet(2, [anAssignment('c', 1)])], [partsVerb]);
  expect(first!.unfinished).toBe(true);
  expect(received.take(messageOf(first!))).toBeNull();
  expect(received.take(messageOf(second!))?.assignments.map((each) => each.containerId)).toEqual([
    containerId('c'),
  ]);
});
