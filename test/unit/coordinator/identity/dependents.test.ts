import { expect, test } from 'vitest';
import type { AuthorityRecord } from '../../../../coordinator/identity/authority-record.ts';
import { dependentsOf } from '../../../../coordinator/identity/dependents.ts';
import type { ShownCertificate } from '../../../../coordinator/model.ts';
import { ProxyRecord } from '../../../../coordinator/routing/proxy-record.ts';
import type { ProxyId } from '../../../../shared/ids.ts';
import { aNode, aToken, serviceId, tokenId } from '../../../support/builders.ts';

type Trusted = AuthorityRecord['authorities'][number] & { readonly pin: string };

const authority = (pin: string, sinceMs: number): Trusted => ({
  ...{ pin, sinceMs, certificate: '', vouched: '', replacedAtMs: null, trustedUntilMs: null },
});
const trusted = [authority('new', 200), authority('old', 100)] as const;
const table = <T extends { readonly id: string }>(rows: readonly T[]) => {
  const map = new Map(rows.map((row) => [row.id, row]));
  return {
    get: (id: string) => map.get(id),
    values: () => map.values(),
    size: map.size,
    writes: 0,
  };
};
function proxy(name: string, certificate: ShownCertificate | null): ProxyRecord {
  const identity = { id: name as ProxyId, name, serviceId: serviceId('lb') };
  return Object.assign(new ProxyRecord(identity, 'host', 0), { certificate });
}

test('who depends on an authority is who shows its certificate, unless that is over', () => {
  const nodes = [
    aNode({ name: 'renewed', certificate: { authority: 'new', untilMs: 900 } }),
    aNode({ name: 'late', certificate: { authority: 'old', untilMs: 900 } }),
    aNode({ name: 'over', certificate: { authority: 'old', untilMs: 300 } }),
    aNode({ name: 'gone', certificate: { authority: 'older', untilMs: 900 } }),
    // Whatever it has, it may be of the oldest.
    aNode({ name: 'unseen' }),
  ];
  const tokens = [90, 100, 199, 200, 250].map((createdAtMs) =>
    aToken({ id: tokenId(String(createdAtMs)), createdAtMs }),
  );
  const proxies = [
    proxy('lb-1', { authority: 'new', untilMs: 900 }),
    proxy('lb-2', { authority: 'old', untilMs: 900 }),
    proxy('lb-3', { authority: 'old', untilMs: 300 }),
    proxy('lb-4', null),
  ];
  const dependents = dependentsOf({
    store: { nodes: table(nodes), tokens: table(tokens) },
    routing: { proxies: () => proxies },
    authority: { trusted },
    clock: { now: () => 300 },
  });
  expect(Object.fromEntries(dependents)).toEqual({
    new: { nodes: ['renewed'], proxies: ['lb-1'], tokens: 2 },
    old: { nodes: ['late', 'unseen'], proxies: ['lb-2'], tokens: 2 },
  });
});
