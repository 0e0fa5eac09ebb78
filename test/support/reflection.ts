import { BinaryReader, BinaryWriter } from '@bufbuild/protobuf/wire';
import { Client, Metadata, type ChannelCredentials, type ClientOptions } from '@grpc/grpc-js';

// What a gRPC tool with no files of ours does: bytes by the numbers of the fields of reflection.proto.
const listServices = 7;
const fileContainingSymbol = 4;

/** A server that is asked what it serves. */
export interface Described {
  readonly address: string;
  readonly credentials: ChannelCredentials;
  readonly options?: ClientOptions;
  readonly authorization?: string;
  /** `v1` or `v1alpha`. */
  readonly version: string;
}

/** The names of the services that a server says it has. */
export async function describedServices(server: Described): Promise<string[]> {
  const listed = await ask(server, listServices, '*');
  return fieldsOf(fieldsOf(listed, 6)[0]!, 1).map((entry) => text(fieldsOf(entry, 1)[0]!));
}

/** The name of the file that has a symbol, such as `fairlead.v1.ControlService.GetInfo`. */
export async function describedFileOf(server: Described, symbol: string): Promise<string> {
  const found = await ask(server, fileContainingSymbol, symbol);
  const file = fieldsOf(fieldsOf(found, 4)[0]!, 1)[0]!;
  return text(fieldsOf(file, 1)[0]!);
}

/** Sends one request with one string field, and gives the first answer. */
function ask(server: Described, field: number, value: string): Promise<Uint8Array> {
  const { address, credentials, options, authorization, version } = server;
  const request = new BinaryWriter()
    .uint32((field << 3) | 2)
    .string(value)
    .finish();
  const metadata = new Metadata();
  if (authorization !== undefined) metadata.set('authorization', authorization);
  const raw = new Client(address, credentials, options);
  return new Promise<Uint8Array>((resolve, reject) => {
    const call = raw.makeBidiStreamRequest(
      `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`,
      (bytes: Uint8Array) => Buffer.from(bytes),
      (bytes) => new Uint8Array(bytes),
      metadata,
    );
    call.on('data', resolve).on('error', reject);
    call.write(request);
    call.end();
  }).finally(() => {
    raw.close();
  });
}

function fieldsOf(message: Uint8Array, field: number): Uint8Array[] {
  const reader = new BinaryReader(message);
  const values: Uint8Array[] = [];
  while (reader.pos < reader.len) {
    const [number, wireType] = reader.tag();
    if (number === field) values.push(reader.bytes());
    else reader.skip(wireType);
  }
  return values;
}

function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}
