import { expect, test } from 'vitest';
import {
  negotiateApiVersion,
  newestApiVersion,
} from '../../../../../agent/node/docker/api-version.ts';

test.each([
  ['20.10.24', '1.41', '1.12', '1.41'],
  ['25.0.0', '1.44', '1.24', '1.44'],
  ['29.0.0', '1.52', '1.44', newestApiVersion],
  ['an engine that does not say its oldest', '1.43', '', '1.43'],
])('speaks with %s of API %s (at least %s) in %s', (engineVersion, apiVersion, min, agreed) => {
  expect(negotiateApiVersion({ engineVersion, apiVersion, minApiVersion: min })).toEqual({
    kind: 'agreed',
    apiVersion: agreed,
  });
});

test.each([
  ['19.03.15', '1.40', '1.12', 'Docker Engine 19.03.15 is too old (API 1.40): upgrade it to 20.10'],
  ['1.9', '1.9', '', 'is too old (API 1.9)'],
  ['odd', '', '', 'Docker Engine odd is too old (API unknown)'],
  ['40.0', '1.60', '1.50', 'Docker Engine 40.0 no longer speaks API 1.47'],
])('refuses %s of API %s (at least %s)', (engineVersion, apiVersion, minApiVersion, reason) => {
  const negotiation = negotiateApiVersion({ engineVersion, apiVersion, minApiVersion });
  expect(negotiation).toEqual({
    kind: 'refused',
    reason: expect.stringContaining(reason) as string,
  });
});
