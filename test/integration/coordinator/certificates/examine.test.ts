import { createPrivateKey, generateKeyPairSync } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { examineCertificate } from '../../../../coordinator/certificates/examine.ts';
import type { FieldViolation } from '../../../../shared/errors.ts';
import { SiteAuthority } from '../../../support/site-certificates.ts';

const authority = await SiteAuthority.make();
const good = await authority.site(['www.example.com', '*.shop.example.com', '192.0.2.7']);
const other = await authority.site('other.example.com');

/** What is wrong, by field. */
function problems(chainPem: string, privateKeyPem: string): Record<string, string[]> {
  const violations: FieldViolation[] = [];
  const usable = examineCertificate({ chainPem, privateKeyPem }, Date.now(), violations);
  expect(usable === undefined).toBe(violations.length > 0);
  const fields: Record<string, string[]> = {};
  for (const { field, rule } of violations) (fields[field] ??= []).push(rule);
  return fields;
}

function usable(chainPem: string, privateKeyPem: string) {
  const result = examineCertificate({ chainPem, privateKeyPem }, Date.now(), []);
  if (result === undefined) throw new Error('it was refused');
  return result;
}

describe('what can be served', () => {
  test('is read: hosts, issuer, ends, key', () => {
    const { facts, chainPem, privateKeyPem } = usable(good.chain, good.key);
    expect(facts).toMatchObject({
      hosts: ['www.example.com', '*.shop.example.com', '192.0.2.7'],
      subject: 'CN=www.example.com',
      issuer: 'CN=Test issuer',
      serialNumber: good.serialNumber,
      keyType: 'EC P-256',
      chainLength: 2,
    });
    expect(facts.fingerprint).toMatch(/^[0-9a-f]{64}$/);
    expect(chainPem).toBe(good.chain);
    expect(privateKeyPem).toBe(good.key);
  });

  test('may be one file with the key, before or after, with words between the blocks', () => {
    const text = `Bag Attributes\n${good.key}\r\nsubject=x\n\n${good.chain.replaceAll('\n', '\r\n')}`;
    expect(usable(text, '')).toMatchObject({ chainPem: good.chain, privateKeyPem: good.key });
    expect(usable(good.chain + good.key, '').privateKeyPem).toBe(good.key);
  });

  test.each(['RSA 2048', 'EC P-384'] as const)('%s keys', async (key) => {
    const site = await authority.site('www.example.com', { key });
    expect(usable(site.chain, site.key).facts.keyType).toBe(key);
  });

  test('an older form of keys', () => {
    const sec1 = createPrivateKey(good.key).export({ type: 'sec1', format: 'pem' }).toString();
    expect(usable(good.chain, sec1).facts.keyType).toBe('EC P-256');
  });

  test('with the root too, even one that has expired', async () => {
    expect(usable(good.chain + authority.root.pem, good.key).facts.chainLength).toBe(3);
    const root = await authority.odd({ ca: true, fromDays: -10, toDays: -1 });
    const leaf = await authority.odd({ hosts: ['a.example.com'] }, root);
    expect(problems(leaf.pem + root.pem, leaf.key)).toEqual({});
    // Clients have that root, and look at neither its dates nor its signature.
    const { notAfterMs } = usable(leaf.pem + root.pem, leaf.key).facts;
    expect(notAfterMs).toBe(usable(leaf.pem, leaf.key).facts.notAfterMs);
    const old = await authority.odd({ ca: true, hash: 'SHA-1' });
    const below = await authority.odd({ hosts: ['a.example.com'] }, old);
    expect(problems(below.pem + old.pem, below.key)).toEqual({});
  });
});

describe('what is odd is said', () => {
  test('a chain that does not lead to where everybody knows', () => {
    expect(usable(good.pem, good.key).facts.warnings).toEqual([
      'its chain may be incomplete: clients that do not know "CN=Test issuer" refuse it',
    ]);
  });

  test('a certificate that is signed by itself', async () => {
    const own = await authority.odd({ hosts: ['own.example.com'] });
    expect(usable(own.pem, own.key).facts.warnings).toEqual([
      'it is signed by itself: clients refuse it unless they know it',
    ]);
  });
});

