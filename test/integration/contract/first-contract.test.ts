import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { PlacementStrategy, PortProtocol, Role, ApiRole } from '../../../client/index.ts';
import { WantedPhase } from '../../../shared/gen/fairlead/v1/agent_service.ts';
import { makePrivateKey, signingRequest } from '../../../shared/rpc/signing-request.ts';
import { eventually } from '../../support/eventually.ts';
import {
  OldAgent,
  OldCoordinator,
  unknownField,
  withUnknown,
} from '../../support/first-contract.ts';
import { Installation } from '../../support/installation.ts';
import { prepareImages } from '../../support/lab/images.ts';
import { Lab } from '../../support/lab/lab.ts';
import { describeWithLab } from '../../support/needs.ts';
import { assignmentIn, joinOld } from '../../support/old-node.ts';
import { TemporaryDirectory } from '../../support/temporary-directory.ts';
import { testAuthority } from '../../support/test-authority.ts';
import { AgentInProcess } from '../agent/node/agent-in-process.ts';
import { SessionInProcess } from '../agent/proxy/session-in-process.ts';

const { signal } = new AbortController();
const nodeId = '0'.repeat(31) + '1';
const containerId = 'c'.repeat(32);
const requestType = 'fairlead.v1.NodeSessionRequest';
const responseType = 'fairlead.v1.NodeSessionResponse';

const running = (id: string, sequence: number) => ({
  report: {
    sequence: String(sequence),
    containers: [
      {
        ...{
          containerId: id,
          phase: 'CONTAINER_PHASE_RUNNING',
          readiness: 'READINESS_STATE_READY',
        },
        engineId: 'e1',
        ports: [
          {
            ...{ containerPort: 80, protocol: 'PORT_PROTOCOL_TCP' },
            ...{ hostAddress: '127.0.0.1', hostPort: 32768, published: true },
          },
        ],
      },
    ],
  },
});

async function runWeb({ client }: Installation) {
  return await client.control.createService({
    name: 'web',
    spec: {
      ...{ image: 'web:1', replicas: 1, strategy: PlacementStrategy.EMPTIEST_NODE },
      ports: [{ containerPort: 80, protocol: PortProtocol.TCP, published: true }],
    },
    start: true,
  });
}

