import { expect, test } from 'vitest';
import { handout, type ServedHosts } from '../../../../coordinator/certificates/handout.ts';
import type { Certificate } from '../../../../coordinator/tls-model.ts';
import type { CertificateId } from '../../../../shared/ids.ts';
import { aCertificate, serviceId } from '../../../support/builders.ts';

const lb = serviceId('lb-id');
const nowMs = 1_000;

function certificate(name: string, hosts: string[], changes: Partial<Certificate> = {}) {
  const facts = { ...aCertificate().facts, hosts };
  return aCertificate({ id: `${name}-id` as CertificateId, name, facts, ...changes });
}

function names(hosts: ServedHosts, ...certificates: Certificate[]): string[] {
  return handout({ id: lb, hosts }, certificates, nowMs).map(({ name }) => name);
}

test.each([
  ['shop.example.com', 'shop.example.com', true],
  ['shop.example.com', 'www.example.com', false],
  ['shop.example.com', '*.example.com', true],
  ['a.shop.example.com', '*.example.com', true],
  ['example.com', '*.example.com', false],
  ['notexample.com', '*.example.com', false],
  ['*.example.com', 'shop.example.com', true],
  ['*.example.com', 'a.shop.example.com', false],
  ['*.example.com', 'example.com', false],
  ['*.example.com', '*.example.com', true],
  ['*.shop.example.com', '*.example.com', true],
  ['*.example.com', '*.shop.example.com', false],
  ['192.0.2.7', '192.0.2.7', true],
])('a certificate for %s where routes are for %s: %s', (host, pattern, expected) => {
  expect(names([pattern], certificate('one', [host]))).toEqual(expected ? ['one'] : []);
  expect(names(['other.test', pattern], certificate('one', ['x.test', host]))).toEqual(
    expected ? ['one'] : [],
  );
});

test('where any host is answered, all are handed out; where none is, none', () => {
  const all = [certificate('a', ['a.test']), certificate('b', ['b.test'])];
  expect(names('any', ...all)).toEqual(['a', 'b']);
  expect(names([], ...all)).toEqual([]);
});

test('one that is limited to load balancers is handed to those alone, whatever its hosts', () => {
  const own = certificate('own', ['a.test'], { serviceIds: [lb, serviceId('x')] });
  const others = certificate('others', ['b.test'], { serviceIds: [serviceId('x')] });
  expect(names('any', own, others)).toEqual(['own']);
  expect(names([], own, others)).toEqual(['own']);
});

test('the oldest comes first, and one that has expired goes where others are for all its hosts', () => {
  const of = (name: string, hosts: string[], createdAtMs: number, notAfterMs = 9_000) => {
    const facts = { ...aCertificate().facts, hosts, notAfterMs };
    return certificate(name, hosts, { createdAtMs, facts });
  };
  expect(
    names('any', of('b', ['b.test'], 2), of('c', ['c.test'], 1), of('a', ['a.test'], 2)),
  ).toEqual(['c', 'a', 'b']);
  const old = of('old', ['a.test', 'b.test'], 0, nowMs);
  expect(names('any', old, of('a', ['a.test'], 1))).toEqual(['old', 'a']);
  expect(names('any', old, of('a', ['a.test'], 1), of('b', ['b.test'], 1))).toEqual(['a', 'b']);
});
