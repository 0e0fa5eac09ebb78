import { expect, test } from 'vitest';
import { ClockSteps } from '../../../coordinator/clock-steps.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { collectLog } from '../../integration/coordinator/tiny-control.ts';

test('a clock that is set is in the log once, either way, and one that drifts is not', async () => {
  const clock = new FakeClock();
  const { log, lines } = collectLog();
  const stop = new AbortController();
  const running = new ClockSteps({ clock, log }).run(stop.signal);
  await clock.advance(60_000);
  clock.setWallClock(50_000);
  await clock.advance(60_000);
  expect(lines).toEqual([]);
  clock.setWallClock(3 * 86_400_000);
  await clock.advance(60_000);
  clock.setWallClock(-3 * 86_400_000);
  await clock.advance(60_000);
  expect(lines).toMatchObject([{ bySeconds: 259_250 }, { bySeconds: -259_200 }]);
  stop.abort();
  await running;
});
