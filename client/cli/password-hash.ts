import { createHash } from 'node:crypto';
import { systemRandom } from '../../shared/random.ts';

const rounds = 5_000;
const alphabet = './0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';

/**
 * Hash of a password in the form of crypt(3) with SHA-512, as `openssl passwd -6` makes it. The password must not be
 * empty. See https://www.akkadia.org/drepper/SHA-crypt.txt for the steps, of which each is Node's SHA-512.
 *
 * Node has no such hash, and no library that was found makes it right: one is wrong for passwords of 64
 * bytes and of multiples of it (unixcrypt 3.0.4), the others for letters that are not ASCII. HAProxy checks nothing
 * better: bcrypt, where its C library knows that, is slower by far, at each request and in the thread that serves.
 */
export function hashPassword(password: string, salt = newSalt()): string {
  const word = Buffer.from(password);
  const grain = Buffer.from(salt);
  const inner = sha512(word, grain, word);
  const bits = word.length.toString(2).split('').reverse();
  const first = sha512(
    ...[word, grain, repeated(inner, word.length)],
    ...bits.map((bit) => (bit === '1' ? inner : word)),
  );
  const words = repeated(sha512(...Array<Buffer>(word.length).fill(word)), word.length);
  const grains = repeated(
    sha512(...Array<Buffer>(16 + first.readUInt8(0)).fill(grain)),
    grain.length,
  );
  let digest = first;
  for (let round = 0; round < rounds; round++) {
    const isOdd = round % 2 === 1;
    digest = sha512(
      isOdd ? words : digest,
      ...(round % 3 === 0 ? [] : [grains]),
      ...(round % 7 === 0 ? [] : [words]),
      isOdd ? digest : words,
    );
  }
  return `$6$${salt}$${encoded(digest)}`;
}

/** 16 characters, of 96 bits. */
function newSalt(): string {
  return systemRandom.secret().slice(0, 16).replaceAll('-', '.').replaceAll('_', '/');
}

function sha512(...parts: readonly Buffer[]): Buffer {
  const hash = createHash('sha512');
  for (const part of parts) hash.update(part);
  return hash.digest();
}

/** As many bytes, of a digest again and again. */
function repeated(digest: Buffer, length: number): Buffer {
  return Buffer.alloc(length, digest);
}

/** In the order of the bytes and the digits that crypt(3) has. */
function encoded(digest: Buffer): string {
  let text = '';
  let [high, middle, low] = [0, 21, 42];
  for (let group = 0; group < 21; group++) {
    const value =
      (digest.readUInt8(high) << 16) | (digest.readUInt8(middle) << 8) | digest.readUInt8(low);
    text += digits(value, 4);
    [high, middle, low] = [middle + 1, low + 1, high + 1];
  }
  return text + digits(digest.readUInt8(63), 2);
}

function digits(value: number, count: number): string {
  return Array.from({ length: count }, (_, at) => alphabet.charAt((value >> (6 * at)) & 63)).join(
    '',
  );
}
