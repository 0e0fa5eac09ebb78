import { expect, test } from 'vitest';
import { redialing } from '../../../../agent/node/session.ts';
import { countBy } from '../../../../shared/collections.ts';
import { keepRunning } from '../../../../shared/retry.ts';
import { FakeClock } from '../../../support/fake-clock.ts';

test('C3: agents are back within 8 s of their coordinator, and do not come all at once', async () => {
  const clock = new FakeClock();
  const stop = new AbortController();
  const agents = 500;
  const awayMs = 60_000;
  const dialed: number[] = [];
  const back: number[] = [];
  // Chance that is the same in every run, and spread as evenly.
  let draws = 0;
  const random = () => (++draws * 0.618_033_988_749_895) % 1;
  const waits: number[] = [];
  const agent = async () => {
    await keepRunning(
      async (signal) => {
        dialed.push(clock.monotonic());
        if (clock.monotonic() < awayMs) throw new Error('refused');
        back.push(clock.monotonic() - awayMs);
        await clock.sleep(Infinity, signal);
      },
      redialing,
      { clock, random, onFailure: (_, waitMs) => waits.push(waitMs) },
      stop.signal,
    );
  };
  const running = Array.from({ length: agents }, agent);
  await clock.advance(awayMs + 8_000);
  expect(Math.max(...waits)).toBeLessThanOrEqual(8_000);
  expect(back).toHaveLength(agents);
  expect(Math.max(...back)).toBeLessThanOrEqual(8_000);
  // The most within a tenth of a second; all of them in 5 s are 10 on the average.
  const crowds = countBy(back, (ms) => Math.floor(ms / 100));
  expect(Math.max(...crowds.values())).toBeLessThanOrEqual(agents / 10);
  // While it is away it is not worn down by them either.
  const lastMinute = dialed.filter((ms) => ms > awayMs - 30_000 && ms < awayMs);
  expect(lastMinute.length).toBeLessThanOrEqual(agents * 13);
  stop.abort();
  await Promise.all(running);
});
