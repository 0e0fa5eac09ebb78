import { expect, test } from 'vitest';
import { capabilitiesOf, setsClientTimeout } from '../../../../agent/proxy/capabilities.ts';

test.each([
  ['', undefined],
  ['1.8.27', undefined],
  ['2.2.9-2+deb11u6', undefined],
  ['2.4.24-0ubuntu0.22.04.1', { dynamicServers: false, repeatsEnded: true }],
  ['2.5.0', { dynamicServers: false, repeatsEnded: true }],
  ['2.6.12-1+deb12u4', { dynamicServers: true, repeatsEnded: true }],
  ['2.10.1', { dynamicServers: true, repeatsEnded: false }],
  ['3.0.11-1+deb13u3', { dynamicServers: true, repeatsEnded: false }],
  ['3.3-dev2', { dynamicServers: true, repeatsEnded: false }],
])('knows what HAProxy %s can do', (version, expected) => {
  expect(capabilitiesOf(version)).toEqual(expected);
});

test.each([
  ['', false],
  ['2.6.12-1+deb12u4', false],
  ['2.8.0', false],
  ['2.10.1', true],
  ['3.0.11-1+deb13u3', true],
])('knows whether HAProxy %s sets timeouts of clients by request', (version, expected) => {
  expect(setsClientTimeout(version)).toBe(expected);
});
