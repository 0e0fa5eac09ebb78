import { expect, test } from 'vitest';
import { Leases } from '../../../../coordinator/api/leases.ts';
import { sessionLoop } from '../../../../coordinator/api/session-loop.ts';
import { ChildController } from '../../../../shared/abort.ts';
import { Limiter } from '../../../../shared/limiter.ts';
import { Wakeup } from '../../../../shared/wakeup.ts';
import { FakeClock } from '../../../support/fake-clock.ts';

interface Message {
  message?: unknown;
}

const never = new AbortController().signal;

/** Sessions of peers that say nothing, and each has one thing to be told. */
function sessions(clock: FakeClock, turns: Limiter) {
  const leases = new Leases({ connections: { of: () => undefined }, clock });
  return (words: string) => {
    const controller = new ChildController(never);
    const news = [words];
    const loop = sessionLoop<Message, string>(
      {
        requests: { next: () => new Promise<never>(() => undefined) },
        ...{ wakeup: new Wakeup(), leases, leaseMs: 3_000, peer: words, heartbeatMs: 0, clock },
        turns,
        next: () => news.pop() ?? null,
        heartbeat: () => 'heartbeat',
        receive: () => undefined,
      },
      controller,
    );
    return { loop, controller };
  };
}

/** What a promise has come to once all that is under way is done. */
async function outcomeOf(promise: Promise<IteratorResult<string>>): Promise<string> {
  const pending = new Promise<string>((resolve) => setImmediate(resolve, 'pending'));
  const outcome = promise.then((result) => (result.done === true ? 'over' : result.value));
  return await Promise.race([outcome, pending]);
}

test('sessions say their first thing in turn: when the one before has been taken', async () => {
  const clock = new FakeClock();
  const open = sessions(clock, new Limiter(1));
  const [first, second] = [open('one'), open('two')];
  expect(await outcomeOf(first.loop.next())).toBe('one');
  const said = second.loop.next();
  expect(await outcomeOf(said)).toBe('pending');
  const rest = first.loop.next();
  expect(await outcomeOf(said)).toBe('two');
  for (const { controller } of [first, second]) controller.abort();
  expect(await outcomeOf(rest)).toBe('over');
});

test('between two of them everything else is heard', async () => {
  const open = sessions(new FakeClock(), new Limiter(1));
  const crowd = ['one', 'two', 'three'].map(open);
  const order: string[] = [];
  const ends = crowd.map(async ({ loop }) => {
    const said = await loop.next();
    order.push(said.done === true ? 'over' : said.value);
    // It has been taken, and the session waits for what is next.
    void loop.next();
  });
  while (order.length < crowd.length) {
    await new Promise((resolve) => setImmediate(resolve));
    order.push('all else');
  }
  await Promise.all(ends);
  expect(order.join()).toContain('one,all else,two,all else,three');
  for (const { controller } of crowd) controller.abort();
});

test('who takes long to hear it holds up the others for a moment only', async () => {
  const clock = new FakeClock();
  const open = sessions(clock, new Limiter(1));
  const [slow, next] = [open('one'), open('two')];
  expect(await outcomeOf(slow.loop.next())).toBe('one');
  const said = next.loop.next();
  await clock.advance(49);
  expect(await outcomeOf(said)).toBe('pending');
  await clock.advance(1);
  expect(await outcomeOf(said)).toBe('two');
});

test('a session that is cut before its turn is over', async () => {
  const clock = new FakeClock();
  const open = sessions(clock, new Limiter(1));
  const [first, second, third] = [open('one'), open('two'), open('three')];
  expect(await outcomeOf(first.loop.next())).toBe('one');
  const said = second.loop.next();
  const waiting = third.loop.next();
  second.controller.abort();
  expect(await outcomeOf(said)).toBe('over');
  await clock.advance(50);
  expect(await outcomeOf(waiting)).toBe('three');
});
