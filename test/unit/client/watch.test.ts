import { Status } from 'nice-grpc-common';
import { expect, test } from 'vitest';
import { FairleadError } from '../../../client/fairlead-error.ts';
import {
  maintainView,
  resume,
  wholeBatches,
  type Batch,
  type WatchMessage,
} from '../../../client/watch.ts';
import type { Clock } from '../../../shared/clock.ts';

interface Thing {
  readonly id: string;
  readonly value: number;
}

const never = new AbortController().signal;

/** Time passes at once; what was slept is kept. */
function hurriedClock(): Clock & { readonly slept: number[] } {
  const slept: number[] = [];
  return {
    slept,
    now: () => 0,
    monotonic: () => 0,
    sleep: async (ms) => {
      slept.push(ms);
      await Promise.resolve();
    },
    after: () => {
      throw new Error('nothing is timed here');
    },
  };
}

async function* streamOf<T>(values: readonly T[], end?: Error): AsyncGenerator<T> {
  for (const value of values) yield await Promise.resolve(value);
  if (end !== undefined) throw end;
}

async function collect<T>(values: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const value of values) all.push(value);
  return all;
}

const lost = new FairleadError(Status.UNAVAILABLE, 'lost');
const refusedToken = new FairleadError(Status.UNAUTHENTICATED, 'the token was revoked');

test('opens a lost stream again from the last cursor, waiting longer after each failure', async () => {
  const clock = hurriedClock();
  const streams = [
    streamOf([{ cursor: '1' }, { cursor: '2' }], lost),
    streamOf<{ cursor: string }>([], lost),
    streamOf<{ cursor: string }>([], lost),
    streamOf([{ cursor: '3' }]),
    streamOf<{ cursor: string }>([], refusedToken),
  ];
  const opened: string[] = [];
  const told: unknown[] = [];
  const received: string[] = [];
  const messages = resume(
    (cursor) => {
      opened.push(cursor);
      return streams[opened.length - 1]!;
    },
    '',
    { clock, random: () => 1, onLost: (error) => told.push(error) },
    never,
  );
  await expect(async () => {
    for await (const { cursor } of messages) received.push(cursor);
  }).rejects.toBe(refusedToken);
  expect(received).toEqual(['1', '2', '3']);
  expect(opened).toEqual(['', '2', '2', '2', '3']);
  expect(clock.slept).toEqual([100, 200, 400, 100]);
  expect(told.slice(0, 3)).toEqual([lost, lost, lost]);
});

test('ends quietly when it is told to', async () => {
  const stop = new AbortController();
  const messages = resume(
    () => streamOf([{ cursor: '1' }], new Error('cancelled')),
    '',
    { clock: hurriedClock(), random: () => 0, onLost: () => undefined },
    stop.signal,
  );
  await messages.next();
  stop.abort();
  expect(await messages.next()).toEqual({ done: true, value: undefined });
});

function part(items: readonly Thing[], more: boolean, cursor: string) {
  return { items, more, cursor, snapshot: true, removedIds: [] };
}

test('joins the parts of a snapshot and drops one that was cut off', async () => {
  const a = { id: 'a', value: 1 };
  const b = { id: 'b', value: 2 };
  const itemsOf = (message: WatchMessage & { items: readonly Thing[] }) => message.items;
  expect(
    await collect(wholeBatches(streamOf([part([a], true, '1'), part([b], false, '2')]), itemsOf)),
  ).toEqual([{ cursor: '2', snapshot: true, items: [a, b], removedIds: [] }]);
  expect(await collect(wholeBatches(streamOf([part([a], true, '1')]), itemsOf))).toEqual([]);
});

test('keeps a list up to date, and says what a new snapshot no longer has', async () => {
  const batches: Batch<Thing>[] = [
    {
      cursor: '1',
      snapshot: true,
      items: [
        { id: 'a', value: 1 },
        { id: 'b', value: 1 },
      ],
      removedIds: [],
    },
    {
      cursor: '2',
      snapshot: false,
      items: [
        { id: 'a', value: 2 },
        { id: 'c', value: 1 },
      ],
      removedIds: ['b'],
    },
    { cursor: '9', snapshot: true, items: [{ id: 'c', value: 1 }], removedIds: [] },
  ];
  const views = await collect(maintainView(streamOf(batches)));
  expect(views.map(({ items }) => [...items.values()])).toEqual([
    [
      { id: 'a', value: 1 },
      { id: 'b', value: 1 },
    ],
    [
      { id: 'a', value: 2 },
      { id: 'c', value: 1 },
    ],
    [{ id: 'c', value: 1 }],
  ]);
  expect(views.map(({ removedIds }) => removedIds)).toEqual([[], ['b'], ['a']]);
});
