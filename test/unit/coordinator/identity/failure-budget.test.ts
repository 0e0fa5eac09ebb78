import { describe, expect, test } from 'vitest';
import { FailureBudget } from '../../../../coordinator/identity/failure-budget.ts';

describe('a budget of failures', () => {
  test('lets an address fail twenty times at once, then has it wait a second for each more', () => {
    const budget = new FailureBudget();
    for (let i = 0; i < 20; i++) expect(budget.fail('192.0.2.1', 0)).toBe(0);
    expect(budget.fail('192.0.2.1', 0)).toBe(1_000);
    expect(budget.fail('192.0.2.1', 400)).toBe(600);
    expect(budget.fail('192.0.2.1', 1_000)).toBe(0);
    expect(budget.fail('192.0.2.1', 1_000)).toBe(1_000);
    expect(budget.fail('192.0.2.1', 3_500)).toBe(0);
    expect(budget.fail('192.0.2.1', 3_500)).toBe(0);
    expect(budget.fail('192.0.2.1', 3_500)).toBe(500);
  });

  test('does not grow by what is refused: whoever stops for a moment is heard again', () => {
    const budget = new FailureBudget();
    for (let ms = 0; ms < 10_000; ms++) budget.fail('192.0.2.1', ms);
    expect(budget.fail('192.0.2.1', 11_000)).toBe(0);
    for (let i = 0; i < 20; i++) expect(budget.fail('192.0.2.1', 60_000)).toBe(0);
  });

  test('is one for each address, and one for each network of IPv6', () => {
    const budget = new FailureBudget();
    for (let i = 0; i < 20; i++) budget.fail(`2001:db8:0:1::${i}`, 0);
    expect(budget.fail('2001:db8:0:1:ffff::1', 0)).toBe(1_000);
    expect(budget.fail('2001:db8:0:2::1', 0)).toBe(0);
    expect(budget.fail('192.0.2.2', 0)).toBe(0);
    for (let i = 0; i < 20; i++) budget.fail('::ffff:192.0.2.3', 0);
    expect(budget.fail('192.0.2.3', 0)).toBe(1_000);
    expect(budget.fail('::1', 0)).toBe(0);
  });

  test('forgets who failed longest ago, and stays small', () => {
    const budget = new FailureBudget();
    for (let i = 0; i < 21; i++) budget.fail('192.0.2.1', 0);
    for (let i = 0; i < 100_000; i++) budget.fail(`10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`, 0);
    expect(budget.size).toBe(4_096);
    expect(budget.fail('192.0.2.1', 0)).toBe(0);
  });
});
