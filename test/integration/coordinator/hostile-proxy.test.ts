import { afterEach, beforeEach, expect, test } from 'vitest';
import { ApiRole, Role, type FairleadClient } from '../../../client/index.ts';
import { eventually } from '../../support/eventually.ts';
import type { OldAgent, OldStream } from '../../support/first-contract.ts';
import { Installation } from '../../support/installation.ts';
import { enrolOldProxy } from '../../support/old-proxy.ts';

// What somebody can do who has stolen the token of a proxy: speak for its service, and for no other.

let installation: Installation;
let control: FairleadClient['control'];
let agents: Map<string, OldAgent>;

beforeEach(async () => {
  installation = await Installation.start();
  ({ control } = installation.client);
  agents = new Map();
  for (const name of ['shop', 'blog']) {
    await control.createService({ name, spec: { image: 'lb:1', apiRole: ApiRole.PROXY } });
    agents.set(name, await enrolled(name));
  }
});

afterEach(async () => {
  for (const agent of agents.values()) agent[Symbol.dispose]();
  await installation[Symbol.asyncDispose]();
});

/** A proxy with the certificate for a token that reaches one service alone. */
async function enrolled(service: string): Promise<OldAgent> {
  const wish = { name: `proxy-of-${service}`, role: Role.PROXY, services: [service] };
  const { secret, token } = await control.createToken(wish);
  expect(token?.services).toEqual([service]);
  return await enrolOldProxy(installation, secret);
}

function open(service: string, proxyId: string): OldStream {
  const session = agents.get(service)!.open('ProxySession');
  session.send({ hello: { protocolVersion: 1, proxyId, name: 'edge', service } });
  return session;
}

async function connected() {
  const { proxies } = await control.listProxies({});
  return proxies.filter((proxy) => proxy.connected).map(({ id, service }) => ({ id, service }));
}

test('a proxy that is connected keeps its id, whoever else says that it is his', async () => {
  const own = open('shop', 'edge-1');
  await own.first('welcome');
  using other = open('blog', 'edge-1');
  await eventually(() => {
    expect(other.error?.message).toContain(
      'the proxy id edge-1 is that of a proxy of another service than blog; leave it out, or give each proxy one of its own',
    );
  });
  expect(await connected()).toEqual([{ id: 'edge-1', service: 'shop' }]);
  expect(own.error).toBeUndefined();

  // A host whose proxy is given to another service says so when it is started again.
  own[Symbol.dispose]();
  await eventually(async () => {
    expect(await connected()).toEqual([]);
  });
  using moved = open('blog', 'edge-1');
  await moved.first('welcome');
  expect(await connected()).toEqual([{ id: 'edge-1', service: 'blog' }]);
});

test('the id of a container of another service is not taken by a proxy', async () => {
  await control.startService({ service: 'shop' });
  const id = await eventually(async () => {
    const { containers } = await control.listContainers({ services: ['shop'] });
    return containers[0]!.id;
  });
  using other = open('blog', id);
  await eventually(() => {
    expect(other.error?.message).toContain(`the proxy id ${id} is that of a proxy of another`);
  });
  expect(await connected()).toEqual([]);
});
