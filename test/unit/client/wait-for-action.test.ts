import fc from 'fast-check';
import { expect, test } from 'vitest';
import { newEntries } from '../../../client/wait-for-action.ts';

const entry = (message: string) => ({ time: new Date(0), container: '', message, lines: [] });

test('says each line of a timeline once, also when the oldest ones were dropped', () => {
  const line = fc.nat({ max: 1_000_000 });
  fc.assert(
    fc.property(
      fc.uniqueArray(line, { maxLength: 40 }),
      fc.integer({ min: 1, max: 50 }),
      fc.array(fc.nat({ max: 8 })),
      (lines, kept, reads) => {
        const all = lines.map((number) => entry(String(number)));
        const said: unknown[] = [];
        let written = 0;
        let seen: ReturnType<typeof entry>[] = [];
        for (const step of reads) {
          written = Math.min(all.length, written + Math.min(step, kept));
          const timeline = all.slice(Math.max(0, written - kept), written);
          said.push(...newEntries(seen, timeline));
          seen = timeline;
        }
        expect(said).toEqual(all.slice(0, written));
      },
    ),
  );
});

test('says equal lines as often as they were written', () => {
  const once = [entry('web-1 restarted')];
  const twice = [...once, ...once];
  expect(newEntries([], twice)).toEqual(twice);
  expect(newEntries(once, twice)).toEqual(once);
  expect(newEntries(twice, twice)).toEqual([]);
});
