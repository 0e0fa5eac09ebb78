import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { LogNews } from '../../../../coordinator/streams/log-line.ts';
import { LogMerge, type Merged } from '../../../../coordinator/streams/log-merge.ts';
import { containerId } from '../../../support/builders.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { aLine, timeAt } from './lines.ts';

const { signal } = new AbortController();

/** A log that is there already, in batches of these sizes. */
async function* logOf(times: readonly number[], batch = 3): AsyncGenerator<LogNews> {
  for (let at = 0; at < times.length; at += batch) {
    await Promise.resolve();
    yield { kind: 'lines', lines: times.slice(at, at + batch).map(aLine) };
  }
  yield { kind: 'ended' };
}

const timesOf = (merged: readonly Merged[]) =>
  merged.flatMap((each) => (each.kind === 'line' ? [each.line.time] : []));

async function all(merge: LogMerge): Promise<Merged[]> {
  const merged: Merged[] = [];
  for await (const batch of merge.read(signal)) merged.push(...batch);
  return merged;
}

test('logs that are there come in the order of time, each line once, whatever their batches', async () => {
  const logs = fc.array(fc.array(fc.nat({ max: 500 }), { maxLength: 30 }), { maxLength: 6 });
  await fc.assert(
    fc.asyncProperty(logs, fc.integer({ min: 1, max: 7 }), async (times, batch) => {
      const merge = new LogMerge({ clock: new FakeClock() });
      for (const [index, each] of times.entries()) {
        const sorted = [...each].sort((a, b) => a - b);
        merge.add(containerId(`c${index}`), logOf(sorted, batch), { holds: true });
      }
      merge.close();
      const merged = await all(merge);
      expect(timesOf(merged)).toEqual(
        times
          .flat()
          .sort((a, b) => a - b)
          .map(timeAt),
      );
      const ended = merged.filter((each) => each.kind === 'standing');
      expect(ended.map(({ id }) => id).sort()).toEqual(times.map((_, i) => containerId(`c${i}`)));
    }),
    { numRuns: 200 },
  );
});

/** A log that tells what the test pushes, and says how often it was asked. */
class PushedLog implements AsyncIterator<LogNews> {
  asked = 0;
  readonly #news: LogNews[] = [];
  #wanted: ((result: IteratorResult<LogNews>) => void) | undefined;

  push(news: LogNews): void {
    this.#news.push(news);
    this.#give();
  }

  next(): Promise<IteratorResult<LogNews>> {
    this.asked++;
    return new Promise((resolve) => {
      this.#wanted = resolve;
      this.#give();
    });
  }

  #give(): void {
    const [value] = this.#news;
    if (value === undefined || this.#wanted === undefined) return;
    this.#news.shift();
    const wanted = this.#wanted;
    this.#wanted = undefined;
    wanted({ done: false, value });
  }
}

const lines = (...times: number[]): LogNews => ({ kind: 'lines', lines: times.map(aLine) });
const caughtUp: LogNews = { kind: 'caught-up', position: { time: timeAt(0), lines: 0 } };

test('one that has not told what it had holds up the others; one that waits does not', async () => {
  const merge = new LogMerge({ clock: new FakeClock() });
  const [fast, slow] = [new PushedLog(), new PushedLog()];
  merge.add(containerId('fast'), fast, { holds: true });
  merge.add(containerId('slow'), slow, { holds: true });
  const read = merge.read(signal);
  let isTold = false;
  const first = read.next().then((result) => {
    isTold = true;
    return result;
  });
  fast.push(lines(10, 30));
  await new Promise((resolve) => setImmediate(resolve));
  expect(isTold).toBe(false);
  expect(merge.isHolding).toBe(true);
  slow.push(lines(20));
  expect(timesOf((await first).value as Merged[])).toEqual([timeAt(10), timeAt(20)]);
  slow.push({ kind: 'waiting', why: 'its node is away' });
  const second = (await read.next()).value as Merged[];
  expect(second).toMatchObject([
    { kind: 'standing', standing: { kind: 'waiting' } },
    { kind: 'line' },
  ]);
});

test('what comes together is put in order, and a log is not asked for more than is told', async () => {
  const clock = new FakeClock();
  const merge = new LogMerge({ clock });
  const [one, two] = [new PushedLog(), new PushedLog()];
  merge.add(containerId('one'), one, { holds: true });
  merge.add(containerId('two'), two, { holds: true });
  const told: Merged[][] = [];
  const reading = (async () => {
    for await (const merged of merge.read(signal)) told.push(merged);
  })();
  one.push(caughtUp);
  two.push(caughtUp);
  await clock.advance(100);
  expect(merge.isHolding).toBe(false);
  told.length = 0;
  one.push(lines(7));
  await clock.advance(5);
  two.push(lines(5));
  await clock.advance(5);
  expect(told).toEqual([]);
  await clock.advance(50);
  expect(told.map(timesOf)).toEqual([[timeAt(5), timeAt(7)]]);
  expect(one.asked).toBe(3);
  one.push({ kind: 'ended' });
  merge.close();
  void reading;
});

test('a log that fails for a reason nobody thought of fails the reading', async () => {
  const merge = new LogMerge({ clock: new FakeClock() });
  const broken: AsyncIterator<LogNews> = { next: () => Promise.reject(new Error('boom')) };
  merge.add(containerId('one'), broken, { holds: true });
  await expect(merge.read(signal).next()).rejects.toThrow('boom');
});

test('without any log it ends when no more are added', async () => {
  const merge = new LogMerge({ clock: new FakeClock() });
  const read = all(merge);
  merge.close();
  expect(await read).toEqual([]);
});

test('who reads no more ends the logs, also one that has told more than was read', async () => {
  let isEnded = false;
  async function* endless(): AsyncGenerator<LogNews> {
    try {
      for (let ms = 0; ; ms++) {
        await Promise.resolve();
        yield { kind: 'lines', lines: Array.from({ length: 500 }, () => ({ ...aLine(ms), data })) };
      }
    } finally {
      isEnded = true;
    }
  }
  const data = Buffer.alloc(1_000);
  const clock = new FakeClock();
  const merge = new LogMerge({ clock });
  merge.add(containerId('one'), endless(), { holds: true });
  const read = merge.read(signal);
  await read.next();
  await read.return(undefined);
  await clock.settle();
  expect(isEnded).toBe(true);
});
