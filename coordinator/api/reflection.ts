import type { CallContext } from 'nice-grpc-common';

/** The same in both versions; requests and responses stay as they are encoded until somebody asks. */
const method = {
  requestStream: true,
  responseStream: true,
  requestSerialize: asBuffer,
  requestDeserialize: asIs,
  responseSerialize: asBuffer,
  responseDeserialize: asIs,
} as const;

const name = 'ServerReflection/ServerReflectionInfo';

/** Reflection as tools ask for it, and under its other name: what those of before 2023 ask. */
export const reflectionDefinitions = [
  { serverReflectionInfo: { ...method, path: `/grpc.reflection.v1.${name}` } },
  { serverReflectionInfo: { ...method, path: `/grpc.reflection.v1alpha.${name}` } },
] as const;

/**
 * Tells tools what the server speaks. Most servers are never asked: what it takes to answer is loaded with the
 * first question.
 */
export class Reflection {
  readonly #services: readonly string[];
  #answering: ReturnType<typeof load> | undefined;

  constructor(services: readonly string[]) {
    this.#services = services;
  }

  async *serverReflectionInfo(
    requests: AsyncIterable<Uint8Array>,
    context: CallContext,
  ): AsyncGenerator<Uint8Array> {
    const { service, codec } = await (this.#answering ??= load(this.#services));
    const decoded = decode(requests, (bytes) => codec.requestDeserialize(asBuffer(bytes)));
    for await (const response of service.serverReflectionInfo(decoded, context)) {
      yield codec.responseSerialize(response);
    }
  }
}

async function load(services: readonly string[]) {
  const { codec, reflectionOf } = await import('./reflection-answers.ts');
  return { codec, service: reflectionOf(services) };
}

async function* decode<T>(
  messages: AsyncIterable<Uint8Array>,
  decodeOne: (bytes: Uint8Array) => T,
): AsyncGenerator<T> {
  for await (const bytes of messages) yield decodeOne(bytes);
}

function asIs(bytes: Buffer): Uint8Array {
  return bytes;
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
