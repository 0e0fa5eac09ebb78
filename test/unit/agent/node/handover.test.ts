import { expect, test } from 'vitest';
import { Handover } from '../../../../agent/node/handover.ts';

async function collect<T>(values: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const value of values) all.push(value);
  return all;
}

test('hands over one at a time, in order, and waits until it is taken', async () => {
  const handover = new Handover<number>();
  let given = 0;
  const giving = (async () => {
    for (const value of [1, 2, 3]) {
      await handover.give(value);
      given = value;
    }
    handover.close();
  })();
  await new Promise((resolve) => setImmediate(resolve));
  expect(given).toBe(0);
  const iterator = handover[Symbol.asyncIterator]();
  expect((await iterator.next()).value).toBe(1);
  expect(await collect({ [Symbol.asyncIterator]: () => iterator })).toEqual([2, 3]);
  await giving;
});

test('who waits to take is released by the end, and so is who waits to give', async () => {
  const empty = new Handover<number>();
  const taken = collect(empty);
  empty.close();
  expect(await taken).toEqual([]);

  const full = new Handover<number>();
  const given = full.give(1);
  full.close();
  await given;
  await full.give(2);
});
