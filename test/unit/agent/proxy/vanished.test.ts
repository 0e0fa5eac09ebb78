import { expect, test } from 'vitest';
import { hasVanished } from '../../../../agent/proxy/vanished.ts';

const down = { health: 'down', inFlight: 1 } as const;

test.each([
  ['nobody hears of its node, and HAProxy does not reach it', { silent: true }, down, true],
  ['nothing is in flight there', { silent: true }, { ...down, inFlight: 0 }, false],
  ['HAProxy reaches it', { silent: true }, { ...down, health: 'up' as const }, false],
  ['HAProxy has not looked yet', { silent: true }, { ...down, health: undefined }, false],
  ['its node is heard of', { silent: false }, down, false],
  ['a coordinator of an earlier version does not tell', {}, down, false],
  ['it is no server of the list', undefined, down, false],
])('%s', (_case, target, counters, expected) => {
  expect(hasVanished(target, counters)).toBe(expected);
});
