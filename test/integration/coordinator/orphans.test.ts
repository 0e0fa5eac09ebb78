import { afterEach, beforeEach, expect, test } from 'vitest';
import {
  ContainerPhase,
  PlacementStrategy,
  PlanStepKind,
  type FairleadClient,
} from '../../../client/index.ts';
import { eventually } from '../../support/eventually.ts';
import { Installation } from '../../support/installation.ts';
import { assignmentIn, joinOld, type OldNode } from '../../support/old-node.ts';

let installation: Installation;
let node: OldNode;
let control: FairleadClient['control'];

beforeEach(async () => {
  installation = await Installation.start();
  ({ control } = installation.client);
  node = await joinOld(installation);
  await node.session.first('welcome');
});

afterEach(async () => {
  node[Symbol.dispose]();
  await installation[Symbol.asyncDispose]();
});

const orphan = { containerId: 'c'.repeat(32), name: 'web-1' };
let sequence = 1;

function report(container: { readonly containerId: string; readonly name?: string }, more: object) {
  const process = { engineId: container.containerId, startedAt: '2026-01-01T00:00:00Z' };
  const containers = [{ ...container, ...process, ...more }];
  node.session.send({ report: { sequence: String(++sequence), containers } });
}

const running = { phase: 'CONTAINER_PHASE_RUNNING', readiness: 'READINESS_STATE_READY' };

/** A service whose container was made anew beside the one that is not known any more. */
async function madeAnew(): Promise<string> {
  sequence = 1;
  await control.createService({ name: 'web', spec: { image: 'web:1', replicas: 1 }, start: true });
  const { containerId } = await assignmentIn(node.session, 'WANTED_PHASE_RUNNING');
  report(orphan, { ...running, readiness: 'READINESS_STATE_NOT_READY' });
  report({ containerId }, running);
  await eventually(async () => {
    expect((await control.listContainers({})).containers).toMatchObject([
      { id: containerId, phase: ContainerPhase.RUNNING, ready: true },
    ]);
    const { node: seen } = await control.getNode({ node: 'old' });
    expect(seen?.orphaned).toMatchObject([{ name: 'web-1', running: true }]);
  });
  return containerId;
}

const ids = async () => (await control.listContainers({})).containers.map(({ id }) => id).sort();

test('an orphan is adopted in place of what was made anew, which goes when it serves', async () => {
  const anew = await madeAnew();
  const adopt = { node: 'old', orphan: 'web-1' };
  const { plan } = await control.adoptOrphan({ ...adopt, options: { dryRun: true } });
  expect(plan?.steps).toMatchObject([
    { kind: PlanStepKind.REMOVE, container: 'web-1', node: 'old' },
  ]);
  expect(await ids()).toEqual([anew]);

  await control.adoptOrphan(adopt);
  // Both are wanted until the one that was adopted is ready.
  const adopted = await control.getContainer({ container: orphan.containerId });
  expect(adopted.container).toMatchObject({ name: 'web-1', ready: false });
  expect(await ids()).toEqual([anew, orphan.containerId].sort());
  const before = await control.getContainer({ container: anew });
  expect(before.container).toMatchObject({ phase: ContainerPhase.RUNNING, ready: true });

  report(orphan, running);
  expect(await assignmentIn(node.session, 'WANTED_PHASE_REMOVED')).toMatchObject({
    containerId: anew,
  });
  report({ containerId: anew }, { phase: 'CONTAINER_PHASE_REMOVED' });
  await eventually(async () => {
    expect(await ids()).toEqual([orphan.containerId]);
  });
  const { node: seen } = await control.getNode({ node: 'old' });
  expect(seen?.orphaned).toEqual([]);
});

test('not where somebody stopped what has its slot', async () => {
  const anew = await madeAnew();
  await control.stopContainer({ container: anew });
  await expect(control.adoptOrphan({ node: 'old', orphan: 'web-1' })).rejects.toThrow(
    'web-1 has a container already',
  );
  expect(await ids()).toEqual([anew]);
});

test('an orphan of a service on every node is adopted on its own node, which keeps one alone', async () => {
  sequence = 1;
  const spec = { image: 'web:1', strategy: PlacementStrategy.EVERY_NODE };
  await control.createService({ name: 'web', spec, start: true });
  const { containerId: anew } = await assignmentIn(node.session, 'WANTED_PHASE_RUNNING');
  report(orphan, running);
  report({ containerId: anew }, running);
  await eventually(async () => {
    expect((await control.listContainers({})).containers).toMatchObject([
      { id: anew, ready: true },
    ]);
    expect((await control.getNode({ node: 'old' })).node?.orphaned).toHaveLength(1);
  });
  const { replicas } = (await control.getService({ service: 'web' })).service!.spec!;
  await control.adoptOrphan({ node: 'old', orphan: 'web-1' });
  expect(await assignmentIn(node.session, 'WANTED_PHASE_REMOVED')).toMatchObject({
    containerId: anew,
  });
  report({ containerId: anew }, { phase: 'CONTAINER_PHASE_REMOVED' });
  await eventually(async () => {
    const { containers } = await control.listContainers({});
    expect(containers).toMatchObject([{ id: orphan.containerId, node: 'old', ready: true }]);
  });
  // It is there for its node: the service asks for no more than before.
  const { service } = await control.getService({ service: 'web' });
  expect(service?.spec?.replicas).toBe(replicas);
  expect((await control.getNode({ node: 'old' })).node?.orphaned).toEqual([]);
});

test('an orphan of another slot than that of its node is not adopted beside it', async () => {
  sequence = 1;
  const spec = { image: 'web:1', strategy: PlacementStrategy.EVERY_NODE };
  await control.createService({ name: 'web', spec, start: true });
  const { containerId } = await assignmentIn(node.session, 'WANTED_PHASE_RUNNING');
  report({ containerId }, running);
  report({ ...orphan, name: 'web-7' }, running);
  await eventually(async () => {
    expect((await control.getNode({ node: 'old' })).node?.orphaned).toMatchObject([
      { name: 'web-7', running: true },
    ]);
  });
  await expect(control.adoptOrphan({ node: 'old', orphan: 'web-7' })).rejects.toThrow(
    'has a container already',
  );
  expect(await ids()).toEqual([containerId]);
});
