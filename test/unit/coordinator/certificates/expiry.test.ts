import { expect, test } from 'vitest';
import { expiryNotice, expiryWords } from '../../../../coordinator/certificates/expiry.ts';

const dayMs = 86_400_000;

/** The notices of a certificate over its last days, one for each day that is left. */
function noticesOf(lifeDays: number, left: readonly number[]) {
  const life = { notBeforeMs: 0, notAfterMs: lifeDays * dayMs };
  return left.map((days) => expiryNotice(life, (lifeDays - days) * dayMs));
}

test.each([
  [
    'a year',
    365,
    [40, 30, 29, 14, 8, 7, 2, 1, 0.5, 0, -3],
    [null, 30, 30, 14, 14, 7, 7, 1, 1, 0, 0],
  ],
  ['90 days, renewed at 30', 90, [31, 30, 15, 14, 7, 1, 0], [null, null, null, 14, 7, 1, 0]],
  ['six days', 6, [5, 2, 1, 0], [null, null, 1, 0]],
  ['a day', 1, [0.9, 0.1, 0], [null, null, 0]],
])('of a certificate that lives for %s', (_, life, left, notices) => {
  expect(noticesOf(life, left)).toEqual(notices);
});

test('words say how long', () => {
  const end = Date.parse('2031-05-01T12:00:00Z');
  expect(expiryWords(end, end - 6.5 * dayMs)).toBe('expires on 2031-05-01, in 6 days');
  expect(expiryWords(end, end - 1.5 * dayMs)).toBe('expires on 2031-05-01, in 1 day');
  expect(expiryWords(end, end - 0.5 * dayMs)).toBe('expires on 2031-05-01, in 12 hours');
  expect(expiryWords(end, end)).toBe('expired on 2031-05-01: clients refuse it');
});
