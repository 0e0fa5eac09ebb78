import { describe, expect, test } from 'vitest';
import {
  limitFromProto,
  optionsFromProto,
  roleFromProto,
  tokenWishFromProto,
} from '../../../../coordinator/api/convert-requests.ts';
import type { FieldViolation } from '../../../../shared/errors.ts';
import { CreateTokenRequest } from '../../../../shared/gen/fairlead/v1/control_service.ts';
import { Role } from '../../../../shared/gen/fairlead/v1/token.ts';

function collect<T>(convert: (into: FieldViolation[]) => T): [T, string[]] {
  const into: FieldViolation[] = [];
  const result = convert(into);
  return [result, into.map(({ field, rule }) => `${field} ${rule}`)];
}

test('options may be left out, and are bounded', () => {
  expect(collect((into) => optionsFromProto(undefined, into))).toEqual([
    { version: 0, requestId: '', dryRun: false },
    [],
  ]);
  const options = { version: 3, requestId: 'x'.repeat(64), dryRun: true };
  expect(collect((into) => optionsFromProto(options, into))).toEqual([options, []]);
  const [, rules] = collect((into) => {
    optionsFromProto({ version: -1, requestId: 'x'.repeat(65), dryRun: false }, into);
    optionsFromProto({ version: 0, requestId: 'a\nb', dryRun: false }, into);
  });
  expect(rules).toEqual([
    'options.version must be a whole number from 0 to 4294967295, and is -1',
    'options.request_id must have at most 64 bytes',
    'options.request_id must have no control character, and is "a\\nb"',
  ]);
});

test.each([
  [0, 100, []],
  [1, 1, []],
  [1000, 1000, []],
  [1001, 1001, ['limit must be a whole number from 0 to 1000, and is 1001']],
])('a limit of %d', (limit, expected, rules) => {
  expect(collect((into) => limitFromProto(limit, into))).toEqual([expected, rules]);
});

describe('a token', () => {
  const convert = (request: Parameters<typeof CreateTokenRequest.fromPartial>[0]) =>
    collect((into) => tokenWishFromProto(CreateTokenRequest.fromPartial(request), into));

  test('is taken as asked', () => {
    expect(
      convert({ name: 'ci', role: Role.OPERATOR, services: ['web'], lifetimeSeconds: 60 }),
    ).toEqual([
      {
        ...{ name: 'ci', role: 'operator', services: ['web'], clusters: [], tags: [] },
        ...{ cluster: '', maxUses: 0, lifetimeSeconds: 60 },
      },
      [],
    ]);
    const join = { name: 'join', role: Role.NODE, tags: ['web'], cluster: 'edge', maxUses: 4 };
    expect(convert(join)).toEqual([
      expect.objectContaining({ tags: ['web'], cluster: 'edge', maxUses: 4 }),
      [],
    ]);
  });

  test.each([
    [{}, ['name is required', 'role is required']],
    [{ name: 'a\tb', role: Role.ADMIN }, ['name must have no control character, and is "a\\tb"']],
    [{ name: 'x'.repeat(65), role: Role.ADMIN }, ['name must have at most 64 bytes']],
    [{ name: 'lb', role: Role.PROXY }, ['services is required for the role PROXY']],
    [
      { name: 'x', role: Role.VIEWER, tags: ['a'], cluster: 'edge', maxUses: 1 },
      ['tags', 'cluster', 'max_uses'].map((field) => `${field} must only be set for the role NODE`),
    ],
    [
      { name: 'x', role: Role.NODE, clusters: ['edge'] },
      ['clusters must not be set for the roles NODE and PROXY'],
    ],
    [
      { name: 'x', role: Role.NODE, tags: ['os=linux'], maxUses: 10_001 },
      [
        expect.stringMatching(/^tags\[0\] must not begin with "cluster=", .* and is "os=linux"$/),
        'max_uses must be a whole number from 0 to 10000, and is 10001',
      ],
    ],
  ])('%j is refused', (request, rules) => {
    expect(convert(request)[1]).toEqual(rules);
  });
});

test('roles are those of the model; others are not set', () => {
  const roles = [0, 10, 20, 30, 40, 50, 99].map((role) => roleFromProto(role as Role));
  expect(roles).toEqual([undefined, 'viewer', 'operator', 'admin', 'node', 'proxy', undefined]);
});
