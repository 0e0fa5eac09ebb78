import { readFileSync } from 'node:fs';
import {
  createFileRegistry,
  fromBinary,
  fromJson,
  toBinary,
  toJson,
  type DescMethod,
  type JsonObject,
} from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import {
  Client,
  credentials,
  Metadata,
  Server,
  type handleBidiStreamingCall,
  type ServiceDefinition,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { coordinatorName } from '../../shared/rpc/trust.ts';
import type { ClientCertificate } from '../../shared/rpc/client.ts';
import { eventually } from './eventually.ts';
import { testAuthority } from './test-authority.ts';

// Agents and coordinators of the first contract that can be spoken to: that of the commit "identity:
// everything is TLS ...". What was before had links in the clear and credentials that no coordinator of today
// issues, so nothing of it can so much as connect. The fixture is the contract of agents as it was then, made
// by `buf build proto --as-file-descriptor-set --exclude-source-info` for agent_service.proto and
// proxy_service.proto; messages are JSON, so nothing here knows a field that was not there then.

const registry = createFileRegistry(
  fromBinary(
    FileDescriptorSetSchema,
    readFileSync(new URL('../fixtures/first-contract.binpb', import.meta.url)),
  ),
);

/** A message as JSON of the old contract; bytes are sent as they are. */
export type OldMessage = JsonObject | Buffer;

type OldService = 'AgentService' | 'ProxyService';

/** The bytes of a message, with more behind it that only a newer contract knows. */
export function withUnknown(typeName: string, message: JsonObject, more: Buffer): Buffer {
  return Buffer.concat([encode(typeName, message), more]);
}

/** A field that no contract has: number 999, of so many bytes. */
export const unknownField = Buffer.from([0xba, 0x3e, 0x03, 0x01, 0x02, 0x03]);

function encode(typeName: string, message: JsonObject): Buffer {
  const schema = registry.getMessage(typeName);
  if (schema === undefined) throw new Error(`the first contract has no ${typeName}`);
  return Buffer.from(toBinary(schema, fromJson(schema, message)));
}

function methodsOf(service: OldService): readonly DescMethod[] {
  return registry.getService(`fairlead.v1.${service}`)?.methods ?? [];
}

function definitionOf(service: OldService): ServiceDefinition {
  const serialize = (typeName: string) => (message: OldMessage) =>
    Buffer.isBuffer(message) ? message : encode(typeName, message);
  return Object.fromEntries(
    methodsOf(service).map((method) => {
      const { name, input, output, methodKind } = method;
      const isStream = methodKind === 'bidi_streaming';
      return [
        name,
        {
          path: `/fairlead.v1.${service}/${name}`,
          requestStream: isStream,
          responseStream: isStream,
          requestSerialize: serialize(input.typeName),
          requestDeserialize: (bytes: Buffer) => toJson(input, fromBinary(input, bytes)),
          responseSerialize: serialize(output.typeName),
          responseDeserialize: (bytes: Buffer) => toJson(output, fromBinary(output, bytes)),
        },
      ];
    }),
  );
}

/** What both sides of a stream of gRPC can do. */
interface TwoWay {
  on(event: 'data', listener: (message: JsonObject) => void): unknown;
  on(event: 'error', listener: (error: Error) => void): unknown;
  write(message: OldMessage): unknown;
  destroy(): unknown;
}

/** One two-way stream: what came, and how it ended. */
export class OldStream implements Disposable {
  readonly received: JsonObject[] = [];
  error: Error | undefined;
  readonly #stream: TwoWay;

  constructor(stream: TwoWay) {
    this.#stream = stream;
    stream.on('data', (message: JsonObject) => {
      this.received.push(message);
      // Signs of life are what keeps a session.
      this.send({ heartbeat: {} });
    });
    stream.on('error', (error: Error) => {
      this.error = error;
    });
  }

  send(message: OldMessage): void {
    this.#stream.write(message);
  }

  /** Resolves to the first message that has this part, once it is there. */
  async first(part: string, matches: (value: JsonObject) => boolean = () => true) {
    return await eventually(() => {
      const values = this.received.map((message) => message[part] as JsonObject | undefined);
      const found = values.find((value) => value !== undefined && matches(value));
      if (found === undefined) {
        throw new Error(
          `no ${part} came: ${JSON.stringify(this.received)} ${this.error?.message ?? ''}`,
        );
      }
      return found;
    });
  }

  [Symbol.dispose](): void {
    this.#stream.destroy();
  }
}

/** What an agent of the first contract has to talk with. */
export class OldAgent implements Disposable {
  readonly #client: Client;
  readonly #service: OldService;

  constructor(
    service: OldService,
    address: string,
    {
      trustPem,
      certificate,
    }: { readonly trustPem: string; readonly certificate?: ClientCertificate },
  ) {
    this.#service = service;
    const pem = (text: string | undefined) => (text === undefined ? null : Buffer.from(text));
    const tls = credentials.createSsl(
      pem(trustPem),
      pem(certificate?.privateKeyPem),
      pem(certificate?.certificatePem),
    );
    this.#client = new Client(address, tls, {
      'grpc.ssl_target_name_override': coordinatorName,
      'grpc.use_local_subchannel_pool': 1,
    });
  }

  async call(name: string, request: JsonObject, token?: string): Promise<JsonObject> {
    const { path, requestSerialize, responseDeserialize } = this.#method(name);
    const metadata = new Metadata();
    if (token !== undefined) metadata.set('authorization', `Bearer ${token}`);
    return await new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        metadata,
        (error, answer) => {
          if (error !== null || answer === undefined) reject(error ?? new Error('no answer'));
          else resolve(answer as JsonObject);
        },
      );
    });
  }

  open(name: string): OldStream {
    const { path, requestSerialize, responseDeserialize } = this.#method(name);
    return new OldStream(
      this.#client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize),
    );
  }

  #method(name: string) {
    const method = definitionOf(this.#service)[name];
    if (method === undefined) throw new Error(`the first contract has no ${name}`);
    return method;
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }
}

