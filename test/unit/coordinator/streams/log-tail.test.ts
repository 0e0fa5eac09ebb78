import { expect, test } from 'vitest';
import { LogTail } from '../../../../coordinator/streams/log-tail.ts';
import { containerId } from '../../../support/builders.ts';
import { aLine } from './lines.ts';

const a = containerId('a');
const b = containerId('b');

test('keeps the newest lines of all, and knows from where each log is told', () => {
  const tail = new LogTail(2);
  tail.add(a, aLine(1));
  tail.add(a, aLine(2));
  tail.add(b, aLine(3));
  tail.add(a, aLine(4));
  expect(tail.lines.map(({ id, line }) => [id, line.time])).toEqual([
    [b, aLine(3).time],
    [a, aLine(4).time],
  ]);
  expect(tail.startOf(a)).toEqual({ time: aLine(1).time, lines: 2 });
  expect(tail.startOf(b)).toEqual({ time: aLine(3).time, lines: 0 });
  expect(tail.startOf(containerId('c'))).toBeNull();
});

test('keeps none if none is wanted, and many without growing', () => {
  const none = new LogTail(0);
  none.add(a, aLine(1));
  expect(none.lines).toEqual([]);
  expect(none.startOf(a)).toEqual({ time: aLine(1).time, lines: 1 });

  const some = new LogTail(10);
  for (let i = 0; i < 5_000; i++) some.add(a, aLine(i));
  expect(some.lines.map(({ line }) => line.time)).toEqual(
    Array.from({ length: 10 }, (_, index) => aLine(4_990 + index).time),
  );
});

test('of lines that are huge it keeps 4 MiB', () => {
  const tail = new LogTail(10_000);
  const data = Buffer.alloc(16_384);
  for (let i = 0; i < 1_000; i++) tail.add(a, { ...aLine(i), data });
  expect(tail.lines.length).toBe(Math.floor((4 * 1024 * 1024) / (16_384 + 64)));
  expect(tail.lines.at(-1)?.line.time).toBe(aLine(999).time);
});
