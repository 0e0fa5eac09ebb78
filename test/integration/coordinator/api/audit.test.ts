import { readFile } from 'node:fs/promises';
import type { Channel } from 'nice-grpc';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ActionState, connect, Role, type FairleadClient } from '../../../../client/index.ts';
import { contractRegistry } from '../../../../coordinator/api/contract.ts';
import { Store } from '../../../../coordinator/store/store.ts';
import { systemClock } from '../../../../shared/clock.ts';
import { AgentServiceDefinition } from '../../../../shared/gen/fairlead/v1/agent_service.ts';
import { Availability } from '../../../../shared/gen/fairlead/v1/node.ts';
import { ProxyServiceDefinition } from '../../../../shared/gen/fairlead/v1/proxy_service.ts';
import { authorizedClients, openChannel } from '../../../../shared/rpc/client.ts';
import { makePrivateKey, signingRequest } from '../../../../shared/rpc/signing-request.ts';
import { trustOf } from '../../../../shared/rpc/trust.ts';
import { MethodOptions_IdempotencyLevel } from '@bufbuild/protobuf/wkt';
import { aContainer, aNode, aRollout, aService, aSpec, nodeId } from '../../../support/builders.ts';
import { CoordinatorInProcess } from '../../../support/coordinator-in-process.ts';
import { SiteAuthority } from '../../../support/site-certificates.ts';
import { TemporaryDirectory } from '../../../support/temporary-directory.ts';
import { layOutPackages } from '../../upgrade/launched-agent.ts';

const site = await (await SiteAuthority.make()).site('www.example.com');
const directory = new TemporaryDirectory();
const stateDir = directory.join('state');
let coordinator: CoordinatorInProcess;
let admin: FairleadClient;
let ann: FairleadClient;
let viewer: FairleadClient;
let ofWeb: FairleadClient;

async function clientOf(name: string, token: { role: Role; services?: string[] }) {
  const { secret } = await admin.control.createToken({ name, ...token });
  return await connect({ address: coordinator.address, token: secret });
}

beforeAll(async () => {
  // It makes its keys before it knows anybody.
  await (await CoordinatorInProcess.start(stateDir))[Symbol.asyncDispose]();
  {
    using store = new Store(`${stateDir}/fairlead.db`, { clock: systemClock });
    store.transact((tx) => {
      tx.services.put(aService({ spec: aSpec({ replicas: 3 }) }));
      tx.services.put(aService({ name: 'other' }));
      // With no container, none of its canaries is missing.
      const tried = { revision: 2, base: { revision: 1, alike: [] }, spec: aSpec({ replicas: 0 }) };
      tx.services.put(aService({ name: 'tried', ...tried, rollout: aRollout({ canaries: 1 }) }));
      tx.nodes.put(aNode());
      tx.nodes.put(aNode({ name: 'node-2' }));
      for (const slot of [1, 2, 3])
        tx.containers.put(aContainer({ slot, nodeId: nodeId('node-1') }));
    });
  }
  const packagesDir = directory.join('packages');
  layOutPackages(packagesDir, { version: '9.9.9', content: 'an agent' });
  coordinator = await CoordinatorInProcess.start(stateDir, { packagesDir });
  const token = (await readFile(`${stateDir}/admin.token`, 'utf8')).trim();
  admin = await connect({ address: coordinator.address, token });
  ann = await clientOf('ann', { role: Role.ADMIN });
  viewer = await clientOf('ci-viewer', { role: Role.VIEWER });
  ofWeb = await clientOf('of-web', { role: Role.OPERATOR, services: ['web'] });
});

afterAll(async () => {
  for (const client of [admin, ann, viewer, ofWeb]) await client[Symbol.asyncDispose]();
  await coordinator[Symbol.asyncDispose]();
  await directory[Symbol.asyncDispose]();
});

const spec = { image: 'hello:1' };

/** Every change that the API offers, in an order in which each can be made, and what it is made to. */
const changes: Readonly<
  Record<string, readonly [target: string, (c: FairleadClient) => Promise<object>]>
