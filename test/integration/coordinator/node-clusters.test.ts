import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import {
  NodeClusterState,
  NodeState,
  PlacementStrategy,
  PlanStepKind,
  Status,
  type CreateNodeClusterRequest,
  type FairleadClient,
  type Node,
  type NodeCluster,
} from '../../../client/index.ts';
import { eventually } from '../../support/eventually.ts';
import { Installation } from '../../support/installation.ts';

let installation: Installation;
let client: FairleadClient;
let count = 0;
/** A name that no other test here has. */
let name: string;

beforeAll(async () => {
  installation = await Installation.start();
  ({ client } = installation);
});

afterAll(async () => {
  await installation[Symbol.asyncDispose]();
});

beforeEach(() => {
  name = `edge-${++count}`;
});

async function create(wish: Partial<CreateNodeClusterRequest> = {}): Promise<NodeCluster> {
  const { nodeCluster } = await client.control.createNodeCluster({ name, ...wish });
  return nodeCluster!;
}

async function clusterNow(): Promise<NodeCluster> {
  return (await client.control.getNodeCluster({ nodeCluster: name })).nodeCluster!;
}

async function nodeCalled(node: string): Promise<Node> {
  return (await client.control.getNode({ node })).node!;
}

const refusal = (status: Status, reason: string, message: string) =>
  expect.objectContaining({
    code: status,
    reason,
    message: expect.stringContaining(message) as string,
  }) as Error;

test('a node that was removed is listed on request, with who removed it', async () => {
  const token = await installation.joinToken({ name: `for-${name}` });
  await installation.join(token, `${name}-a`);
  const { id } = await nodeCalled(`${name}-a`);
  await client.control.removeNode({ node: id });
  const list = async (request: { tags?: string[]; removed?: boolean }) =>
    (await client.control.listNodes(request)).nodes.filter((node) => node.id === id);
  expect(await list({})).toEqual([]);
  expect(await list({ tags: ['ssd'], removed: true }), 'it has no tags').toEqual([]);
  expect(await list({ removed: true })).toMatchObject([
    {
      name: `${name}-a`,
      state: NodeState.REMOVED,
      message: expect.stringMatching(/^removed by admin at 20\d\d-.*Z$/) as string,
    },
  ]);
  await installation.join(token, `${name}-a`);
  const again = (await client.control.listNodes({ removed: true })).nodes;
  expect(again.filter((node) => node.name === `${name}-a`)).toHaveLength(2);
});

test('a cluster waits for its hosts, which join with its token until that is used up', async () => {
  expect(await create({ targetNodes: 2, tags: ['web'] })).toMatchObject({
    state: NodeClusterState.EMPTY,
    message: 'waiting for 2 more hosts',
    currentNodes: 0,
    targetNodes: 2,
  });
  const token = await installation.joinToken({ name: `for-${name}`, cluster: name, maxUses: 2 });
  await installation.join(token, `${name}-a`, ['ssd']);
  expect(await clusterNow()).toMatchObject({
    state: NodeClusterState.WAITING,
    message: 'waiting for 1 more host',
    currentNodes: 1,
    readyNodes: 0,
  });
  await installation.join(token, `${name}-b`);
  expect(await clusterNow()).toMatchObject({
    state: NodeClusterState.COMPLETE,
    message: '',
    currentNodes: 2,
  });
  expect(await nodeCalled(`${name}-a`)).toMatchObject({
    state: NodeState.JOINING,
    cluster: name,
    tags: ['ssd'],
    clusterTags: ['web'],
    automaticTags: [`cluster=${name}`],
  });
  await expect(installation.join(token, `${name}-c`)).rejects.toThrow(
    `the token "for-${name}" is used up: all 2 nodes that it was made for joined before`,
  );
  const { tokens } = await client.control.listTokens({});
  expect(tokens.find((each) => each.name === `for-${name}`)).toMatchObject({ uses: 2, maxUses: 2 });
});

test('of many hosts that join at once with a token for one, one joins', async () => {
  const token = await installation.joinToken({ maxUses: 1 });
  const joins = Array.from({ length: 8 }, (_, index) =>
    installation.join(token, `${name}-${index}`),
  );
  const outcomes = await Promise.allSettled(joins);
  expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
});

test('a host that is refused uses nothing up', async () => {
  const token = await installation.joinToken({ maxUses: 1, tags: ['web'] });
  await expect(installation.join(token, name, ['db'])).rejects.toThrow('may not give the tags db');
  await expect(installation.join(token, name, ['hostname=x'])).rejects.toThrow(
    'nodes have such tags by themselves',
  );
  await installation.join(token, name, ['web']);
});

