import { expect, test } from 'vitest';
import {
  entryToProto,
  positionsFromProto,
  rangeFromProto,
} from '../../../../coordinator/api/convert-logs.ts';
import type { FieldViolation } from '../../../../shared/errors.ts';
import { LogEntry, LogStream } from '../../../../shared/gen/fairlead/v1/log.ts';
import { aLine, timeAt } from '../streams/lines.ts';

const web = { id: 'id', name: 'web-1' };

test('a line that is text is told as text, one that is not as bytes', () => {
  const text = entryToProto({ ...aLine(1), data: Buffer.from('grün'), stream: 'stderr' }, web);
  expect(text).toMatchObject({ text: 'grün', stream: LogStream.STDERR, container: 'web-1' });
  expect(text.raw).toHaveLength(0);
  const bytes = entryToProto({ ...aLine(1), data: Buffer.from([97, 255]) }, web);
  expect(bytes.text).toBe('');
  expect(LogEntry.toJSON(bytes)).toMatchObject({ raw: 'Yf8=' });
});

test('of a range everything that is wrong is told at once', () => {
  const violations: FieldViolation[] = [];
  const since = new Date(2);
  rangeFromProto({ follow: false, tail: 11, since, until: new Date(1) }, 10, violations);
  positionsFromProto([{ containerId: 'a', time: 'yesterday', lines: 0 }], violations);
  expect(violations.map(({ field }) => field)).toEqual(['tail', 'until', 'after[0].time']);
});

test.each([9e15, -1e14, NaN])('a time of %d ms is no time', (ms) => {
  const violations: FieldViolation[] = [];
  const time = new Date(ms);
  rangeFromProto({ follow: true, since: time, until: undefined }, 10, violations);
  rangeFromProto({ follow: true, since: undefined, until: time }, 10, violations);
  expect(violations.map(({ field }) => field)).toEqual(['since', 'until']);
});

test('a place that is not known is left out', () => {
  const known = { containerId: 'a', time: timeAt(1), lines: 3 };
  const positions = positionsFromProto([known, { containerId: 'b', time: '', lines: 0 }], []);
  expect([...positions]).toEqual([['a', { time: timeAt(1), lines: 3 }]]);
});
