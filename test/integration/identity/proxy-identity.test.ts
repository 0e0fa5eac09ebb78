import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { Status } from 'nice-grpc-common';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { connect, Role, type FairleadClient } from '../../../client/index.ts';
import { Store } from '../../../coordinator/store/store.ts';
import { systemClock } from '../../../shared/clock.ts';
import { ApiRole } from '../../../shared/gen/fairlead/v1/service.ts';
import { CoordinatorInProcess } from '../../support/coordinator-in-process.ts';
import { eventually } from '../../support/eventually.ts';
import {
  freePort,
  get,
  HaproxyDirectory,
  Load,
  proxyConfig,
  RunningProxyAgent,
} from '../../support/haproxy.ts';
import { TemporaryDirectory } from '../../support/temporary-directory.ts';
import { testAuthority } from '../../support/test-authority.ts';

const patience = { timeoutMs: 30_000 };
/** HAProxy answers it by itself. */
const ping = '/_lb_ping';

let directory: TemporaryDirectory;
let haproxy: HaproxyDirectory;
let coordinator: CoordinatorInProcess;
let client: FairleadClient;
let port: number;

beforeEach(() => {
  directory = new TemporaryDirectory();
  haproxy = new HaproxyDirectory();
});

afterEach(async () => {
  await client[Symbol.asyncDispose]();
  await coordinator[Symbol.asyncDispose]();
  await haproxy[Symbol.asyncDispose]();
  await directory[Symbol.asyncDispose]();
});

/** A coordinator with a load balancer, which an agent on a plain host may speak for with the token. */
async function start(certificateLifeSeconds: number): Promise<string> {
  const stateDir = directory.join('coordinator');
  coordinator = await CoordinatorInProcess.start(stateDir, { certificateLifeSeconds });
  const admin = readFileSync(`${stateDir}/admin.token`, 'utf8').trim();
  client = await connect({ address: coordinator.address, token: admin });
  port = await freePort();
  await client.control.createService({
    name: 'lb',
    spec: {
      image: 'fairlead/haproxy',
      apiRole: ApiRole.PROXY,
      ports: [{ containerPort: 80, published: true, hostPort: port }],
    },
  });
  return await newToken('edge');
}

async function newToken(name: string, lifetimeSeconds = 0): Promise<string> {
  const wish = { name, role: Role.PROXY, services: ['lb'], lifetimeSeconds };
  return (await client.control.createToken(wish)).secret;
}

function startAgent(token: string): RunningProxyAgent {
  const where = { coordinator: coordinator.address, stateDir: haproxy.path };
  return new RunningProxyAgent(proxyConfig({ ...where, token }));
}

function logged(agent: RunningProxyAgent, message: string) {
  return agent.log.filter(({ msg }) => msg === message);
}

async function proxy() {
  const { proxies } = await client.control.listProxies({});
  return proxies[0];
}

async function serves(): Promise<void> {
  await eventually(async () => {
    expect((await get(port, ping)).status).toBe(200);
    expect((await proxy())?.connected).toBe(true);
  }, patience);
}

test('the certificate of a proxy is renewed while it lives, and no request notices', async () => {
  const token = await start(6);
  await using agent = startAgent(token);
  await serves();
  const pid = haproxy.masterPid;
  // It was needed once.
  const load = new Load(port, { path: ping });
  await eventually(() => {
    expect(logged(agent, 'certificate renewed').length).toBeGreaterThan(2);
  }, patience);
  const { requests, failures } = await load.stop();
  expect(failures).toEqual([]);
  expect(requests).toBeGreaterThan(20);
  expect(logged(agent, 'enrolled')).toHaveLength(1);
  expect(logged(agent, 'session refused')).toEqual([]);
  expect(haproxy.masterPid).toBe(pid);
  // Neither key nor certificate is on the disk; whom to trust is.
  expect(haproxy.read('trust.json')).toContain('BEGIN CERTIFICATE');
  expect(haproxy.read('trust.json')).not.toContain('PRIVATE KEY');
});

