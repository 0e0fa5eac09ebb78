import { BinaryReader } from '@bufbuild/protobuf/wire';
import type { FieldViolation } from '../shared/errors.ts';

const badRequestType = 'type.googleapis.com/google.rpc.BadRequest';

/**
 * The field violations in `grpc-status-details-bin`: a google.rpc.Status with a google.rpc.BadRequest.
 *
 * Only the fields that are shown are decoded, by hand, so that the contract needs no foreign protos.
 * Details that cannot be read are left out: they must never hide the error that they belong to.
 */
export function violationsOf(details: Uint8Array | undefined): FieldViolation[] {
  if (details === undefined) return [];
  try {
    return readStatus(details);
  } catch {
    return [];
  }
}

function readStatus(bytes: Uint8Array): FieldViolation[] {
  const violations: FieldViolation[] = [];
  readFields(bytes, (field, reader) => {
    if (field !== 3) return false;
    violations.push(...readAny(reader.bytes()));
    return true;
  });
  return violations;
}

function readAny(bytes: Uint8Array): FieldViolation[] {
  let type = '';
  let value: Uint8Array = new Uint8Array();
  readFields(bytes, (field, reader) => {
    if (field === 1) type = reader.string();
    else if (field === 2) value = reader.bytes();
    else return false;
    return true;
  });
  return type === badRequestType ? readBadRequest(value) : [];
}

function readBadRequest(bytes: Uint8Array): FieldViolation[] {
  const violations: FieldViolation[] = [];
  readFields(bytes, (field, reader) => {
    if (field !== 1) return false;
    violations.push(readViolation(reader.bytes()));
    return true;
  });
  return violations;
}

function readViolation(bytes: Uint8Array): FieldViolation {
  const violation = { field: '', rule: '' };
  readFields(bytes, (field, reader) => {
    if (field === 1) violation.field = reader.string();
    else if (field === 2) violation.rule = reader.string();
    else return false;
    return true;
  });
  return violation;
}

/** Calls `read` for every field; it says whether it took the value, else the value is skipped. */
function readFields(
  bytes: Uint8Array,
  read: (field: number, reader: BinaryReader) => boolean,
): void {
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (!read(field, reader)) reader.skip(wireType, field);
  }
}
