import type { LogLine } from '../../../../coordinator/streams/log-line.ts';

/** A time so many milliseconds after a day in November. */
export function timeAt(ms: number): string {
  return new Date(1_700_000_000_000 + ms).toISOString().replace('Z', '000000Z');
}

/** A line that was written so many milliseconds after that day; it says so. */
export function aLine(ms: number): LogLine {
  return { stream: 'stdout', time: timeAt(ms), data: Buffer.from(String(ms)), continued: false };
}
