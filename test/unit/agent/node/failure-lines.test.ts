import { expect, test } from 'vitest';
import type { LogLine } from '../../../../agent/node/docker/log-lines.ts';
import { failureLines } from '../../../../agent/node/failure-lines.ts';

const time = '2030-01-01T00:00:00.000000000Z';
const line = (text: string, rest: Partial<LogLine> = {}): LogLine => ({
  ...{ stream: 'stdout', time, data: Buffer.from(text), continued: false },
  ...rest,
});
const shown = (texts: readonly string[], environment: Record<string, string> = {}) =>
  failureLines(
    texts.map((text) => line(text)),
    environment,
  );

test('are few and short', () => {
  const texts = Array.from({ length: 12 }, (_, index) => `line ${index + 1}`);
  expect(shown(texts)).toEqual(texts.slice(-8));
  expect(shown(['é'.repeat(300)])).toEqual([`${'é'.repeat(240)}…`]);
});

test('have no values of the environment, but the names of the variables', () => {
  const environment = {
    PASSWORD: 'hunter22',
    LONGER: 'hunter22-and-more',
    DATABASE_URL: 'postgres://app:s3cret-pw@db/app',
    KEY: '-----BEGIN KEY-----\nabcdefgh1234\n-----END KEY-----',
    PORT: '80',
  };
  const texts = [
    'no hunter22 here, nor hunter22-and-more',
    'cannot reach postgres://app:s3cret-pw@db/app',
    'wrong password s3cret-pw on port 80',
    'abcdefgh1234',
  ];
  expect(shown(texts, environment)).toEqual([
    'no [PASSWORD] here, nor [LONGER]',
    'cannot reach [DATABASE_URL]',
    'wrong password [DATABASE_URL] on port 80',
    '[KEY]',
  ]);
});

test('a value that lies where a line is cut, or where an engine broke it, is not there either', () => {
  const secret = 'planted-in-an-environment';
  const long = `${'x'.repeat(230)}${secret}`;
  const parts = [line('ab planted-in-', { continued: true }), line('an-environment cd')];
  const told = failureLines([line(long), ...parts], { SECRET: secret });
  expect(told).toEqual([`${'x'.repeat(230)}[SECRET]`, 'ab [SECRET] cd']);
});

test('do nothing to a terminal', () => {
  expect(shown(['\u001b[31mred\u001b[0m\u0007 alert\r'])).toEqual([' red   alert']);
});
