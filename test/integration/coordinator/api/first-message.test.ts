import { once } from 'node:events';
import { connect as connectHttp2, constants } from 'node:http2';
import { ClientError, createClient, Status, type Channel } from 'nice-grpc';
import { HealthDefinition } from 'nice-grpc-server-health';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ApiRole, connect, NodeState, Role } from '../../../../client/index.ts';
import { systemClock } from '../../../../shared/clock.ts';
import {
  AgentServiceDefinition,
  NodeSessionRequest,
} from '../../../../shared/gen/fairlead/v1/agent_service.ts';
import {
  ProxyServiceDefinition,
  type ProxySessionRequest,
} from '../../../../shared/gen/fairlead/v1/proxy_service.ts';
import {
  authorizedClients,
  openChannel,
  type ClientCertificate,
} from '../../../../shared/rpc/client.ts';
import { makePrivateKey, signingRequest } from '../../../../shared/rpc/signing-request.ts';
import { trustOf } from '../../../../shared/rpc/trust.ts';
import { Wakeup } from '../../../../shared/wakeup.ts';
import { eventually } from '../../../support/eventually.ts';
import { Installation } from '../../../support/installation.ts';

const never = new AbortController().signal;
const deps = { clock: systemClock, timeoutMs: 5_000 };

let installation: Installation;
let proxyToken: string;

beforeAll(async () => {
  installation = await Installation.start();
  const { control } = installation.client;
  await control.createService({ name: 'lb', spec: { image: 'lb:1', apiRole: ApiRole.PROXY } });
  const wish = { name: 'proxy', role: Role.PROXY, services: ['lb'] };
  proxyToken = (await control.createToken(wish)).secret;
});

afterAll(async () => {
  await installation[Symbol.asyncDispose]();
});

async function channelWith(certificate: ClientCertificate): Promise<Channel> {
  const trust = { kind: 'bundle', pem: installation.coordinator.authorities } as const;
  return await openChannel(
    { address: installation.coordinator.address, trust, certificate },
    deps,
    never,
  );
}

/** Does something with a token, before there is a certificate. */
async function withToken<T>(
  token: string,
  ask: (channel: Channel, clients: ReturnType<typeof authorizedClients>) => Promise<T>,
): Promise<T> {
  const where = { address: installation.coordinator.address, trust: trustOf(token) };
  const channel = await openChannel(where, deps, never);
  try {
    return await ask(channel, authorizedClients(token));
  } finally {
    channel.close();
  }
}

async function joined(name: string): Promise<ClientCertificate> {
  const privateKeyPem = makePrivateKey();
  const signingRequestPem = signingRequest(privateKeyPem);
  const answer = await withToken(await installation.joinToken(), (channel, clients) =>
    clients.create(AgentServiceDefinition, channel).join({ name, tags: [], signingRequestPem }),
  );
  return { certificatePem: answer.certificate!.certificatePem, privateKeyPem };
}

async function enrolled(): Promise<ClientCertificate> {
  const privateKeyPem = makePrivateKey();
  const signingRequestPem = signingRequest(privateKeyPem);
  const answer = await withToken(proxyToken, (channel, clients) =>
    clients.create(ProxyServiceDefinition, channel).enrol({ signingRequestPem }),
  );
  return { certificatePem: answer.certificate!.certificatePem, privateKeyPem };
}

/** A stream that says nothing until it is told to, and how it ends. */
class Silence<Request> {
  readonly #speak = new Wakeup();
  readonly #first: Request;

  constructor(first: Request) {
    this.#first = first;
  }

  speak(): void {
    this.#speak.notify();
  }

  async *requests(): AsyncGenerator<Request> {
    await this.#speak.wait(never);
    yield this.#first;
    await new Wakeup().wait(never);
  }
}

async function endOf(
  responses: AsyncIterable<unknown>,
): Promise<{ code: Status; details: string; ms: number }> {
  const startedAt = performance.now();
  try {
    for await (const response of responses) throw new Error(JSON.stringify(response));
    throw new Error('it ended without a word');
  } catch (error) {
    if (!(error instanceof ClientError)) throw error;
    const { code, details } = error;
    return { code, details, ms: performance.now() - startedAt };
  }
}

/** What was asked for on a connection before this has been let in: it is answered in order. */
async function hasArrived(channel: Channel): Promise<void> {
  await createClient(HealthDefinition, channel).check({ service: '' });
}

