import { randomBytes } from 'node:crypto';
import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { SealingKey } from '../../../../coordinator/certificates/sealing-key.ts';
import { TemporaryDirectory } from '../../../support/temporary-directory.ts';

const text = 'a private key';

function damaged(words: RegExp) {
  return expect.objectContaining({
    kind: 'precondition',
    reason: 'KEY_FILE_DAMAGED',
    message: expect.stringMatching(words) as unknown,
  }) as unknown;
}

test('what is sealed is opened by the same key, for the same record, unchanged', async () => {
  await using directory = new TemporaryDirectory();
  const key = SealingKey.open(directory.path, []);
  expect(statSync(directory.join('certificates.key')).mode & 0o777).toBe(0o600);

  const sealed = key.seal({ id: 'one', text });
  expect(sealed).not.toContain(text);
  expect(key.seal({ id: 'one', text })).not.toBe(sealed);
  const again = SealingKey.open(directory.path, [{ id: 'one', text: sealed }]);
  expect(again.unseal({ id: 'one', text: sealed })).toBe(text);

  expect(() => again.unseal({ id: 'two', text: sealed })).toThrow();
  const bytes = Buffer.from(sealed.slice(3), 'base64');
  for (const at of [0, 15, bytes.length - 1]) {
    const changed = Buffer.from(bytes);
    changed[at]! ^= 1;
    const tampered = `v1:${changed.toString('base64')}`;
    expect(() => again.unseal({ id: 'one', text: tampered })).toThrow();
  }
  expect(() => again.unseal({ id: 'one', text: 'v1:AAAA' })).toThrow(/was not sealed/);
});

test('a key file that is lost, damaged or another is refused, and never replaced', async () => {
  await using directory = new TemporaryDirectory();
  const path = directory.join('certificates.key');
  const sealed = { id: 'one', text: SealingKey.open(directory.path, []).seal({ id: 'one', text }) };
  const kept = readFileSync(path, 'utf8');

  rmSync(path);
  expect(() => SealingKey.open(directory.path, [sealed])).toThrow(damaged(/it is missing/));
  for (const [content, words] of [
    ['', /not a key of 32 bytes/],
    [kept.slice(0, 20), /not a key of 32 bytes/],
    ['x'.repeat(64), /not a key of 32 bytes/],
    [randomBytes(32).toString('hex'), /are encrypted with another/],
  ] as const) {
    writeFileSync(path, content);
    expect(() => SealingKey.open(directory.path, [sealed])).toThrow(damaged(words));
    expect(readFileSync(path, 'utf8')).toBe(content);
  }
  writeFileSync(path, kept);
  expect(SealingKey.open(directory.path, [sealed]).unseal(sealed)).toBe(text);
});