describe('agents of the first contract and a coordinator of today', () => {
  test('a node joins, runs what it is told, stops it, and renews its certificate', async () => {
    await using installation = await Installation.start();
    const { client } = installation;
    using node = await joinOld(installation);
    const welcome = await node.session.first('welcome');
    expect(welcome).toMatchObject({ leaseMs: 3_000, heartbeatMs: 1_000 });
    await node.session.first('assignments', ({ complete }) => complete === true);

    const { action } = await runWeb(installation);
    const start = await assignmentIn(node.session, 'WANTED_PHASE_RUNNING');
    expect(start.definition).toMatchObject({ name: 'web-1', image: 'web:1', service: 'web' });
    node.session.send(running(start.containerId, 2));
    await client.waitForAction(action!.id, { timeoutMs: 10_000 });

    await client.control.stopService({ service: 'web' });
    const stop = await assignmentIn(node.session, 'WANTED_PHASE_REMOVED');
    expect(stop.containerId).toBe(start.containerId);

    const next = { signingRequestPem: signingRequest(makePrivateKey()) };
    expect(await node.agent.call('RenewCertificate', next)).toHaveProperty('certificate');
    expect(node.session.error).toBeUndefined();
    // It does not know of upgrades, and nobody expects it to.
    const { node: shown } = await client.control.getNode({ node: 'old' });
    expect(shown).toMatchObject({ message: '', description: { agentVersion: '0.0.1' } });
  });

  test('a proxy is given the list, and its word on what is in effect is taken', async () => {
    await using installation = await Installation.start();
    const { client, coordinator } = installation;
    using node = await joinOld(installation);
    await node.session.first('welcome');
    await runWeb(installation);
    const { containerId: web } = await assignmentIn(node.session, 'WANTED_PHASE_RUNNING');
    node.session.send(running(web, 2));
    await client.control.createService({
      name: 'lb',
      spec: {
        ...{ image: 'lb:1', replicas: 1, apiRole: ApiRole.PROXY },
        links: [{ service: 'web', alias: 'web' }],
        ports: [{ containerPort: 80, hostPort: 80, protocol: PortProtocol.TCP, published: true }],
      },
    });
    const token = { name: 'edge', role: Role.PROXY, services: ['lb'] };
    const { secret } = await client.control.createToken(token);

    const { address, authorities: trustPem } = coordinator;
    using newcomer = new OldAgent('ProxyService', address, { trustPem });
    const privateKeyPem = makePrivateKey();
    const request = { signingRequestPem: signingRequest(privateKeyPem) };
    const enrolled = await newcomer.call('Enrol', request, secret);
    const { certificatePem } = enrolled['certificate'] as { readonly certificatePem: string };
    const certificate = { certificatePem, privateKeyPem };
    using agent = new OldAgent('ProxyService', address, { trustPem, certificate });
    using session = agent.open('ProxySession');
    session.send({
      hello: { protocolVersion: 1, proxyId: 'p1', name: 'edge-1', service: 'lb', status: {} },
    });
    await session.first('welcome');
    const snapshot = await session.first('snapshot');
    expect(snapshot).toMatchObject({
      frontends: [{ port: 80, mode: 'FRONTEND_MODE_HTTP' }],
      targets: [
        { address: '127.0.0.1', port: 32768, mode: 'TARGET_MODE_READY', container: 'web-1' },
      ],
    });
    const { epoch, version } = snapshot as { readonly epoch: string; readonly version: string };
    session.send({ applied: { epoch, version } });
    await eventually(async () => {
      const [proxy] = (await client.control.listProxies({})).proxies;
      expect(proxy).toMatchObject({ name: 'edge-1', appliedVersion: Number(version) });
    });
    expect(await agent.call('RenewProxyCertificate', request)).toHaveProperty('certificate');
  });
});

describe('what only a newer peer says', () => {
  test('is ignored by the coordinator, and the rest is taken', async () => {
    await using installation = await Installation.start();
    const { client } = installation;
    using node = await joinOld(installation, { verbs: ['travel-in-time'] });
    await node.session.first('welcome');
    node.session.send(unknownField);
    node.session.send(withUnknown(requestType, { heartbeat: {} }, unknownField));
    await runWeb(installation);
    const { containerId: web } = await assignmentIn(node.session, 'WANTED_PHASE_RUNNING');
    const report = running(web, 2).report;
    const odd = { ...report.containers[0]!, phase: 777, readiness: 888 };
    node.session.send({ report: { sequence: '2', containers: [odd] } });
    node.session.send(withUnknown(requestType, running(web, 3), unknownField));
    await eventually(async () => {
      const { container } = await client.control.getContainer({ container: 'web-1' });
      expect(container?.ready).toBe(true);
    });
    expect(node.session.error).toBeUndefined();
  });

  test.each([
    [
      2,
      'this coordinator (version 0.1.0) speaks protocol 1, and the agent (version 0.0.1) protocol 2; upgrade the coordinator',
    ],
    [
      0,
      'this coordinator (version 0.1.0) speaks protocol 1, and the agent (version 0.0.1) protocol 0; upgrade the agent',
    ],
  ])('of protocol %i is refused in words that name both', async (protocolVersion, words) => {
    await using installation = await Installation.start();
    using node = await joinOld(installation, { protocolVersion });
    await eventually(() => {
      expect(node.session.error?.message).toContain(words);
    });
    expect(node.session.received).toEqual([]);
  });

  test('is ignored by a proxy, and the rest is taken', async () => {
    await using coordinator = await OldCoordinator.start(`proxy/${'a'.repeat(16)}`);
    await using directory = new TemporaryDirectory();
    await using proxy = new SessionInProcess({
      ...{ coordinator: coordinator.address, token: testAuthority.token('proxy') },
      trustFile: directory.join('trust.json'),
    });
    const session = await coordinator.session();
    const target = {
      ...{ id: 'web-1.a.80', backend: 'web', address: '127.0.0.1', port: 1, container: 'web-1' },
      mode: 'TARGET_MODE_READY',
    };
    const list = {
      epoch: 'e',
      frontends: [{ name: 'f', port: 80, mode: 777, defaultBackend: 'web' }],
      backends: [{ name: 'web', mode: 'FRONTEND_MODE_HTTP' }],
    };
    session.send(unknownField);
    const snapshot = { snapshot: { ...list, version: '1', targets: [target] } };
    session.send(withUnknown('fairlead.v1.ProxySessionResponse', snapshot, unknownField));
    const later = { ...target, id: 'web-2.b.80', mode: 777 };
    session.send({ delta: { epoch: 'e', baseVersion: '1', version: '2', targets: [later] } });
    await eventually(() => {
      expect(proxy.list.version).toBe(2);
    });
    expect(await session.first('hello')).toMatchObject({ protocolVersion: 1, service: 'lb' });
    const whole = { structureVersion: 2, unreachedBackends: [] };
    proxy.outbox.setApplied({ epoch: 'e', version: 2, errors: new Map(), ...whole });
    expect(await session.first('applied')).toMatchObject({ epoch: 'e', version: '2' });
    expect(coordinator.sessions).toHaveLength(1);
  });
});

