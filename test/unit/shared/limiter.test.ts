import { setImmediate } from 'node:timers/promises';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Limiter } from '../../../shared/limiter.ts';

const never = new AbortController().signal;

describe('a limiter', () => {
  test('lets so many in, and the next in line when one leaves', async () => {
    const limiter = new Limiter(2);
    const order: number[] = [];
    const enter = async (number: number) => {
      const place = await limiter.acquire(never);
      order.push(number);
      return place;
    };
    const [first, , third, fourth] = [enter(1), enter(2), enter(3), enter(4)];
    await setImmediate();
    expect(order).toEqual([1, 2]);
    (await first)[Symbol.dispose]();
    await third;
    expect(order).toEqual([1, 2, 3]);
    (await third)[Symbol.dispose]();
    await fourth;
    expect(order).toEqual([1, 2, 3, 4]);
  });

  test('lets go of those who give up waiting', async () => {
    const limiter = new Limiter(1);
    const place = await limiter.acquire(never);
    const gaveUp = new AbortController();
    const waiting = limiter.acquire(gaveUp.signal);
    const next = limiter.acquire(never);
    gaveUp.abort(new Error('not wanted any more'));
    await expect(waiting).rejects.toThrow('not wanted any more');
    place[Symbol.dispose]();
    place[Symbol.dispose]();
    (await next)[Symbol.dispose]();
    await expect(limiter.acquire(gaveUp.signal)).rejects.toThrow('not wanted any more');
  });

  test('never has more at work than it has places, and loses none', async () => {
    const worker = fc.record({ turns: fc.nat(3), givesUpAfter: fc.option(fc.nat(3)) });
    await fc.assert(
      fc.asyncProperty(fc.array(worker, { maxLength: 20 }), async (workers) => {
        const limiter = new Limiter(3);
        let working = 0;
        const work = workers.map(async ({ turns, givesUpAfter }) => {
          const patience = new AbortController();
          const impatience = (async () => {
            if (givesUpAfter === null) return;
            for (let turn = 0; turn < givesUpAfter; turn++) await setImmediate();
            patience.abort();
          })();
          try {
            using _place = await limiter.acquire(patience.signal);
            expect(++working).toBeLessThanOrEqual(3);
            for (let turn = 0; turn < turns; turn++) await setImmediate();
            working--;
          } catch (error) {
            expect(error).toBe(patience.signal.reason);
          }
          await impatience;
        });
        await Promise.all(work);
        await Promise.all([1, 2, 3].map(() => limiter.acquire(never)));
      }),
    );
  });
});
