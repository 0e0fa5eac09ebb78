import { execFileSync } from 'node:child_process';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { hashPassword } from '../../../client/cli/password-hash.ts';

function byOpenssl(password: string, salt: string): string {
  return execFileSync('openssl', ['passwd', '-6', '-salt', salt, '-stdin'], {
    ...{ input: `${password}\n`, encoding: 'utf8' },
  }).trim();
}

test('hashes passwords of every length as openssl does', () => {
  for (let bytes = 1; bytes <= 200; bytes++) {
    const password = 'p'.repeat(bytes);
    expect(hashPassword(password, 'saltsalt')).toBe(byOpenssl(password, 'saltsalt'));
  }
});

test('hashes whatever somebody types as openssl does', () => {
  const digits = './0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
  const salts = fc.string({
    unit: fc.constantFrom(...Array.from(digits)),
    minLength: 1,
    maxLength: 16,
  });
  // openssl reads a line of at most 256 bytes.
  const passwords = fc
    .string({ unit: 'binary', minLength: 1, maxLength: 60 })
    .filter((text) => !/[\r\n\0]/.test(text));
  fc.assert(
    fc.property(passwords, salts, (password, salt) => {
      expect(hashPassword(password, salt)).toBe(byOpenssl(password, salt));
    }),
    { numRuns: 100 },
  );
});
