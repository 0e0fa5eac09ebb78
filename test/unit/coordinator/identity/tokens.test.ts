import { describe, expect, test } from 'vitest';
import {
  formatNodeCredential,
  formatToken,
  hashSecret,
  parseAuthorization,
  secretMatches,
  TokenIssuer,
} from '../../../../coordinator/identity/tokens.ts';
import { systemRandom } from '../../../../shared/random.ts';
import { nodeId, tokenId } from '../../../support/builders.ts';

const secret = systemRandom.secret();
const id = '0123456789abcdef';

describe('an authorization', () => {
  test('is a token or the credential of a node', () => {
    expect(parseAuthorization(`Bearer ${formatToken(tokenId(id), secret)}`)).toEqual({
      kind: 'token',
      id,
      secret,
    });
    expect(parseAuthorization(`bearer ${formatNodeCredential(nodeId(id), secret)}`)).toEqual({
      kind: 'node',
      id,
      secret,
    });
  });

  const token = formatToken(tokenId(id), secret);
  test.each([
    ['nothing', ''],
    ['no scheme', token],
    ['another scheme', `Basic ${token}`],
    ['no token', 'Bearer '],
    ['two spaces', `Bearer  ${token}`],
    ['another prefix', `Bearer ${token.replace('flt', 'xxx')}`],
    ['a short secret', `Bearer ${token.slice(0, -1)}`],
    ['a long secret', `Bearer ${token}A`],
    ['a line break', `Bearer ${token}\n`],
    ['an id in upper case', `Bearer ${token.replace('abcdef', 'ABCDEF')}`],
    ['a short id', `Bearer flt_0123_${secret}`],
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
    const issuer = new TokenIssuer(Buffer.alloc(32, 1));
    const again = new TokenIssuer(Buffer.alloc(32, 1));
    const authorization = issuer.containerAuthorization(tokenId(id));
    expect(again.containerAuthorization(tokenId(id))).toBe(authorization);
    const bearer = parseAuthorization(authorization);
    expect(bearer).toMatchObject({ kind: 'token', id });
    expect(secretMatches(bearer!.secret, issuer.containerTokenHash(tokenId(id)))).toBe(true);
  });

  test('of a container is another one for another token, and with another key', () => {
    const issuer = new TokenIssuer(Buffer.alloc(32, 1));
    const other = new TokenIssuer(Buffer.alloc(32, 2));
    const secrets = [
      issuer.containerAuthorization(tokenId(id)),
      issuer.containerAuthorization(tokenId('fedcba9876543210')),
      other.containerAuthorization(tokenId(id)),
    ].map((authorization) => parseAuthorization(authorization)?.secret);
    expect(new Set(secrets).size).toBe(3);
  });
});
