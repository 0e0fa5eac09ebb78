import { expect, test } from 'vitest';
import type { FrontendTls } from '../../../../../agent/proxy/backend-list.ts';
import {
  clientCertificateRules,
  tlsParameters,
} from '../../../../../agent/proxy/certificates/tls-bind.ts';
import { frontendTlsOf } from '../../../../../agent/proxy/certificates/tls-convert.ts';

const paths = { certificateList: '/c/list.txt', clientCa: () => '/c/clients.crt' };
const base = { name: 'https', port: 443, defaultBackend: 'web', routes: [] };
const tls: FrontendTls = {
  policy: 'intermediate',
  clientCertificates: 'none',
  clientCaPem: '',
};

function parameters(changes: Partial<FrontendTls>, protocol: 'http' | 'tcp' = 'http'): string {
  return tlsParameters({ ...base, protocol, tls: { ...tls, ...changes } }, paths);
}

test('a port without TLS has none of it', () => {
  expect(tlsParameters({ ...base, protocol: 'http' }, paths)).toBe('');
});

test('where nobody is asked for a certificate only an upstream that is trusted tells of one', () => {
  for (const rules of [clientCertificateRules(undefined), clientCertificateRules(tls)]) {
    expect(rules).toEqual([
      "http-request del-header '^x[-_]ssl[-_]client[-_](verify|dn)$' -m reg unless { so_name handoff }",
    ]);
  }
  expect(clientCertificateRules(tls, 'trusted')[0]).toMatch(
    / unless \{ so_name handoff \} \|\| trusted$/,
  );
});

test('what it agrees to follows from the policy, and HTTP/2 from what it speaks', () => {
  expect(parameters({})).toMatch(
    /^ ssl crt-list \/c\/list.txt alpn h2,http\/1.1 ssl-min-ver TLSv1.2 /,
  );
  expect(parameters({})).not.toMatch(/verify|CBC|AES128-SHA\b/);
  expect(parameters({ policy: 'modern' })).toMatch(/ ssl-min-ver TLSv1.3 ciphersuites /);
  expect(parameters({ policy: 'modern' })).not.toContain(' ciphers ');
  expect(parameters({}, 'tcp')).not.toContain('alpn');
});

test('clients are verified by the authorities that were given', () => {
  const asked = { clientCertificates: 'optional' as const, clientCaPem: 'pem' };
  expect(parameters(asked)).toMatch(/ ca-file \/c\/clients.crt verify optional$/);
  expect(parameters({ ...asked, clientCertificates: 'required' })).toMatch(/ verify required$/);
  expect(clientCertificateRules({ ...tls, ...asked })).toHaveLength(3);
});

test('authorities that cannot be read leave the port out; what is not known is the strictest', () => {
  const message = { policy: 0, clientCertificates: 10, clientCaPem: '' } as const;
  expect(frontendTlsOf(message)).toEqual(tls);
  expect(frontendTlsOf({ ...message, clientCertificates: 30 })).toMatch(/cannot be read/);
  expect(frontendTlsOf({ ...message, clientCertificates: 99 as 30 })).toMatch(/cannot be read/);
});