test('a proxy whose token is revoked is cut within a second, and HAProxy goes on serving', async () => {
  const token = await start(3_600);
  await using agent = startAgent(token);
  await serves();
  const pid = haproxy.masterPid;
  const load = new Load(port, { path: ping });
  const list = haproxy.read('list.json');
  const id = (await proxy())?.id;

  const revokedAt = performance.now();
  await client.control.revokeToken({ token: 'edge' });
  await eventually(async () => {
    // It does not come back by itself: nothing is to wait for it.
    expect(await proxy()).toBeUndefined();
  });
  expect(performance.now() - revokedAt).toBeLessThan(1_000);
  const [refused] = await eventually(() => {
    const lines = logged(agent, 'session refused');
    expect(lines.length).toBeGreaterThan(0);
    return lines;
  }, patience);
  expect(refused).toMatchObject({
    reason: expect.stringContaining('the token is not valid') as string,
    advice: expect.stringContaining('HAProxy serves on with the last list') as string,
  });
  await load.more(200);

  // Nor does the certificate or the token help it to another session.
  await eventually(() => {
    expect(logged(agent, 'session refused').length).toBeGreaterThan(1);
  }, patience);
  expect(logged(agent, 'enrolled')).toHaveLength(1);
  await agent.stop();
  expect(haproxy.read('list.json')).toBe(list);

  // A new token, and it is the same proxy with the same HAProxy.
  await using _again = startAgent(await newToken('edge-2'));
  await serves();
  expect((await proxy())?.id).toBe(id);
  expect(haproxy.masterPid).toBe(pid);
  expect((await load.stop()).failures).toEqual([]);
});

describe('a proxy that is gone for good', () => {
  const refusal = (code: Status, reason: string) =>
    expect.objectContaining({ code, reason }) as object;

  test('is listed as away until it is removed, which is an action', async () => {
    const token = await start(3_600);
    const remove = (name: string, more = {}) =>
      client.control.removeProxy({ proxy: name, options: more });
    const agent = startAgent(token);
    await serves();
    const { id = '', name = '' } = (await proxy()) ?? {};
    await expect(remove(name)).rejects.toEqual(
      refusal(Status.FAILED_PRECONDITION, 'PROXY_CONNECTED'),
    );
    await expect(remove('nobody')).rejects.toEqual(refusal(Status.NOT_FOUND, 'PROXY_NOT_FOUND'));
    await expect(remove('')).rejects.toEqual(refusal(Status.INVALID_ARGUMENT, 'INVALID_REQUEST'));
    await agent.stop();
    await eventually(async () => {
      expect(await proxy()).toMatchObject({ id, connected: false });
    });

    const dry = await remove(name, { dryRun: true });
    expect(dry).toMatchObject({ proxy: { id }, action: undefined });
    expect(await proxy()).toBeDefined();
    const requestId = 'once';
    const { action } = await remove(id, { requestId });
    expect(action).toMatchObject({ method: 'RemoveProxy', targetKind: 'proxy', targetName: name });
    expect(await proxy()).toBeUndefined();
    expect((await remove(id, { requestId })).action?.id).toBe(action?.id);
    const { events } = await client.control.listEvents({ types: ['proxy.removed'] });
    expect(events).toMatchObject([{ objectId: id, objectName: name, actionId: action?.id }]);

    await using _again = startAgent(token);
    await serves();
    expect(await proxy()).toMatchObject({ id, connected: true });

    // A coordinator that restarts waits for it.
    await coordinator[Symbol.asyncDispose]();
    using store = new Store(`${directory.join('coordinator')}/fairlead.db`, { clock: systemClock });
    expect(store.tokenNamed('edge')?.hosts).toMatchObject([{ id }]);
  });
});

