import { BinaryWriter } from '@bufbuild/protobuf/wire';
import type { ServiceImplementation } from 'nice-grpc';
import { AgentServiceDefinition } from '../../shared/gen/fairlead/v1/agent_service.ts';
import { ProxyServiceDefinition } from '../../shared/gen/fairlead/v1/proxy_service.ts';
import type { SessionMessage } from './session.ts';

interface Codec<Message> {
  readonly encode: (message: Message, writer: BinaryWriter) => { finish(): Uint8Array };
  readonly decode: (input: Uint8Array) => Message;
}

/**
 * Lets go of what a message says. Every generator that a message went through holds the last one for as long as it
 * waits for the next, and an agent at rest waits for long after the complete set of its assignments.
 */
export function letGo(message: SessionMessage): void {
  message.message = undefined;
}

/**
 * One for all messages: what it grew to is there for the next, where each would leave a row of ever larger
 * buffers behind, whose places are never all given back.
 */
let writer = new BinaryWriter();
/** What was needed for a larger message is not kept. */
const keptBytes = 256 * 1024;

/** Encodes each message as it is, without the copy that is made by default, and lets go of it. */
function lettingGo<Message extends SessionMessage>({ encode, decode }: Codec<Message>) {
  return {
    encode: (message: Message) => {
      const bytes = written(() => encode(message, writer).finish());
      letGo(message);
      // The memory itself is taken as it is, where a view of it would be copied.
      return { finish: () => bytes.buffer as ArrayBuffer & Uint8Array };
    },
    decode,
  };
}

function written(write: () => Uint8Array): Uint8Array {
  let length = Infinity;
  try {
    const bytes = write();
    length = bytes.length;
    return bytes;
  } finally {
    // Nor is one in which a message was begun that could not be written.
    if (length > keptBytes) writer = new BinaryWriter();
  }
}

/** The agents' service, whose sessions hold nothing of what they said. */
export const agentDefinition = {
  ...AgentServiceDefinition,
  methods: {
    ...AgentServiceDefinition.methods,
    nodeSession: {
      ...AgentServiceDefinition.methods.nodeSession,
      responseType: lettingGo(AgentServiceDefinition.methods.nodeSession.responseType),
    },
  },
} as const;

/** Who answers agents; what a session says is whole. */
export type AgentServiceImplementation<Context> = ServiceImplementation<
  typeof agentDefinition,
  Context
>;

/** Where a method of a service is called. */
export function pathOf<
  Definition extends { fullName: string; methods: Readonly<Record<string, { name: string }>> },
>({ fullName, methods }: Definition, method: keyof Definition['methods'] & string): string {
  return `/${fullName}/${methods[method]?.name}`;
}

/** Stands where sessions would be answered if they came as far as other calls. */
export function answeredBefore(): never {
  throw new Error('sessions are answered before middleware and handlers');
}

/** The proxies' service, in the same way. */
export const proxyDefinition = {
  ...ProxyServiceDefinition,
  methods: {
    ...ProxyServiceDefinition.methods,
    proxySession: {
      ...ProxyServiceDefinition.methods.proxySession,
      responseType: lettingGo(ProxyServiceDefinition.methods.proxySession.responseType),
    },
  },
} as const;

/** Who answers proxies. */
export type ProxyServiceImplementation<Context> = ServiceImplementation<
  typeof proxyDefinition,
  Context
>;
