import { ServerError, Status } from 'nice-grpc-common';
import { describe, expect, test } from 'vitest';
import { decodeRpcDetails } from '../../../../coordinator/api/rpc-details.ts';
import { toStatus } from '../../../../coordinator/api/status.ts';
import { DomainError, type ErrorKind } from '../../../../shared/errors.ts';

test.each<[ErrorKind, Status]>([
  ['invalid', Status.INVALID_ARGUMENT],
  ['not-found', Status.NOT_FOUND],
  ['already-exists', Status.ALREADY_EXISTS],
  ['conflict', Status.ABORTED],
  ['precondition', Status.FAILED_PRECONDITION],
  ['exhausted', Status.RESOURCE_EXHAUSTED],
  ['unauthenticated', Status.UNAUTHENTICATED],
  ['forbidden', Status.PERMISSION_DENIED],
  ['unavailable', Status.UNAVAILABLE],
  ['out-of-range', Status.OUT_OF_RANGE],
  ['unimplemented', Status.UNIMPLEMENTED],
])('%s is status %d', (kind, code) => {
  const status = toStatus(new DomainError(kind, 'in words', { reason: 'WHY' }));
  expect(status).toMatchObject({ code, message: 'in words', reason: 'WHY', expected: true });
});

/** By protoc 3.21 with google.rpc's definitions of Status, ErrorInfo and BadRequest. */
const encodedByProtoc = [
  'CAMSBXdyb25nGkcKKHR5cGUuZ29vZ2xlYXBpcy5jb20vZ29vZ2xlLnJwYy5FcnJvckluZm8SGwoP',
  'SU5WQUxJRF9SRVFVRVNUEghmYWlybGVhZBpkCil0eXBlLmdvb2dsZWFwaXMuY29tL2dvb2dsZS5y',
  'cGMuQmFkUmVxdWVzdBI3ChkKCnNwZWMuaW1hZ2USC2lzIHJlcXVpcmVkChoKBG5hbWUSEm11c3Qg',
  'YmUg4oCcZ29vZOKAnQ==',
].join('');

describe('details', () => {
  test('are in the standard form', () => {
    const { details } = toStatus(
      new DomainError('invalid', 'wrong', {
        reason: 'INVALID_REQUEST',
        violations: [
          { field: 'spec.image', rule: 'is required' },
          { field: 'name', rule: 'must be “good”' },
        ],
      }),
    );
    expect(Buffer.from(details ?? []).toString('base64')).toBe(encodedByProtoc);
    expect(decodeRpcDetails(details ?? new Uint8Array()).map(({ debug }) => debug)).toEqual([
      { reason: 'INVALID_REQUEST', domain: 'fairlead' },
      {
        fieldViolations: [
          { field: 'spec.image', description: 'is required' },
          { field: 'name', description: 'must be “good”' },
        ],
      },
    ]);
  });

  test.each(['x', 'é', '字', '🚢'])('stay small however much is wrong, in %s', (character) => {
    const violations = Array.from({ length: 3_000 }, () => ({ field: character, rule: '' }));
    const words = character.repeat(100_000);
    const error = new DomainError('invalid', words, { reason: 'R', violations });
    const { details = new Uint8Array(), message } = toStatus(error);
    // In base64, and together with the message as it is escaped.
    const bytes = (details.length * 4) / 3 + encodeURIComponent(message).length;
    expect(bytes).toBeLessThan(8_000);
    const [, badRequest] = decodeRpcDetails(details);
    expect((badRequest?.debug['fieldViolations'] as unknown[]).length).toBeGreaterThan(100);
    expect(message).toMatch(/…$/);
    expect(message.length).toBeGreaterThan(100);
  });
});

test("a ServerError of somebody else's service keeps its code and words", () => {
  expect(toStatus(new ServerError(Status.NOT_FOUND, 'no such service'))).toEqual({
    code: Status.NOT_FOUND,
    message: 'no such service',
    reason: '',
    details: undefined,
    expected: true,
  });
});

test('an abort is a cancellation', () => {
  const controller = new AbortController();
  controller.abort();
  expect(toStatus(controller.signal.reason)).toMatchObject({
    code: Status.CANCELLED,
    expected: true,
  });
});

test.each([new TypeError('secret'), 'secret', undefined, null, { message: 'secret' }])(
  'anything else is a bug, of which the caller learns nothing: %s',
  (thrown) => {
    expect(toStatus(thrown)).toEqual({
      code: Status.INTERNAL,
      message: 'internal error',
      reason: 'INTERNAL',
      details: undefined,
      expected: false,
    });
  },
);
