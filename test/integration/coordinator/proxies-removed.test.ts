import { afterAll, afterEach, beforeEach, expect, test } from 'vitest';
import { ApiRole, Role, type FairleadClient } from '../../../client/index.ts';
import { eventually } from '../../support/eventually.ts';
import type { OldAgent, OldStream } from '../../support/first-contract.ts';
import { Installation } from '../../support/installation.ts';
import { assignmentIn, joinOld } from '../../support/old-node.ts';
import { enrolOldProxy } from '../../support/old-proxy.ts';
import { environmentOf, removeBuild, runCli, type CliResult } from '../client/cli-process.ts';

// Proxies that are gone for good are forgotten by the command line.

let installation: Installation;
let control: FairleadClient['control'];

beforeEach(async () => {
  installation = await Installation.start();
  ({ control } = installation.client);
});

afterEach(async () => {
  await installation[Symbol.asyncDispose]();
});

afterAll(removeBuild);

async function remove(...args: readonly string[]): Promise<CliResult> {
  const env = environmentOf(installation.coordinator, installation.adminToken);
  return await runCli(['lb', 'rm', ...args], { env });
}

async function open(agent: OldAgent, hello: object): Promise<OldStream> {
  const session = agent.open('ProxySession');
  session.send({ hello: { protocolVersion: 1, ...hello } });
  await session.first('welcome');
  return session;
}

/** Each proxy's id, and whether it is connected. */
async function listed(): Promise<Record<string, boolean>> {
  const { proxies } = await control.listProxies({});
  return Object.fromEntries(proxies.map(({ id, connected }) => [id, connected]));
}

test('of proxies with one name one is named by its id', async () => {
  await control.createService({ name: 'lb', spec: { image: 'lb:1', apiRole: ApiRole.PROXY } });
  const wish = { name: 'edge', role: Role.PROXY, services: ['lb'] };
  using agent = await enrolOldProxy(installation, (await control.createToken(wish)).secret);
  const sessions: OldStream[] = [];
  for (const proxyId of ['edge-1', 'edge-2']) {
    sessions.push(await open(agent, { proxyId, name: 'edge', service: 'lb' }));
  }
  expect(await listed()).toEqual({ 'edge-1': true, 'edge-2': true });

  const shared = await remove('edge');
  expect(shared.status).not.toBe(0);
  expect(shared.stderr).toContain(
    '2 proxies are called "edge": say which by its id, one of edge-1, edge-2',
  );
  const serving = await remove('edge-1');
  expect(serving.status).not.toBe(0);
  expect(serving.stderr).toContain('edge is connected; stop its agent, or revoke its token, first');

  for (const session of sessions) session[Symbol.dispose]();
  await eventually(async () => {
    expect(await listed()).toEqual({ 'edge-1': false, 'edge-2': false });
  });
  expect(await remove('edge-2')).toMatchObject({ status: 0, stderr: '' });
  expect(await listed()).toEqual({ 'edge-1': false });
  const again = await remove('edge-2');
  expect(again.status).not.toBe(0);
  expect(again.stderr).toContain('no proxy is called "edge-2" or has that id');
  expect(await remove('edge')).toMatchObject({ status: 0, stderr: '' });
  expect(await listed()).toEqual({});
});

test('the proxy of a container is not forgotten while there is the container', async () => {
  using node = await joinOld(installation);
  await node.session.first('welcome');
  const spec = { image: 'lb:1', apiRole: ApiRole.PROXY };
  await control.createService({ name: 'lb', spec, start: true });
  const { containerId, definition } = await assignmentIn(node.session, 'WANTED_PHASE_RUNNING');
  const { FAIRLEAD_AUTH = '' } = definition?.['environment'] as Record<string, string>;
  using agent = await enrolOldProxy(installation, FAIRLEAD_AUTH.replace(/^Bearer /, ''));
  const session = await open(agent, { proxyId: containerId, name: 'lb-1', service: 'lb' });
  session[Symbol.dispose]();
  await eventually(async () => {
    expect(await listed()).toEqual({ [containerId]: false });
  });
  const refused = await remove('lb-1');
  expect(refused.status).not.toBe(0);
  expect(refused.stderr).toContain(
    'lb-1 is the proxy of a container, and goes with it; remove that, or scale its service',
  );
  expect(await listed()).toEqual({ [containerId]: false });
});
