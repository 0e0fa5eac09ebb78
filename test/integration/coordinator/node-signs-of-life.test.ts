import { expect, test } from 'vitest';
import { NodeState } from '../../../client/index.ts';
import { SimulatedNode } from '../../bench/support/simulated-node.ts';
import { eventually } from '../../support/eventually.ts';
import { Installation } from '../../support/installation.ts';
import { FaultyLink } from '../../support/lab/faulty-link.ts';

const never = new AbortController().signal;

test('a node with nothing to say lives by the pings of its connection, and not without them', async () => {
  await using installation = await Installation.start();
  const { coordinator, client } = installation;
  const target = { host: '127.0.0.1', port: coordinator.port };
  await using link = await FaultyLink.start({ target }, never);
  const options = {
    coordinator: `${link.host}:${link.port}`,
    joinToken: await installation.joinToken(),
    ...{ name: 'quiet', tags: [], address: '127.0.0.1', port: 9 },
  };
  await using _node = await SimulatedNode.start(options, never);
  const node = async () => (await client.control.getNode({ node: 'quiet' })).node;
  const attached = () => coordinator.log().split('"node attached"').length - 1;
  await eventually(async () => {
    expect((await node())?.state).toBe(NodeState.READY);
  });
  const seenAt = async () => Number((await node())?.lastSeenAt);
  const first = await seenAt();
  // Longer than the lease, and in one session.
  await eventually(async () => {
    expect(await seenAt()).toBeGreaterThan(first + 4_000);
  });
  expect(attached()).toBe(1);
  link.cut();
  await eventually(async () => {
    expect((await node())?.state).toBe(NodeState.UNREACHABLE);
  });
  await link.heal();
  await eventually(async () => {
    expect((await node())?.state).toBe(NodeState.READY);
  });
  expect(attached()).toBe(2);
});
