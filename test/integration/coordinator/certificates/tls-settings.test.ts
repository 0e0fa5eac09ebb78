import { expect, test } from 'vitest';
import { tlsFromProto } from '../../../../coordinator/api/convert-tls.ts';
import type { FieldViolation } from '../../../../shared/errors.ts';
import {
  ClientCertificates,
  TlsPolicy,
  TlsSettings,
} from '../../../../shared/gen/fairlead/v1/tls.ts';
import { aPort } from '../../../support/builders.ts';
import { SiteAuthority } from '../../../support/site-certificates.ts';
import { testAuthority } from '../../../support/test-authority.ts';

const ports = [aPort({ containerPort: 443 }), aPort({ containerPort: 53, protocol: 'udp' })];

function read(tls: Partial<TlsSettings>, apiRole: 'proxy' | 'none' = 'proxy') {
  const violations: FieldViolation[] = [];
  const settings = tlsFromProto(
    TlsSettings.fromPartial(tls),
    { field: 'spec.tls', ports, apiRole },
    violations,
  );
  return { settings, violations: violations.map(({ field, rule }) => `${field} ${rule}`) };
}

test('what is not set is intermediate, on 443, and asks nobody for certificates', () => {
  expect(read({})).toEqual({
    settings: { ports: [], policy: 'intermediate', clientCertificates: 'none', clientCaPem: '' },
    violations: [],
  });
});

test('all of it is kept', () => {
  const clientCaPem = `words\n${testAuthority.bundle}`;
  const given = { ports: [443], policy: TlsPolicy.MODERN, clientCaPem };
  expect(read({ ...given, clientCertificates: ClientCertificates.REQUIRED })).toEqual({
    settings: {
      ...{ ports: [443], policy: 'modern', clientCertificates: 'required' },
      clientCaPem: testAuthority.bundle,
    },
    violations: [],
  });
});

test.each([
  [{ ports: [443, 443] }, /^spec.tls.ports\[1\] has the same port/],
  [{ ports: [80] }, /^spec.tls.ports\[0\] must be a TCP port of the spec, and is 80/],
  [{ ports: [53] }, /^spec.tls.ports\[0\] must be a TCP port of the spec/],
  [{ clientCaPem: testAuthority.bundle }, /^spec.tls.client_ca_pem must only be set where/],
  [{ clientCertificates: ClientCertificates.OPTIONAL }, /^spec.tls.client_ca_pem is required/],
  [
    {
      clientCertificates: ClientCertificates.OPTIONAL,
      clientCaPem: testAuthority.serverIdentity.certificateChain,
    },
    /^spec.tls.client_ca_pem must be certificates of authorities: number 1 is none/,
  ],
])('%j is refused with its field', (tls, rule) => {
  expect(read(tls).violations).toEqual([expect.stringMatching(rule)]);
});

test('authorities are taken with all that is above them, in any order, and else refused: HAProxy would let nobody in', async () => {
  const { root, intermediate } = await SiteAuthority.make();
  const asked = { clientCertificates: ClientCertificates.REQUIRED };
  for (const clientCaPem of [root.pem, root.pem + intermediate.pem, intermediate.pem + root.pem]) {
    expect(read({ ...asked, clientCaPem }).violations).toEqual([]);
  }
  for (const [clientCaPem, number] of [
    [intermediate.pem, 1],
    [testAuthority.bundle + intermediate.pem, 2],
  ] as const) {
    expect(read({ ...asked, clientCaPem }).violations).toEqual([
      `spec.tls.client_ca_pem must have the authorities above each of them too, up to the root, or no client is let in: number ${number} is issued by "CN=Test root"`,
    ]);
  }
});

test('only load balancers have it', () => {
  expect(read({}, 'none').violations).toEqual(['spec.tls must only be set with the role PROXY']);
});