describeWithLab('an agent of today and a coordinator of the first contract', () => {
  const hello = 'fairlead-lab/hello:1';
  let lab: Lab;

  beforeAll(async () => {
    const images = await prepareImages({ hello }, signal);
    lab = await Lab.start({ hosts: 1, images, label: 'first contract' }, signal);
  });
  afterAll(() => lab[Symbol.asyncDispose]());

  test('it joins, runs what it is told, and passes over what it does not understand', async () => {
    await using directory = new TemporaryDirectory();
    await using coordinator = await OldCoordinator.start(`node/${nodeId}`);
    await using agent = new AgentInProcess({
      ...{ coordinator: coordinator.address, token: testAuthority.token('join'), name: 'host-1' },
      ...{ stateDir: directory.join('agent'), dockerSocket: lab.hosts[0]!.dockerSocket },
      advertiseAddress: '127.0.0.1',
    });
    const session = await coordinator.session();
    expect(await session.first('hello')).toMatchObject({ engine: { reachable: true } });
    const assignments = (sequence: number, wanted: string | number, id = containerId) => ({
      assignments: {
        ...{ sequence: String(sequence), complete: sequence === 1 },
        assignments: [{ containerId: id, wanted, definition }],
      },
    });
    session.send(assignments(1, 'WANTED_PHASE_RUNNING'));
    const seen = (phase: string) => (report: object) =>
      JSON.stringify(report).includes(`"containerId":"${containerId}","phase":"${phase}"`);
    await session.first('report', seen('CONTAINER_PHASE_RUNNING'));

    session.send(unknownField);
    session.send(assignments(2, 777));
    session.send(assignments(3, 777, 'd'.repeat(32)));
    const remove = assignments(4, WantedPhase.REMOVED);
    session.send(withUnknown(responseType, remove, unknownField));
    await session.first('report', seen('CONTAINER_PHASE_REMOVED'));
    expect(coordinator.sessions).toHaveLength(1);
    expect(agent.logged('session lost')).toEqual([]);
  });

  /** As a coordinator of then said it: no field that came later. */
  const definition = {
    ...{ name: 'web-1', service: 'web', serviceId: 'a'.repeat(32), slot: 1, revision: 1 },
    ...{ image: hello, hostname: 'web-1', stopGraceMs: 1_000 },
    environment: { COLOUR: 'green' },
    restart: 'RESTART_POLICY_ALWAYS',
    readiness: { none: {} },
  };
});