test('a proxy that is started with a bad token says what is wrong with it, and HAProxy serves on', async () => {
  const token = await start(3_600);
  {
    await using agent = startAgent(token);
    await serves();
    await eventually(() => {
      expect(haproxy.read('list.json')).not.toBe('');
    }, patience);
    await agent.stop();
  }
  const pid = haproxy.masterPid;
  const list = JSON.parse(haproxy.read('list.json')) as object;
  const at = 'flt_0123456789abcdef_'.length;
  const tampered = token.slice(0, at) + (token[at] === 'A' ? 'B' : 'A') + token.slice(at + 1);
  const viewer = await client.control.createToken({ name: 'looker', role: Role.VIEWER });
  const cases = [
    [tampered, 'session refused', 'the token is not valid'],
    [viewer.secret, 'session refused', 'may not call Enrol'],
    [testAuthority.token('edge'), 'no session with the coordinator', 'Nothing was told to it'],
    [token.slice(0, -1), 'no session with the coordinator', 'the token is not whole'],
  ] as const;
  for (const [bad, message, words] of cases) {
    await using agent = startAgent(bad);
    await eventually(() => {
      const [line] = logged(agent, message);
      expect(line?.['reason']).toContain(words);
    }, patience);
  }
  expect((await get(port, ping)).status).toBe(200);
  expect(haproxy.masterPid).toBe(pid);
  // Written anew at each start, which may order it otherwise.
  expect(JSON.parse(haproxy.read('list.json'))).toEqual(list);
  await using _again = startAgent(token);
  await serves();
});

test('a proxy goes no further than the end of its token', async () => {
  await start(3_600);
  await using agent = startAgent(await newToken('short', 4));
  await serves();
  await eventually(async () => {
    expect((await proxy())?.connected).toBe(false);
  }, patience);
  await eventually(() => {
    expect(logged(agent, 'session refused').length).toBeGreaterThan(0);
  }, patience);
  expect((await get(port, ping)).status).toBe(200);
});

describe('a damaged file of a proxy', () => {
  beforeEach(async () => {
    // What is to be trusted is written down with the first renewal.
    const token = await start(6);
    await using agent = startAgent(token);
    await serves();
    await eventually(() => {
      expect(haproxy.read('trust.json')).not.toBe('');
      expect(haproxy.read('list.json')).not.toBe('');
    }, patience);
    await agent.stop();
    await client.control.revokeToken({ token: 'edge' });
  });

  test.each([0, 10])('that says who it is, cut to %i bytes, is refused by name', async (bytes) => {
    truncateSync(`${haproxy.path}/proxy-id`, bytes);
    const left = haproxy.read('proxy-id');
    await using agent = startAgent(await newToken('again'));
    await expect(agent.ended).rejects.toMatchObject({
      reason: 'STATE_FILE_UNREADABLE',
      message: expect.stringContaining(`${haproxy.path}/proxy-id cannot be read`) as string,
    });
    expect(haproxy.read('proxy-id')).toBe(left);
    expect((await get(port, ping)).status).toBe(200);
  });

  test.each([
    [
      'list.json',
      (path: string) => {
        truncateSync(path, 40);
      },
    ],
    [
      'list.json',
      (path: string) => {
        writeFileSync(path, '{"format":1}');
      },
    ],
    [
      'trust.json',
      (path: string) => {
        truncateSync(path, 40);
      },
    ],
    [
      'trust.json',
      (path: string) => {
        writeFileSync(path, '[]');
      },
    ],
  ] as const)('%s is named and had anew from the coordinator (%#)', async (name, damage) => {
    const id = haproxy.read('proxy-id').trim();
    damage(`${haproxy.path}/${name}`);
    const damaged = haproxy.read(name);
    await using agent = startAgent(await newToken('again'));
    await serves();
    // The list may come from the coordinator before the file is looked at.
    const named = logged(agent, 'a file of the state directory cannot be used');
    if (name === 'trust.json') expect(named).toHaveLength(1);
    for (const { file } of named) expect(file).toBe(`${haproxy.path}/${name}`);
    expect((await proxy())?.id).toBe(id);
    await eventually(() => {
      expect(haproxy.read(name)).not.toBe(damaged);
    }, patience);
  });
});
