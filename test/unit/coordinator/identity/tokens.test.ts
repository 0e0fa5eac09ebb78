import { describe, expect, test } from 'vitest';
import {
  formatToken,
  hashSecret,
  parseAuthorization,
  secretMatches,
  TokenIssuer,
} from '../../../../coordinator/identity/tokens.ts';
import { systemRandom } from '../../../../shared/random.ts';
import { tokenId } from '../../../support/builders.ts';

const secret = systemRandom.secret();
const id = '0123456789abcdef';
const pin = 'p'.repeat(43);
const authority = { pin, bundle: 'certificates' };

describe('an authorization', () => {
  const token = formatToken(tokenId(id), secret, pin);

  test('is a token, whatever its pin', () => {
    const other = formatToken(tokenId(id), secret, pin.replaceAll('p', 'q'));
    expect(parseAuthorization(`Bearer ${token}`)).toEqual({ id, secret });
    expect(parseAuthorization(`bearer ${other}`)).toEqual({ id, secret });
  });

  test.each([
    ['nothing', ''],
    ['no scheme', token],
    ['another scheme', `Basic ${token}`],
    ['no token', 'Bearer '],
    ['two spaces', `Bearer  ${token}`],
    ['another prefix', `Bearer ${token.replace('flt', 'xxx')}`],
    ['no pin', `Bearer flt_${id}_${secret}`],
    ['a short pin', `Bearer ${token.slice(0, -1)}`],
    ['a long pin', `Bearer ${token}A`],
    ['a short secret', `Bearer flt_${id}_${secret.slice(1)}_${pin}`],
    ['a long secret', `Bearer flt_${id}_${secret}A_${pin}`],
    ['a line break', `Bearer ${token}\n`],
    ['an id in upper case', `Bearer ${token.replace('abcdef', 'ABCDEF')}`],
    ['a short id', `Bearer flt_0123_${secret}_${pin}`],
  ])('is nothing of ours with %s', (_, value) => {
    expect(parseAuthorization(value)).toBeNull();
  });
});

describe('a secret', () => {
  test('matches its hash and no other', () => {
    const hash = hashSecret(secret);
    expect(hash).toMatch(/^[0-9a-f]{64}$/);
    expect(secretMatches(secret, hash)).toBe(true);
    expect(secretMatches(systemRandom.secret(), hash)).toBe(false);
    expect(secretMatches('', hash)).toBe(false);
  });

  test('of a container follows from its token’s id and the key alone', () => {
    const issuer = new TokenIssuer(Buffer.alloc(32, 1), authority);
    const again = new TokenIssuer(Buffer.alloc(32, 1), authority);
    const variables = issuer.containerVariables(tokenId(id));
    expect(again.containerVariables(tokenId(id))).toEqual(variables);
    expect(variables['FAIRLEAD_CA']).toBe(authority.bundle);
    const bearer = parseAuthorization(variables['FAIRLEAD_AUTH']!);
    expect(bearer).toMatchObject({ id });
    expect(secretMatches(bearer!.secret, issuer.containerTokenHash(tokenId(id)))).toBe(true);
  });

  test('of a container is another one for another token, and with another key', () => {
    const issuer = new TokenIssuer(Buffer.alloc(32, 1), authority);
    const other = new TokenIssuer(Buffer.alloc(32, 2), authority);
    const secrets = [
      issuer.containerVariables(tokenId(id)),
      issuer.containerVariables(tokenId('fedcba9876543210')),
      other.containerVariables(tokenId(id)),
    ].map(({ FAIRLEAD_AUTH }) => parseAuthorization(FAIRLEAD_AUTH!)?.secret);
    expect(new Set(secrets).size).toBe(3);
  });
});
