import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { logParser, logRequest, type LogLine } from '../../../../../agent/node/docker/log-lines.ts';

const time = '2026-11-22T14:20:34.123456789Z';
const later = '2026-11-22T14:20:34.223456789Z';

function frame(stream: 1 | 2, text: string | Buffer): Buffer {
  const payload = Buffer.from(text);
  const header = Buffer.alloc(8);
  header.writeUInt8(stream, 0);
  header.writeUInt32BE(payload.length, 4);
  return Buffer.concat([header, payload]);
}

function parse(bytes: Buffer, hasTerminal: boolean, cuts: readonly number[] = []): LogLine[] {
  const parser = logParser({ hasTerminal });
  const places = [0, ...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length];
  places.sort((a, b) => a - b);
  const lines = places
    .slice(1)
    .flatMap((end, index) => parser.push(bytes.subarray(places[index], end)));
  return [...lines, ...parser.end()];
}

const shown = (lines: readonly LogLine[]) =>
  lines.map(({ data, continued, ...rest }) => ({ ...rest, continued, text: data.toString() }));

describe('the log of a container without a terminal', () => {
  const log = Buffer.concat([
    frame(1, `${time} out\n`),
    frame(2, `${time} err\n`),
    frame(1, `${later} ${'x'.repeat(16_384)}`),
    frame(1, `${later} rest\n`),
    frame(1, `${later} \n`),
    frame(1, `${later} no end`),
  ]);
  const lines = [
    { stream: 'stdout', time, continued: false, text: 'out' },
    { stream: 'stderr', time, continued: false, text: 'err' },
    { stream: 'stdout', time: later, continued: true, text: 'x'.repeat(16_384) },
    { stream: 'stdout', time: later, continued: false, text: 'rest' },
    { stream: 'stdout', time: later, continued: false, text: '' },
    { stream: 'stdout', time: later, continued: false, text: 'no end' },
  ];

  test('is taken apart, however the chunks fall', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(), { maxLength: 8 }), (cuts) => {
        expect(shown(parse(log, false, cuts))).toEqual(lines);
      }),
    );
  });

  test('keeps bytes as they are', () => {
    const bytes = Buffer.from([0, 255, 10, 13, 200]);
    const [line] = parse(frame(1, Buffer.concat([Buffer.from(`${time} `), bytes])), false);
    expect(line?.data).toEqual(bytes);
  });
});

describe('the log of a container with a terminal', () => {
  const long = 'y'.repeat(16_384);
  const log = Buffer.from(
    `${time} one\r\n${later} ${long}${later} rest\r\n${later} \r\n${later} end`,
  );
  const lines = [
    { stream: 'stdout', time, continued: false, text: 'one' },
    { stream: 'stdout', time: later, continued: true, text: long },
    { stream: 'stdout', time: later, continued: false, text: 'rest' },
    { stream: 'stdout', time: later, continued: false, text: '' },
    { stream: 'stdout', time: later, continued: false, text: 'end' },
  ];

  test('is taken apart, however the chunks fall', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(), { maxLength: 8 }), (cuts) => {
        expect(shown(parse(log, true, cuts))).toEqual(lines);
      }),
    );
  });
});

test('times of another zone are told in UTC', () => {
  const [line] = parse(frame(1, '2026-11-22T14:20:34.123456789+02:00 x\n'), false);
  expect(line?.time).toBe('2026-11-22T12:20:34.123456789Z');
});

test('an engine is asked for what is wanted', () => {
  const query = { follow: true, tail: undefined, since: '1.5', until: undefined };
  expect(logRequest('abc', query)).toMatchObject({
    path: '/containers/abc/logs?',
    isStream: true,
    options: { follow: true, timestamps: true, tail: 'all', since: '1.5' },
  });
});
