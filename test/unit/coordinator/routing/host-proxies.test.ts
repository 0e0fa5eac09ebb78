import { expect, test } from 'vitest';
import { withHost, withoutHost } from '../../../../coordinator/routing/host-proxies.ts';
import type { ProxyId } from '../../../../shared/ids.ts';
import { aToken, serviceId } from '../../../support/builders.ts';

const dayMs = 24 * 3_600_000;
const nowMs = 1_000 * dayMs;
const host = (id: string, untilMs = nowMs + 30 * dayMs) => ({
  ...{ id: id as ProxyId, serviceId: serviceId('lb-id'), untilMs },
});

test('a proxy is added once, and anew when it has renewed', () => {
  const first = withHost(aToken(), host('edge-1'), nowMs)!;
  expect(first.hosts).toEqual([host('edge-1')]);
  expect(withHost(first, host('edge-1'), nowMs)).toBeNull();
  expect(withHost(first, host('edge-1', nowMs + 30 * dayMs + 60_000), nowMs)).toBeNull();
  const renewed = host('edge-1', nowMs + 45 * dayMs);
  expect(withHost(first, renewed, nowMs)?.hosts).toEqual([renewed]);
});

test('what is renewed often is kept before it would end', () => {
  const short = withHost(aToken(), host('edge-1', nowMs + 60_000), nowMs)!;
  const renewed = host('edge-1', nowMs + 90_000);
  expect(withHost(short, renewed, nowMs + 30_000)?.hosts).toEqual([renewed]);
});

test('a proxy of another service is another', () => {
  const other = { ...host('edge-1'), serviceId: serviceId('other') };
  expect(withHost(withHost(aToken(), host('edge-1'), nowMs)!, other, nowMs)?.hosts).toEqual([
    other,
  ]);
});

test('those whose certificate has expired go, and the oldest of too many', () => {
  const token = aToken({ hosts: [host('old', nowMs), host('edge-1')] });
  expect(withHost(token, host('edge-2'), nowMs)?.hosts).toEqual([host('edge-1'), host('edge-2')]);
  const many = Array.from({ length: 1_000 }, (_, n) => host(`edge-${n}`));
  const kept = withHost(aToken({ hosts: many }), host('one-more'), nowMs)?.hosts ?? [];
  expect(kept).toHaveLength(1_000);
  expect(kept.at(-1)).toEqual(host('one-more'));
});

test('who is gone for good is taken out', () => {
  const token = aToken({ hosts: [host('edge-1'), host('edge-2')] });
  expect(withoutHost(token, 'edge-1' as ProxyId)?.hosts).toEqual([host('edge-2')]);
  expect(withoutHost(token, 'edge-3' as ProxyId)).toBeNull();
  expect(withoutHost(aToken(), 'edge-1' as ProxyId)).toBeNull();
});