/** A coordinator of the first contract, which gives certificates to anybody and says what a test says. */
export class OldCoordinator implements AsyncDisposable {
  /** Sessions of agents, oldest first. */
  readonly sessions: OldStream[] = [];
  readonly address: string;
  readonly #server: Server;

  private constructor(server: Server, address: string, sessions: OldStream[]) {
    this.#server = server;
    this.address = address;
    this.sessions = sessions;
  }

  /** `who`: whom certificates are for, `node/ID` or `proxy/ID`. */
  static async start(who: string, host = '127.0.0.1'): Promise<OldCoordinator> {
    const server = new Server();
    const sessions: OldStream[] = [];
    const issue = async ({ signingRequestPem }: JsonObject) => {
      const { certificatePem, renewAfterMs } = await testAuthority.issue(
        signingRequestPem as string,
        who,
      );
      const trust = { pem: testAuthority.bundle };
      return { certificate: { certificatePem, renewAfterMs: String(renewAfterMs), trust } };
    };
    for (const service of ['AgentService', 'ProxyService'] as const) {
      const implementation: UntypedServiceImplementation = {};
      for (const { name, methodKind } of methodsOf(service)) {
        if (methodKind === 'bidi_streaming') {
          const serve: handleBidiStreamingCall<JsonObject, OldMessage> = (stream) => {
            const session = new OldStream(stream);
            sessions.push(session);
            const timing = { leaseMs: 3_000, heartbeatMs: 1_000 };
            const trust = { pem: testAuthority.bundle };
            session.send({ welcome: { sessionId: `s${sessions.length}`, ...timing, trust } });
          };
          implementation[name] = serve;
        } else {
          implementation[name] = (
            call: { readonly request: JsonObject },
            answer: (error: Error | null, value?: JsonObject) => void,
          ) => {
            issue(call.request).then(
              (issued) => {
                const id = who.split('/')[1] ?? '';
                answer(null, name === 'Join' ? { nodeId: id, ...issued } : issued);
              },
              (error: unknown) => {
                answer(error as Error);
              },
            );
          };
        }
      }
      server.addService(definitionOf(service), implementation);
    }
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync(`${host}:0`, testAuthority.serverCredentials(), (error, bound) => {
        if (error === null) resolve(bound);
        else reject(error);
      });
    });
    return new OldCoordinator(server, `${host}:${port}`, sessions);
  }

  /** The session that was opened last, once there is one. */
  async session(): Promise<OldStream> {
    return await eventually(() => {
      const session = this.sessions.at(-1);
      if (session === undefined) throw new Error('no agent has opened a session');
      return session;
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#server.forceShutdown();
    return Promise.resolve();
  }
}
