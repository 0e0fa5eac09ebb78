import { BinaryWriter } from '@bufbuild/protobuf/wire';
import { expect, test } from 'vitest';
import { violationsOf } from '../../../client/status-details.ts';

function statusWith(...details: { readonly type: string; readonly value: Uint8Array }[]) {
  const status = new BinaryWriter().uint32(8).int32(3).uint32(18).string('wrong');
  for (const { type, value } of details) {
    status.uint32(26).fork().uint32(10).string(type).uint32(18).bytes(value).join();
  }
  return status.finish();
}

function badRequest(...violations: { readonly field: string; readonly rule: string }[]) {
  const message = new BinaryWriter();
  for (const { field, rule } of violations) {
    // With a field that this decoder does not know, as newer coordinators may send.
    message.uint32(10).fork().uint32(26).string('REASON');
    message.uint32(10).string(field).uint32(18).string(rule).join();
  }
  return { type: 'type.googleapis.com/google.rpc.BadRequest', value: message.finish() };
}

test('reads every field violation of a google.rpc.BadRequest', () => {
  const violations = [
    { field: 'name', rule: 'is required' },
    { field: 'spec.ports[0].container_port', rule: 'must be 1 to 65535' },
  ];
  expect(violationsOf(statusWith(badRequest(...violations)))).toEqual(violations);
});

test('skips details of other types', () => {
  const other = {
    type: 'type.googleapis.com/google.rpc.ErrorInfo',
    value: new Uint8Array([10, 0]),
  };
  expect(violationsOf(statusWith(other, badRequest({ field: 'a', rule: 'b' })))).toEqual([
    { field: 'a', rule: 'b' },
  ]);
});

test('answers none where there are no details, or details that cannot be read', () => {
  expect(violationsOf(undefined)).toEqual([]);
  expect(violationsOf(new Uint8Array())).toEqual([]);
  expect(violationsOf(new Uint8Array([26, 200, 1]))).toEqual([]);
});
