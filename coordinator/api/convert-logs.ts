import { isUtf8 } from 'node:buffer';
import type { FieldViolation } from '../../shared/errors.ts';
import type {
  LogEntry,
  LogPosition as ProtoLogPosition,
} from '../../shared/gen/fairlead/v1/log.ts';
import { LogStream } from '../../shared/gen/fairlead/v1/log.ts';
import type { LogPosition } from '../../shared/log-place.ts';
import type { LogLine, LogRange } from '../streams/log-line.ts';
import { validateRange, validateTime } from './validate.ts';

const nothing = Buffer.alloc(0);
/** More than a service can have. */
const maxPositions = 1_024;
const timeForm = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$/;

/** What requests for logs have in common. */
interface RangeRequest {
  readonly follow: boolean;
  readonly tail?: number | undefined;
  readonly since?: Date | undefined;
  readonly until?: Date | undefined;
}

export function rangeFromProto(
  { follow, tail, since, until }: RangeRequest,
  maxTail: number,
  into: FieldViolation[],
): LogRange {
  validateRange(tail ?? 0, { min: 0, max: maxTail, field: 'tail' }, into);
  validateTime(since, 'since', into);
  validateTime(until, 'until', into);
  if (since !== undefined && until !== undefined && since >= until) {
    into.push({ field: 'until', rule: 'must be later than since' });
  }
  return {
    follow,
    tail: tail ?? null,
    sinceMs: since?.getTime() ?? null,
    untilMs: until?.getTime() ?? null,
  };
}

/** Where to go on, by the id of the container. */
export function positionsFromProto(
  positions: readonly ProtoLogPosition[],
  into: FieldViolation[],
): ReadonlyMap<string, LogPosition> {
  if (positions.length > maxPositions) {
    into.push({ field: 'after', rule: `must have at most ${maxPositions} positions` });
  }
  for (const [index, { time }] of positions.entries()) {
    if (time === '' || (timeForm.test(time) && !Number.isNaN(Date.parse(time)))) continue;
    const rule = 'must be a time that a log entry or a log source had';
    into.push({ field: `after[${index}].time`, rule });
  }
  const known = positions.filter(({ time }) => time !== '');
  return new Map(known.map(({ containerId, time, lines }) => [containerId, { time, lines }]));
}

/** A line as the API shows it. */
export function entryToProto(
  { stream, time, data, continued }: LogLine,
  container: { readonly id: string; readonly name: string },
): LogEntry {
  const isText = isUtf8(data);
  return {
    containerId: container.id,
    container: container.name,
    stream: stream === 'stderr' ? LogStream.STDERR : LogStream.STDOUT,
    time,
    text: isText ? Buffer.from(data.buffer, data.byteOffset, data.length).toString() : '',
    raw: isText ? nothing : Buffer.from(data),
    continued,
  };
}
