import { BinaryReader, BinaryWriter } from '@bufbuild/protobuf/wire';
import type { FieldViolation } from '../../shared/errors.ts';

// google.rpc.Status with BadRequest and ErrorInfo, the standard form of error details. Written by
// hand: three small messages of which we need one direction each are not worth generated code.

const errorDomain = 'fairlead';
const typePrefix = 'type.googleapis.com/';
const badRequest = 'google.rpc.BadRequest';
const errorInfo = 'google.rpc.ErrorInfo';

/** Trailers must stay below 8 KB in all, or strict clients drop the whole answer. */
const maxViolationsBytes = 2_500;
/** Of a violation besides its words. */
const overheadBytes = 8;

export interface RpcStatus {
  /** gRPC's number. */
  readonly code: number;
  readonly message: string;
  readonly reason: string;
  readonly violations: readonly FieldViolation[];
}

/** One detail of a google.rpc.Status. */
export interface RpcDetail {
  /** Full name of its message, like `google.rpc.BadRequest`. */
  readonly type: string;
  readonly value: Uint8Array;
  /** What it says, for people; empty for a type that is not ours. */
  readonly debug: Readonly<Record<string, unknown>>;
}

/** What goes into `grpc-status-details-bin`. Violations beyond 2.5 KB are left out. */
export function encodeRpcStatus({ code, message, reason, violations }: RpcStatus): Uint8Array {
  const writer = new BinaryWriter().uint32(tag(1, 0)).int32(code);
  writer.uint32(tag(2, 2)).string(message);
  writeAny(writer, errorInfo, writeErrorInfo(reason));
  if (violations.length > 0) writeAny(writer, badRequest, writeBadRequest(violations));
  return writer.finish();
}

function writeAny(writer: BinaryWriter, type: string, value: Uint8Array): void {
  writer.uint32(tag(3, 2)).fork();
  writer.uint32(tag(1, 2)).string(`${typePrefix}${type}`);
  writer.uint32(tag(2, 2)).bytes(value);
  writer.join();
}

function writeErrorInfo(reason: string): Uint8Array {
  const writer = new BinaryWriter().uint32(tag(1, 2)).string(reason);
  return writer.uint32(tag(2, 2)).string(errorDomain).finish();
}

function writeBadRequest(violations: readonly FieldViolation[]): Uint8Array {
  const writer = new BinaryWriter();
  let bytes = 0;
  for (const { field, rule } of violations) {
    bytes += Buffer.byteLength(field) + Buffer.byteLength(rule) + overheadBytes;
    if (bytes > maxViolationsBytes) break;
    writer.uint32(tag(1, 2)).fork();
    writer.uint32(tag(1, 2)).string(field);
    writer.uint32(tag(2, 2)).string(rule);
    writer.join();
  }
  return writer.finish();
}

/** The details of an encoded google.rpc.Status, for protocols that carry them one by one. */
export function decodeRpcDetails(status: Uint8Array): RpcDetail[] {
  return bytesOf(status, 3).map((any) => {
    const [url = new Uint8Array()] = bytesOf(any, 1);
    const [value = new Uint8Array()] = bytesOf(any, 2);
    const type = text(url).slice(text(url).lastIndexOf('/') + 1);
    return { type, value, debug: debugOf(type, value) };
  });
}

function debugOf(type: string, value: Uint8Array): Readonly<Record<string, unknown>> {
  switch (type) {
    case badRequest:
      return {
        fieldViolations: bytesOf(value, 1).map((violation) => ({
          field: bytesOf(violation, 1).map(text).join(''),
          description: bytesOf(violation, 2).map(text).join(''),
        })),
      };
    case errorInfo:
      return {
        reason: bytesOf(value, 1).map(text).join(''),
        domain: bytesOf(value, 2).map(text).join(''),
      };
    default:
      return {};
  }
}

/** The values of a length-delimited field. */
function bytesOf(message: Uint8Array, field: number): Uint8Array[] {
  const reader = new BinaryReader(message);
  const values: Uint8Array[] = [];
  while (reader.pos < reader.len) {
    const [number, wireType] = reader.tag();
    if (number === field) values.push(reader.bytes());
    else reader.skip(wireType);
  }
  return values;
}

function tag(field: number, wireType: number): number {
  return (field << 3) | wireType;
}

function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}