test('tags of a cluster hold for those in it and those that join later, and are asked for alike', async () => {
  await create();
  const token = await installation.joinToken({ cluster: name });
  await installation.join(token, `${name}-a`, ['own']);
  const cluster = await clusterNow();
  const options = { version: cluster.version };
  const change = { nodeCluster: name, updateMask: ['tags'], options };
  const { nodeCluster } = await client.control.updateNodeCluster({ ...change, tags: [name] });
  expect(nodeCluster).toMatchObject({ tags: [name], version: cluster.version + 1 });
  await installation.join(token, `${name}-b`);
  const namesWith = async (...tags: string[]) =>
    (await client.control.listNodes({ tags })).nodes.map((node) => node.name);
  expect(await namesWith(name)).toEqual([`${name}-a`, `${name}-b`]);
  expect(await namesWith(`cluster=${name}`, 'own')).toEqual([`${name}-a`]);
  await expect(client.control.updateNodeCluster({ ...change, tags: [] })).rejects.toThrow(
    refusal(Status.ABORTED, 'VERSION_MISMATCH', 'read it again'),
  );
  await client.control.updateNode({
    node: `${name}-a`,
    tags: [],
    updateMask: ['tags', 'cluster'],
  });
  expect(await nodeCalled(`${name}-a`)).toMatchObject({ cluster: '', tags: [], clusterTags: [] });
  expect(await namesWith(name)).toEqual([`${name}-b`]);
});

test('a dry run of other tags says which containers would come and go', async () => {
  await create();
  const token = await installation.joinToken({ cluster: name });
  await installation.join(token, `${name}-a`);
  const service = `${name}-every`;
  const { action } = await client.control.createService({
    name: service,
    spec: { image: 'any:1', strategy: PlacementStrategy.EVERY_NODE, tags: [name] },
    start: true,
  });
  expect(action).toBeDefined();
  const change = { nodeCluster: name, updateMask: ['tags'] };
  const dry = await client.control.updateNodeCluster({
    ...{ ...change, tags: [name], options: { dryRun: true } },
  });
  expect(dry.action).toBeUndefined();
  expect(dry.plan?.steps).toEqual([
    expect.objectContaining({ kind: PlanStepKind.UNPLACEABLE, container: `${service}-1` }),
  ]);
  expect((await clusterNow()).tags).toEqual([]);
  await client.control.updateNodeCluster({ ...change, tags: [name] });
  await eventually(async () => {
    const { containers } = await client.control.listContainers({ services: [service] });
    expect(containers).toHaveLength(1);
  });
  const without = await client.control.updateNodeCluster({
    ...{ ...change, tags: [], options: { dryRun: true } },
  });
  expect(without.plan?.steps).toEqual([
    expect.objectContaining({ kind: PlanStepKind.REMOVE, container: `${service}-1` }),
  ]);
  await client.control.removeService({ service });
});

test('a cluster with members is not removed; without, its tokens go with it', async () => {
  await create({ targetNodes: 1 });
  const tokenName = `for-${name}`;
  const token = await installation.joinToken({ name: tokenName, cluster: name });
  await installation.join(token, `${name}-a`);
  await expect(client.control.removeNodeCluster({ nodeCluster: name })).rejects.toThrow(
    refusal(Status.FAILED_PRECONDITION, 'NODE_CLUSTER_HAS_NODES', `has members: ${name}-a`),
  );
  await client.control.removeNode({ node: `${name}-a` });
  const options = { requestId: name };
  const first = await client.control.removeNodeCluster({ nodeCluster: name, options });
  const again = await client.control.removeNodeCluster({ nodeCluster: name, options });
  expect(again.action?.id).toBe(first.action?.id);
  await expect(installation.join(token, `${name}-b`)).rejects.toThrow('token');
  const { events } = await client.control.listEvents({ limit: 1_000 });
  const types = events.filter((event) => [name, tokenName].includes(event.objectName));
  expect(types.map(({ type }) => type)).toEqual([
    'node-cluster.created',
    'token.created',
    'token.revoked',
    'node-cluster.removed',
  ]);
  await expect(client.control.getNodeCluster({ nodeCluster: name })).rejects.toThrow(
    refusal(Status.NOT_FOUND, 'NODE_CLUSTER_NOT_FOUND', name),
  );
});

test('a watch tells of every host that joins', async () => {
  await create({ targetNodes: 2 });
  const token = await installation.joinToken({ cluster: name });
  const stop = new AbortController();
  const seen: string[] = [];
  const watching = (async () => {
    for await (const { items } of client.watchNodeClusters({}, stop.signal)) {
      const cluster = [...items.values()].find((each) => each.name === name);
      if (cluster !== undefined) seen.push(`${cluster.currentNodes}/${cluster.targetNodes}`);
    }
  })();
  await eventually(() => {
    expect(seen).toEqual(['0/2']);
  });
  await installation.join(token, `${name}-a`);
  await eventually(() => {
    expect(seen.at(-1)).toBe('1/2');
  });
  stop.abort();
  await watching.catch(() => undefined);
});

test('what is wrong with a request is refused at the door', async () => {
  await create();
  await expect(create()).rejects.toThrow(
    refusal(Status.ALREADY_EXISTS, 'NODE_CLUSTER_NAME_TAKEN', name),
  );
  await expect(installation.joinToken({ cluster: 'nowhere' })).rejects.toThrow(
    refusal(Status.NOT_FOUND, 'NODE_CLUSTER_NOT_FOUND', 'fairlead cluster create'),
  );
  await expect(
    client.control.updateNode({ node: 'x', tags: ['os=linux'], updateMask: ['tags'] }),
  ).rejects.toThrow(refusal(Status.INVALID_ARGUMENT, 'INVALID_REQUEST', 'tags[0]'));
});