const nodeHello = NodeSessionRequest.fromPartial({
  message: {
    $case: 'hello',
    value: { protocolVersion: 1, bootId: 'boot', sequence: 1, advertiseAddress: '127.0.0.1' },
  },
});
const proxyHello: ProxySessionRequest = { message: undefined };

describe('a stream that is opened and never says hello is cut after the lease', () => {
  const silence = { code: Status.UNAVAILABLE, details: 'nothing was heard for 3000 ms' };

  test('NodeSession', async () => {
    const channel = await channelWith(await joined('silent'));
    const client = createClient(AgentServiceDefinition, channel);
    const end = await endOf(client.nodeSession(new Silence(nodeHello).requests()));
    expect(end).toMatchObject(silence);
    expect(end.ms).toBeGreaterThan(2_500);
    channel.close();
  });

  test('ProxySession', async () => {
    const channel = await channelWith(await enrolled());
    const client = createClient(ProxyServiceDefinition, channel);
    const end = await endOf(client.proxySession(new Silence(proxyHello).requests()));
    expect(end).toMatchObject(silence);
    expect(end.ms).toBeGreaterThan(2_500);
    channel.close();
  });
});

test('a node that is removed before its hello is not let in by it', async () => {
  const channel = await channelWith(await joined('leaving'));
  const silence = new Silence(nodeHello);
  const responses = createClient(AgentServiceDefinition, channel).nodeSession(silence.requests());
  const end = endOf(responses);
  await hasArrived(channel);
  await installation.client.control.removeNode({ node: 'leaving' });
  silence.speak();
  expect(await end).toMatchObject({
    code: Status.UNAUTHENTICATED,
    details: 'this node was removed',
  });
  channel.close();
});

test('a session whose agent takes nothing of what it is told is cut as any other', async () => {
  const { certificatePem: cert, privateKeyPem: key } = await joined('deaf');
  const port = installation.coordinator.address.split(':').at(-1);
  const session = connectHttp2(`https://localhost:${port}`, {
    ...{ ca: installation.coordinator.authorities, cert, key },
    settings: { initialWindowSize: 0 },
  });
  const stream = session.request({
    ...{ ':method': 'POST', ':path': '/fairlead.v1.AgentService/NodeSession' },
    ...{ 'content-type': 'application/grpc', te: 'trailers' },
  });
  const hello = NodeSessionRequest.encode(nodeHello).finish();
  const frame = Buffer.alloc(5);
  frame.writeUInt32BE(hello.length, 1);
  stream.write(Buffer.concat([frame, hello]));
  const closed = once(
    stream.on('error', () => undefined),
    'close',
  );
  const { control } = installation.client;
  await eventually(async () => {
    const { node } = await control.getNode({ node: 'deaf' });
    expect(node?.state).toBe(NodeState.ENGINE_AWAY);
  });
  await control.removeNode({ node: 'deaf' });
  await closed;
  expect(stream.rstCode).toBe(constants.NGHTTP2_CANCEL);
  session.destroy();
});

test('a proxy whose token is revoked before its hello is not let in by it', async () => {
  const certificate = await enrolled();
  const channel = await channelWith(certificate);
  const client = createClient(ProxyServiceDefinition, channel);
  const silence = new Silence(proxyHello);
  const end = endOf(client.proxySession(silence.requests()));
  await hasArrived(channel);
  await installation.client.control.revokeToken({ token: 'proxy' });
  silence.speak();
  expect(await end).toMatchObject({ code: Status.UNAUTHENTICATED });
  // Nor does it get another certificate.
  const request = { signingRequestPem: signingRequest(makePrivateKey()) };
  await expect(client.renewProxyCertificate(request)).rejects.toMatchObject({
    code: Status.UNAUTHENTICATED,
    details: expect.stringContaining('the token is not valid') as string,
  });
  channel.close();
});

test('what a token watches ends within a second of its end', async () => {
  const { control } = installation.client;
  const { secret } = await control.createToken({ name: 'looker', role: Role.VIEWER });
  const where = { address: installation.coordinator.address, token: secret };
  await using looker = await connect(where);
  const messages = looker.control.watchNodes({})[Symbol.asyncIterator]();
  expect(await messages.next()).toMatchObject({ done: false });
  const ended = (async () => {
    while ((await messages.next()).done !== true);
  })();
  const revokedAt = performance.now();
  await Promise.all([
    expect(ended).rejects.toMatchObject({
      ...{ code: Status.UNAUTHENTICATED, reason: 'TOKEN_INVALID' },
    }),
    control.revokeToken({ token: 'looker' }),
  ]);
  expect(performance.now() - revokedAt).toBeLessThan(1_000);
});
