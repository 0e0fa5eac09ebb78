import { afterEach, beforeEach, expect, test } from 'vitest';
import type { FairleadClient } from '../../../client/index.ts';
import { eventually } from '../../support/eventually.ts';
import { Installation } from '../../support/installation.ts';
import { assignmentIn, joinOld } from '../../support/old-node.ts';

// What somebody can do who has stolen a node's certificate: lie about that node, and no more.

let installation: Installation;
let control: FairleadClient['control'];

beforeEach(async () => {
  installation = await Installation.start();
  ({ control } = installation.client);
});

afterEach(async () => {
  await installation[Symbol.asyncDispose]();
});

test('a node whose address nobody could dial is refused, and told what to do', async () => {
  using node = await joinOld(installation, { advertiseAddress: '127.0.0.1 evil' });
  await eventually(() => {
    expect(node.session.error?.message).toContain(
      'hello.advertise_address must be an IP address, and is "127.0.0.1 evil"; the agent\'s --advertise-address names one',
    );
  });
});

test('what it says of itself has an end', async () => {
  const long = 'x'.repeat(100_000);
  const description = { hostname: long, os: 'linux', architecture: 'amd64', engineVersion: long };
  const engine = { reachable: false, message: long };
  using node = await joinOld(installation, { publicAddress: long, description, engine });
  await node.session.first('welcome');
  const { node: seen } = await control.getNode({ node: 'old' });
  expect(seen?.message).toContain('xxx');
  expect(JSON.stringify(seen).length).toBeLessThan(4_000);
});

test('ports that cannot be are left out of what others are told', async () => {
  using node = await joinOld(installation);
  await node.session.first('welcome');
  const ports = [{ containerPort: 80, published: true }];
  const spec = { image: 'web:1', replicas: 1, ports };
  await control.createService({ name: 'web', spec, start: true });
  const { containerId } = await assignmentIn(node.session, 'WANTED_PHASE_RUNNING');
  const port = { containerPort: 80, protocol: 'PORT_PROTOCOL_TCP', published: true };
  const status = {
    ...{ containerId, phase: 'CONTAINER_PHASE_RUNNING', readiness: 'READINESS_STATE_READY' },
    ...{ engineId: 'e'.repeat(100_000), message: 'm'.repeat(100_000) },
    ports: [
      { ...port, hostAddress: '127.0.0.1;\ndisable server', hostPort: 80 },
      { ...port, hostAddress: '127.0.0.1', hostPort: 4_000_000_000 },
      { ...port, hostAddress: '127.0.0.1', hostPort: 8080 },
    ],
  };
  node.session.send({ report: { sequence: '2', containers: [status] } });
  await eventually(async () => {
    const { endpoints } = await control.listEndpoints({});
    expect(endpoints.map(({ url }) => url)).toEqual(['http://127.0.0.1:8080']);
  });
  const { container } = await control.getContainer({ container: containerId });
  expect(container).toMatchObject({ engineId: 'e'.repeat(255), message: 'm'.repeat(1_000) });
});