> = {
  CreateService: ['service new', ({ control }) => control.createService({ name: 'new', spec })],
  UpdateService: [
    'service new',
    ({ control }) =>
      control.updateService({ service: 'new', spec: { image: 'hello:2' }, updateMask: ['image'] }),
  ],
  ScaleService: [
    'service new',
    ({ control }) => control.scaleService({ service: 'new', replicas: 2 }),
  ],
  StartService: ['service new', ({ control }) => control.startService({ service: 'new' })],
  RedeployService: ['service new', ({ control }) => control.redeployService({ service: 'new' })],
  PauseService: ['service new', ({ control }) => control.pauseService({ service: 'new' })],
  ResumeService: ['service new', ({ control }) => control.resumeService({ service: 'new' })],
  PromoteService: ['service tried', ({ control }) => control.promoteService({ service: 'tried' })],
  RollbackService: [
    'service new',
    ({ control }) => control.rollbackService({ service: 'new', revision: 1 }),
  ],
  CancelAction: [
    'service new',
    async ({ control }) => {
      const { action } = await control.scaleService({ service: 'new', replicas: 5 });
      return await control.cancelAction({ action: action?.id ?? '' });
    },
  ],
  StopService: ['service new', ({ control }) => control.stopService({ service: 'new' })],
  AddLink: [
    'service new',
    ({ control }) => control.addLink({ service: 'new', link: { service: 'other', alias: 'o' } }),
  ],
  RemoveLink: ['service new', ({ control }) => control.removeLink({ service: 'new', alias: 'o' })],
  RebalanceServices: [
    'service new',
    ({ control }) => control.rebalanceServices({ services: ['new'] }),
  ],
  RemoveService: ['service new', ({ control }) => control.removeService({ service: 'new' })],
  RedeployContainer: [
    'container web-1',
    ({ control }) => control.redeployContainer({ container: 'web-1' }),
  ],
  StopContainer: [
    'container web-2',
    ({ control }) => control.stopContainer({ container: 'web-2' }),
  ],
  StartContainer: [
    'container web-2',
    ({ control }) => control.startContainer({ container: 'web-2' }),
  ],
  RemoveContainer: [
    'container web-3',
    ({ control }) => control.removeContainer({ container: 'web-3' }),
  ],
  UpdateNode: [
    'node node-1',
    ({ control }) =>
      control.updateNode({
        node: 'node-1',
        availability: Availability.PAUSED,
        updateMask: ['availability'],
      }),
  ],
  DrainNode: ['node node-2', ({ control }) => control.drainNode({ node: 'node-2', force: true })],
  UpgradeNodes: ['fleet 2 nodes', ({ control }) => control.upgradeNodes({})],
  RemoveNode: ['node node-2', ({ control }) => control.removeNode({ node: 'node-2' })],
  CreateNodeCluster: [
    'node-cluster edge',
    ({ control }) => control.createNodeCluster({ name: 'edge', targetNodes: 4 }),
  ],
  UpdateNodeCluster: [
    'node-cluster edge',
    ({ control }) =>
      control.updateNodeCluster({ nodeCluster: 'edge', tags: ['eu'], updateMask: ['tags'] }),
  ],
  PutCertificate: [
    'certificate site',
    ({ control }) =>
      control.putCertificate({ name: 'site', chainPem: site.chain, privateKeyPem: site.key }),
  ],
  RemoveCertificate: [
    'certificate site',
    ({ control }) => control.removeCertificate({ certificate: 'site' }),
  ],
  RemoveNodeCluster: [
    'node-cluster edge',
    ({ control }) => control.removeNodeCluster({ nodeCluster: 'edge' }),
  ],
  CreateToken: [
    'token made',
    ({ control }) => control.createToken({ name: 'made', role: Role.VIEWER }),
  ],
  RevokeToken: ['token made', ({ control }) => control.revokeToken({ token: 'made' })],
  RotateAuthority: ['authority authority', ({ control }) => control.rotateAuthority({})],
  FinishRotation: [
    'authority authority',
    // The node that is left never connected: nobody can know what certificate it has.
    ({ control }) => control.finishRotation({ force: true }),
  ],
};

/** What takes an engine, or a proxy, to do; `backup.test.ts` and `proxy-identity.test.ts` do it. */
const elsewhere = ['AdoptOrphan', 'DiscardOrphan', 'RemoveProxy'];

test('this test makes every change that the API has', () => {
  const service = contractRegistry().getService('fairlead.v1.ControlService');
  const methods = service?.methods.filter(
    ({ methodKind, idempotency }) =>
      methodKind === 'unary' && idempotency !== MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS,
  );
  expect([...Object.keys(changes), ...elsewhere].sort()).toEqual(
    methods?.map(({ name }) => name).sort(),
  );
});