describe('what cannot be served is refused, with the field', () => {
  test.each([
    ['nothing', '', '', { chain_pem: ['is required'], private_key_pem: [/is required, unless/] }],
    ['text', 'hello', good.key, { chain_pem: [/has no "BEGIN CERTIFICATE"/] }],
    ['the key alone', good.key, '', { chain_pem: [/has no "BEGIN CERTIFICATE"/] }],
    ['no key', good.chain, '', { private_key_pem: [/is required/] }],
    ['text for a key', good.chain, 'hello', { private_key_pem: ['must be a private key in PEM'] }],
    ['two keys', good.chain + good.key, other.key, { private_key_pem: [/there are 2/] }],
    [
      'the key of another',
      good.chain,
      other.key,
      { private_key_pem: [/must be the key of the first certificate/] },
    ],
    [
      'the issuer first',
      authority.intermediate.pem + good.pem,
      good.key,
      {
        chain_pem: [
          /begins with that of an authority|must name hosts/,
          /begins with that of an authority/,
          /the key belongs to certificate 2/,
          /certificate 2 did not issue certificate 1/,
        ],
      },
    ],
    [
      'a chain of somebody else',
      good.pem + other.pem,
      good.key,
      { chain_pem: [/certificate 2 did not issue certificate 1/] },
    ],
    [
      'a certificate that is cut',
      good.chain.split('\n').toSpliced(3, 1).join('\n'),
      good.key,
      { chain_pem: [/number 1 cannot be read/] },
    ],
    [
      'a key that is cut',
      good.chain,
      good.key.replace(/.{20}\n-----END/, '\n-----END'),
      { private_key_pem: [/it cannot be read/] },
    ],
    ['too many', good.pem.repeat(11), good.key, { chain_pem: [/at most 10 certificates/] }],
  ])('%s', (_, chain, key, expected) => {
    const matching = Object.entries(expected).map(([field, rules]) => [
      field,
      rules.map((rule) => expect.stringMatching(rule) as unknown),
    ]);
    expect(problems(chain, key)).toEqual(Object.fromEntries(matching));
  });

  test('a key with a passphrase', () => {
    const cipher = { cipher: 'aes-256-cbc', passphrase: 'secret' };
    const key = createPrivateKey(good.key);
    const forms = [
      key.export({ type: 'pkcs8', format: 'pem', ...cipher }).toString(),
      key.export({ type: 'sec1', format: 'pem', ...cipher }).toString(),
    ];
    for (const form of forms) {
      expect(problems(good.chain, form)).toEqual({
        private_key_pem: [expect.stringMatching(/must not be encrypted: take its passphrase off/)],
      });
    }
  });

  test.each([
    ['expired', { fromDays: -20, toDays: -1 }, /the server certificate expired on/],
    ['not valid yet', { fromDays: 1 }, /the server certificate is not before/],
    ['for clients', { usage: 'clients' }, /must be for servers/],
    ['signed with SHA-1', { hash: 'SHA-1' }, /must not be signed with SHA-1/],
  ] as const)('%s', async (_, options, rule) => {
    const site = await authority.site('www.example.com', options);
    expect(problems(site.chain, site.key)).toEqual({ chain_pem: [expect.stringMatching(rule)] });
  });

  test('an issuer that has expired', async () => {
    const issuer = await authority.odd({ ca: true, fromDays: -9, toDays: -2 }, authority.root);
    const leaf = await authority.odd({ hosts: ['a.example.com'] }, issuer);
    expect(problems(leaf.chain, leaf.key)).toEqual({
      chain_pem: [expect.stringMatching(/certificate 2 of the chain expired/)],
    });
  });

  test('one that was signed by itself, as "openssl req -x509" does, and is no root of anything', async () => {
    for (const [odd, rule] of [
      [{ fromDays: -9, toDays: -2 }, /the server certificate expired/],
      [{ hash: 'SHA-1' }, /must not be signed with SHA-1/],
    ] as const) {
      const own = await authority.odd({ hosts: ['own.example.com'], ca: true, ...odd });
      expect(problems(own.pem, own.key)).toEqual({ chain_pem: [expect.stringMatching(rule)] });
    }
  });

  test('a chain that was cut short, which looks like a shorter one', () => {
    const rule = 'must be whole: a block begins that does not end';
    for (const end of [good.pem.length + 30, good.chain.length - 30, 40]) {
      const cut = good.chain.slice(0, end);
      expect(problems(cut, good.key), `${end}`).toMatchObject({ chain_pem: [rule] });
    }
  });

  test('keys that are weak, or that clients do not know', async () => {
    const weak = await authority.site('www.example.com', { key: 'RSA 1024' });
    expect(problems(weak.chain, weak.key)).toEqual({
      private_key_pem: ['must have 2048 to 8192 bits, and has 1024'],
    });
    const odd = generateKeyPairSync('ed25519').privateKey;
    expect(
      problems(good.chain, odd.export({ type: 'pkcs8', format: 'pem' }).toString()),
    ).toMatchObject({ private_key_pem: [expect.anything(), expect.stringMatching(/is ed25519/)] });
  });

  test('names that are none', async () => {
    const nameless = await authority.odd({}, authority.intermediate);
    expect(problems(nameless.chain, nameless.key)).toEqual({
      chain_pem: [expect.stringMatching(/must name hosts in its subject alternative names/)],
    });
    for (const host of ['a b', 'x.*.example.com', 'a"b', 'a\nb', '-', '*']) {
      const odd = await authority.site(host);
      expect(problems(odd.chain, odd.key), host).toEqual({
        chain_pem: [expect.stringMatching(/must be for host names and addresses/)],
      });
    }
  });

  test('more than HAProxy takes in one command', async () => {
    const hosts = Array.from({ length: 600 }, (_, i) => `host-${i}.of.a.long.domain.example.com`);
    const site = await authority.site(hosts);
    expect(problems(site.chain, site.key)).toEqual({
      chain_pem: [expect.stringMatching(/at most 15000 bytes with the key/)],
    });
  });
});
