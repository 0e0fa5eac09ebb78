import { expect, test } from 'vitest';
import { pemBlocks } from '../../../../coordinator/certificates/pem.ts';

const block = (label: string, body: string) =>
  `-----BEGIN ${label}-----\n${body}\n-----END ${label}-----\n`;

test('blocks are found in their order, whatever stands between them', () => {
  const long = 'a'.repeat(70);
  const text = `Bag Attributes\n${block('CERTIFICATE', `AB\r\n CD`)}subject=x\n${block('EC PRIVATE KEY', long)}`;
  expect(pemBlocks(text)).toEqual([
    { label: 'CERTIFICATE', text: block('CERTIFICATE', 'ABCD'), encrypted: false },
    {
      label: 'EC PRIVATE KEY',
      text: block('EC PRIVATE KEY', `${'a'.repeat(64)}\n${'a'.repeat(6)}`),
      encrypted: false,
    },
  ]);
});

test('an encrypted key is known by its label or its headers', () => {
  const old = block('RSA PRIVATE KEY', 'Proc-Type: 4,ENCRYPTED\nDEK-Info: x\n\nAB');
  expect(pemBlocks(old).map(({ encrypted }) => encrypted)).toEqual([true]);
  const encrypted = block('ENCRYPTED PRIVATE KEY', 'AB');
  expect(pemBlocks(encrypted).map((each) => each.encrypted)).toEqual([true]);
});

test('what has no end, or another one, is no block', () => {
  expect(pemBlocks('-----BEGIN CERTIFICATE-----\nAB')).toEqual([]);
  expect(pemBlocks('-----BEGIN CERTIFICATE-----\nAB\n-----END KEY-----')).toEqual([]);
  const unended = '-----BEGIN CERTIFICATE-----\n'.repeat(3);
  expect(pemBlocks(`${unended}${block('CERTIFICATE', 'AB')}`)).toHaveLength(1);
});