describe('A9: a change is an action that says who, from where, what and how it went', () => {
  test.each(Object.entries(changes))('%s', async (method, [target, change]) => {
    await change(ann);
    const { actions } = await admin.control.listActions({ limit: 1 });
    const [action] = actions;
    expect(`${action?.targetKind} ${action?.targetName}`).toBe(target);
    expect(action).toMatchObject({ method, principal: 'ann' });
    expect(action?.peer).toMatch(/^127\.0\.0\.1:\d+$/);
    expect(action?.state).toBeGreaterThan(0);
    const { events } = await admin.control.listEvents({ limit: 1_000 });
    expect(events.filter(({ actionId }) => actionId === action?.id)[0]?.message).toContain('ann');
    const [line = '{}'] = coordinator
      .log()
      .split('\n')
      .filter((text) => text.includes(`"action":"${action?.id ?? ''}"`));
    expect(JSON.parse(line)).toMatchObject({ method, target, principal: 'ann' });
  });
});

describe('who comes in is an action too', () => {
  const tls = { clock: systemClock, timeoutMs: 5_000 };
  const never = new AbortController().signal;

  async function withToken<T>(
    token: string,
    ask: (channel: Channel, clients: ReturnType<typeof authorizedClients>) => Promise<T>,
  ): Promise<T> {
    const where = { address: coordinator.address, trust: trustOf(token) };
    const channel = await openChannel(where, tls, never);
    try {
      return await ask(channel, authorizedClients(token));
    } finally {
      channel.close();
    }
  }

  const request = () => ({ signingRequestPem: signingRequest(makePrivateKey()) });
  const actionsOf = async (wanted: string) =>
    (await admin.control.listActions({})).actions.filter(({ method }) => method === wanted);
  const messagesOf = async (wanted: string) =>
    (await admin.control.listEvents({ limit: 1_000 })).events.filter(({ type }) => type === wanted);

  test('a host that joins, once; one that is refused is an event', async () => {
    const wish = { name: 'joiner', role: Role.NODE, maxUses: 1 };
    const { secret } = await admin.control.createToken(wish);
    const join = (name: string, more = request()) =>
      withToken(secret, (channel, clients) =>
        clients.create(AgentServiceDefinition, channel).join({ name, tags: [], ...more }),
      );
    const same = request();
    const { nodeId: id } = await join('host-9', same);
    // Its answer was lost.
    await join('host-9', same);
    const actions = await actionsOf('Join');
    expect(actions).toMatchObject([
      {
        ...{ targetKind: 'node', targetId: id, targetName: 'host-9', principal: 'joiner' },
        state: ActionState.SUCCEEDED,
        peer: expect.stringMatching(/^127\.0\.0\.1:\d+$/) as string,
      },
    ]);
    expect(await messagesOf('node.joined')).toMatchObject([{ actionId: actions[0]?.id }]);

    await expect(join('host-10')).rejects.toThrow('is used up');
    expect(await actionsOf('Join')).toHaveLength(1);
    const refused = await messagesOf('access.refused');
    expect(refused.at(-1)).toMatchObject({
      objectName: 'joiner',
      message: expect.stringMatching(/^Join from 127\.0\.0\.1:\d+: .*is used up/) as string,
    });
  });

  test('a proxy that enrols, though not each time that it is started over and over', async () => {
    const wish = { name: 'edge-proxy', role: Role.PROXY, services: ['web'] };
    const { secret } = await admin.control.createToken(wish);
    for (let i = 0; i < 3; i++) {
      await withToken(secret, (channel, clients) =>
        clients.create(ProxyServiceDefinition, channel).enrol(request()),
      );
    }
    const actions = await actionsOf('Enrol');
    expect(actions).toMatchObject([
      { targetKind: 'token', targetName: 'edge-proxy', principal: 'edge-proxy' },
    ]);
    expect(await messagesOf('proxy.enrolled')).toMatchObject([{ actionId: actions[0]?.id }]);
  });
});

test('what was refused for want of rights is an event, once a minute for each caller', async () => {
  for (let i = 0; i < 5; i++) {
    await expect(viewer.control.scaleService({ service: 'web', replicas: 9 })).rejects.toThrow();
  }
  await expect(ofWeb.control.stopService({ service: 'other' })).rejects.toThrow();
  // Looking is no change.
  await expect(viewer.control.listTokens({})).rejects.toThrow();

  const { events } = await admin.control.listEvents({ limit: 1_000 });
  const refused = events.filter(
    ({ type, objectName }) => type === 'access.refused' && objectName !== 'joiner',
  );
  expect(refused.map(({ objectName }) => objectName)).toEqual(['ci-viewer', 'of-web']);
  expect(refused[0]?.message).toMatch(
    /^ScaleService from 127\.0\.0\.1:\d+: token "ci-viewer" of the role viewer may not call ScaleService/,
  );
  expect(refused[1]?.message).toContain('does not reach the service other');
  expect(coordinator.log()).toMatch(
    /ScaleService","code":"PERMISSION_DENIED".*"peer":"127\.0\.0\.1:/,
  );
});
