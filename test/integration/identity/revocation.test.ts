import { ClientError, createClientFactory, Metadata, Status, type Channel } from 'nice-grpc';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ApiRole, Role } from '../../../client/index.ts';
import { systemClock } from '../../../shared/clock.ts';
import { AgentServiceDefinition } from '../../../shared/gen/fairlead/v1/agent_service.ts';
import { ControlServiceDefinition } from '../../../shared/gen/fairlead/v1/control_service.ts';
import { ProxyServiceDefinition } from '../../../shared/gen/fairlead/v1/proxy_service.ts';
import { openChannel, type ClientCertificate } from '../../../shared/rpc/client.ts';
import { makePrivateKey, signingRequest } from '../../../shared/rpc/signing-request.ts';
import { Wakeup } from '../../../shared/wakeup.ts';
import { Installation } from '../../support/installation.ts';

// "Cut within a second" as an order: what comes over one connection keeps the order in which the coordinator
// said it. So no clock is looked at, and a busy machine changes nothing.

const never = new AbortController().signal;

let installation: Installation;
let channel: Channel;

beforeEach(async () => {
  installation = await Installation.start();
});

afterEach(async () => {
  channel.close();
  await installation[Symbol.asyncDispose]();
});

async function open(certificate?: ClientCertificate): Promise<void> {
  const trust = { kind: 'bundle', pem: installation.coordinator.authorities } as const;
  const where = { address: installation.coordinator.address, trust };
  channel = await openChannel(
    certificate === undefined ? where : { ...where, certificate },
    { clock: systemClock, timeoutMs: 5_000 },
    never,
  );
}

/** The API over the connection that is cut as well. */
function control(token = installation.adminToken) {
  const clients = createClientFactory().use((call, options) => {
    const metadata = Metadata(options.metadata).set('authorization', `Bearer ${token}`);
    return call.next(call.request, { ...options, metadata });
  });
  return clients.create(ControlServiceDefinition, channel);
}

/** A stream that has begun; `order` is told when it is over, and `ended` why. */
class Followed {
  readonly begun: Promise<void>;
  readonly ended: Promise<unknown>;

  constructor(name: string, responses: AsyncIterable<unknown>, order: string[]) {
    const begun = new Wakeup();
    this.begun = begun.wait(never);
    this.ended = (async () => {
      try {
        const messages = responses[Symbol.asyncIterator]();
        while ((await messages.next()).done !== true) begun.notify();
        return undefined;
      } catch (error) {
        return error;
      } finally {
        order.push(name);
        begun.notify();
      }
    })();
  }
}

/** Says one thing, and stays. */
async function* saying<T>(first: T): AsyncGenerator<T> {
  yield first;
  await new Wakeup().wait(never);
}

describe('the session', () => {
  const privateKeyPem = makePrivateKey();
  const signingRequestPem = signingRequest(privateKeyPem);

  async function certificateFor(role: Role.NODE | Role.PROXY): Promise<string> {
    const more = role === Role.PROXY ? { services: ['lb'] } : {};
    const { secret } = await control().createToken({ name: 'agent', role, ...more });
    const authorization = { metadata: Metadata({ authorization: `Bearer ${secret}` }) };
    const clients = createClientFactory();
    const { certificate } =
      role === Role.NODE
        ? await clients
            .create(AgentServiceDefinition, channel)
            .join({ name: 'host-1', tags: [], signingRequestPem }, authorization)
        : await clients
            .create(ProxyServiceDefinition, channel)
            .enrol({ signingRequestPem }, authorization);
    return certificate!.certificatePem;
  }

  async function reopenAs(role: Role.NODE | Role.PROXY): Promise<void> {
    const certificatePem = await certificateFor(role);
    channel.close();
    await open({ certificatePem, privateKeyPem });
  }

  test('of a node that is removed ends before the answer to who removed it', async () => {
    await open();
    await reopenAs(Role.NODE);
    const order: string[] = [];
    const advertiseAddress = '198.18.0.1';
    const hello = { protocolVersion: 1, bootId: 'boot', sequence: 1, advertiseAddress };
    const requests = saying({ message: { $case: 'hello' as const, value: hello } });
    const agent = createClientFactory().create(AgentServiceDefinition, channel);
    const session = new Followed('session', agent.nodeSession(requests), order);
    await session.begun;
    await control().removeNode({ node: 'host-1' });
    order.push('answer');
    expect(order).toEqual(['session', 'answer']);
    expect(await session.ended).toMatchObject({
      ...{ code: Status.UNAUTHENTICATED, details: 'this node was removed' },
    });
  });

  test('of a proxy whose token is revoked ends before anything else is answered', async () => {
    await open();
    await control().createService({ name: 'lb', spec: { image: 'lb:1', apiRole: ApiRole.PROXY } });
    await reopenAs(Role.PROXY);
    const order: string[] = [];
    const hello = { protocolVersion: 1, proxyId: 'p'.repeat(32), name: 'edge', service: 'lb' };
    const requests = saying({ message: { $case: 'hello' as const, value: hello } });
    const agent = createClientFactory().create(ProxyServiceDefinition, channel);
    const session = new Followed('session', agent.proxySession(requests), order);
    await session.begun;
    await control().revokeToken({ token: 'agent' });
    await control().listProxies({});
    order.push('next answer');
    expect(order).toEqual(['session', 'next answer']);
    expect(await session.ended).toMatchObject({
      ...{ code: Status.UNAUTHENTICATED },
      details: expect.stringContaining('the token is not valid') as string,
    });
  });
});

test('all that a token follows ends before anything else is answered', async () => {
  await open();
  await control().createService({ name: 'web', spec: { image: 'web:1' } });
  const wish = { name: 'mallory', role: Role.ADMIN };
  const mallory = control((await control().createToken(wish)).secret);
  const streams = {
    services: mallory.watchServices({}),
    containers: mallory.watchContainers({}),
    logs: mallory.serviceLogs({ service: 'web', follow: true }),
    nodes: mallory.watchNodes({}),
    clusters: mallory.watchNodeClusters({}),
    endpoints: mallory.watchEndpoints({}),
    proxies: mallory.watchProxies({}),
    actions: mallory.watchActions({}),
    events: mallory.watchEvents({}),
    tokens: mallory.watchTokens({}),
    certificates: mallory.watchCertificates({}),
  };
  const order: string[] = [];
  const followed = Object.entries(streams).map(([name, responses]) => {
    return new Followed(name, responses, order);
  });
  // A log of which nothing comes does not tell that it has begun; what was asked for before this has.
  await control().listServices({});
  expect(order).toEqual([]);
  await control().revokeToken({ token: 'mallory' });
  await control().listServices({});
  order.push('next answer');
  expect(order.at(-1)).toBe('next answer');
  expect(order.slice(0, -1).sort()).toEqual(Object.keys(streams).sort());
  for (const { ended } of followed) {
    const error = await ended;
    expect(error).toBeInstanceOf(ClientError);
    expect(error).toMatchObject({ code: Status.UNAUTHENTICATED });
  }
});
