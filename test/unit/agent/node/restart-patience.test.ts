import { describe, expect, test } from 'vitest';
import type { RestartPolicy } from '../../../../agent/node/model.ts';
import { RestartPatience } from '../../../../agent/node/restart-patience.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { anEngineContainer, startedAt } from './builders.ts';

const running = anEngineContainer();
const ended = anEngineContainer({ state: 'ended', exitCode: 143 });
const restarting = anEngineContainer({ state: 'restarting', exitCode: 1 });

function patience(): { clock: FakeClock; patience: RestartPatience } {
  const clock = new FakeClock();
  return { clock, patience: new RestartPatience(clock) };
}

describe('whether the engine may yet restart a process', () => {
  test('it may while it says so, but not for ever', () => {
    const { clock, patience: left } = patience();
    left.follow(running);
    expect(left.leftMs()).toBe(0);
    left.follow(restarting);
    clock.jump(60_000);
    left.follow(restarting);
    expect(left.leftMs()).toBe(30_000);
    clock.jump(30_000);
    expect(left.leftMs()).toBe(0);
  });

  test('each process that it restarted counts anew', () => {
    const { clock, patience: left } = patience();
    left.follow(restarting);
    clock.jump(80_000);
    left.follow({ ...restarting, startedAt: new Date(startedAt.getTime() + 80_000) });
    expect(left.leftMs()).toBe(90_000);
  });

  test.each<[string, number[], RestartPolicy, number]>([
    ['it may be shutting down if it told the process to end', [15], 'always', 20_000],
    ['it is not if it killed the process', [9], 'always', 0],
    ['it may be if it killed the process only after a grace', [15, 9], 'always', 20_000],
    ['it is not if the process ended by itself', [], 'always', 0],
    ['it restarts nothing that is not to be restarted', [15], 'never', 0],
    ['nor what is to be restarted after a failure only', [15], 'on-failure', 0],
  ])('%s', (_, signals, restartPolicy, leftMs) => {
    const { patience: left } = patience();
    left.follow({ ...running, restartPolicy });
    for (const signal of signals) left.signalled(signal);
    left.follow({ ...ended, restartPolicy });
    expect(left.leftMs()).toBe(leftMs);
  });

  test('it will not once it was away and is back', () => {
    const { patience: left } = patience();
    left.follow(running);
    left.signalled(15);
    left.follow(ended);
    left.engineReturned();
    expect(left.leftMs()).toBe(0);
  });

  test('it waits for another start alone once it is known that somebody stopped it by hand', () => {
    const { patience: left } = patience();
    left.follow(running);
    left.signalled(15);
    expect(left.isInDoubt).toBe(false);
    left.follow(ended);
    expect(left.isInDoubt).toBe(true);
    left.engineGoesOn();
    expect(left.isInDoubt).toBe(false);
    expect(left.leftMs()).toBe(3_000);
  });
});
