import fc from 'fast-check';
import { expect, test } from 'vitest';
import { beginning, LogPlace, type LogPosition } from '../../../shared/log-place.ts';

const nowhere = { time: '', lines: 0 };

/** A time so many milliseconds after a day in November. */
function at(ms: number): string {
  return new Date(1_700_000_000_000 + ms).toISOString().replace('Z', '000000Z');
}

/** What an engine gives that is asked for a place: lines from its time on, without the first so many. */
function from(log: readonly string[], { time, lines }: LogPosition): string[] {
  return log.filter((each) => each >= time).slice(lines);
}

test('nothing was read: the place is not known', () => {
  expect(new LogPlace(nowhere).position).toEqual(nowhere);
});

test('lines of one moment are counted', () => {
  const place = new LogPlace(nowhere);
  for (let i = 0; i < 3; i++) place.add(at(0));
  expect(place.position).toEqual({ time: at(0), lines: 3 });
});

test('the time that it counts from moves on, and what was counted before is forgotten', () => {
  const place = new LogPlace(beginning);
  for (let second = 0; second < 1_000; second++) place.add(at(second * 1_000));
  expect(place.position).toEqual({ time: at(998_000), lines: 2 });
});

test('reading on from any place gives every line once, also of logs that are a little out of order', () => {
  const steps = fc.array(fc.integer({ min: -40, max: 400 }), { minLength: 1, maxLength: 60 });
  fc.assert(
    fc.property(steps, fc.array(fc.nat(), { maxLength: 4 }), fc.boolean(), (jumps, cuts, fresh) => {
      let ms = 1_000;
      let latest = ms;
      const log = jumps.map((jump) => {
        // Never more than 40 ms before the latest one.
        ms = Math.max(latest + Math.min(jump, 0), ms + Math.max(jump, 0));
        latest = Math.max(latest, ms);
        return at(ms);
      });
      const read: string[] = [];
      let place = new LogPlace(fresh ? nowhere : beginning);
      const ends = [...cuts.map((cut) => cut % (log.length + 1)), log.length];
      for (const end of ends.sort((a, b) => a - b)) {
        const { position } = place;
        const more = position.time === '' ? log.slice(0, end) : from(log.slice(0, end), position);
        place = new LogPlace(position);
        for (const time of more) place.add(time);
        read.push(...more);
      }
      expect(read).toEqual(log);
    }),
    { numRuns: 500 },
  );
});
