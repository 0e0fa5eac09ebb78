import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  ContainerPhase,
  PlacementStrategy,
  PlanStepKind,
  type FairleadClient,
} from '../../../client/index.ts';
import { eventually } from '../../support/eventually.ts';
import { Installation } from '../../support/installation.ts';
import {
  assignmentIn,
  joinOld,
  type OldAssignments,
  type OldNode,
} from '../../support/old-node.ts';

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

describe('a slot that writes to volumes', () => {
  const volumes = [
    { containerPath: '/data', source: { $case: 'named' as const, value: { name: 'data' } } },
  ];

  /** Everything that the node was told to run so far. */
  const toldToRun = () =>
    node.session.received.flatMap(({ assignments: set }) =>
      ((set as OldAssignments | undefined)?.assignments ?? [])
        .filter(({ wanted }) => wanted === 'WANTED_PHASE_RUNNING')
        .map(({ containerId }) => containerId),
    );

  const summary = async () =>
    (await control.explain({ subject: { $case: 'service', value: 'web' } })).summary;

  const waits =
    'web-1 to be placed: old runs the orphan web-1, which may write to the same volumes';

  async function orphanIsSeen(): Promise<void> {
    sequence = 1;
    report(orphan, running);
    await eventually(async () => {
      expect((await control.getNode({ node: 'old' })).node?.orphaned).toHaveLength(1);
    });
  }

  /** A service of which the orphan is: its slot waits. */
  async function waiting(spec: object = {}): Promise<void> {
    await orphanIsSeen();
    const whole = { image: 'web:1', replicas: 1, volumes, ...spec };
    await control.createService({ name: 'web', spec: whole, start: true });
    await eventually(async () => {
      expect(await summary()).toContain(waits);
    });
  }

  test('waits for the orphan that has it, and says what to do', async () => {
    await waiting();
    const { waits: each } = await control.explain({ subject: { $case: 'service', value: 'web' } });
    expect(each.map(({ message }) => message)).toEqual([
      `${waits}: adopt it (fairlead node adopt old web-1), or discard it (fairlead node discard old web-1)`,
    ]);
    const { containers } = await control.listContainers({});
    expect(containers).toMatchObject([
      {
        ...{ name: 'web-1', phase: ContainerPhase.PENDING, node: '' },
        message: expect.stringContaining('fairlead node adopt old web-1') as string,
        placement: [{ node: 'old', filter: 'ORPHAN_RUNS' }],
      },
    ]);
    expect(toldToRun()).toEqual([]);
  });

  test('is filled when the orphan was discarded and is gone, not before', async () => {
    await waiting();
    await control.discardOrphan({ node: 'old', orphan: 'web-1' });
    await assignmentIn(node.session, 'WANTED_PHASE_REMOVED');
    report(orphan, { phase: 'CONTAINER_PHASE_STOPPING' });
    await eventually(async () => {
      expect(await summary()).toContain('old is stopping the orphan web-1');
    });
    expect(toldToRun()).toEqual([]);
    report(orphan, { phase: 'CONTAINER_PHASE_REMOVED' });
    const { containerId } = await assignmentIn(node.session, 'WANTED_PHASE_RUNNING');
    expect(await ids()).toEqual([containerId]);
  });

  test('goes to the orphan when that is adopted: nothing else is made for it', async () => {
    await waiting();
    const [before] = await ids();
    const adopt = { node: 'old', orphan: 'web-1' };
    const { plan } = await control.adoptOrphan({ ...adopt, options: { dryRun: true } });
    expect(plan?.steps).toMatchObject([
      { kind: PlanStepKind.REMOVE, reason: 'waits in its slot, and was not made' },
    ]);
    await control.adoptOrphan(adopt);
    await eventually(async () => {
      expect(await ids()).toEqual([orphan.containerId]);
      expect(await summary()).toContain('is running');
    });
    expect(before).not.toBe(orphan.containerId);
    expect(new Set(toldToRun())).toEqual(new Set([orphan.containerId]));
  });

  test('is filled when the orphan ends by itself', async () => {
    await waiting();
    report(orphan, { phase: 'CONTAINER_PHASE_STOPPED', exitCode: 0 });
    const { containerId } = await assignmentIn(node.session, 'WANTED_PHASE_RUNNING');
    expect(containerId).not.toBe(orphan.containerId);
  });

  test('may go while it waits, with its service as well; the orphan stays', async () => {
    await waiting();
    await control.scaleService({ service: 'web', replicas: 2 });
    // The other slot does not wait with it.
    const { containerId } = await assignmentIn(node.session, 'WANTED_PHASE_RUNNING');
    report({ containerId }, running);
    await control.removeService({ service: 'web' });
    await assignmentIn(node.session, 'WANTED_PHASE_REMOVED');
    report({ containerId }, { phase: 'CONTAINER_PHASE_REMOVED' });
    await eventually(async () => {
      expect((await control.listServices({})).services).toEqual([]);
    });
    const { node: seen } = await control.getNode({ node: 'old' });
    expect(seen?.orphaned).toMatchObject([{ name: 'web-1', running: true }]);
    expect(toldToRun()).toEqual([containerId]);
  });

  test('of a service on every node waits for the orphan of its node, whatever its number', async () => {
    await orphanIsSeen();
    report({ ...orphan, containerId: 'd'.repeat(32), name: 'agent-7' }, running);
    const spec = { image: 'agent:1', strategy: PlacementStrategy.EVERY_NODE, volumes };
    await control.createService({ name: 'agent', spec, start: true });
    await eventually(async () => {
      const { containers } = await control.listContainers({});
      expect(containers).toMatchObject([
        { name: 'agent-1', message: expect.stringContaining('the orphan agent-7') as string },
      ]);
    });
    await control.adoptOrphan({ node: 'old', orphan: 'agent-7' });
    await eventually(async () => {
      expect((await control.listContainers({})).containers).toMatchObject([
        { id: 'd'.repeat(32), name: 'agent-7', ready: true },
      ]);
    });
    expect(new Set(toldToRun())).toEqual(new Set(['d'.repeat(32)]));
  });

  test('waits within an update as well, which goes on when the orphan is gone', async () => {
    sequence = 1;
    const spec = { image: 'web:1', replicas: 1, volumes };
    await control.createService({ name: 'web', spec, start: true });
    const { containerId: first } = await assignmentIn(node.session, 'WANTED_PHASE_RUNNING');
    report({ containerId: first }, running);
    await eventually(async () => {
      expect(await summary()).toContain('is running');
    });
    // Of a node that was out of reach when the older backup was restored: both run, and nothing is taken away.
    report(orphan, running);
    await eventually(async () => {
      expect((await control.getNode({ node: 'old' })).node?.orphaned).toHaveLength(1);
    });
    expect(await ids()).toEqual([first]);
    await control.updateService({
      service: 'web',
      spec: { ...spec, image: 'web:2' },
      updateMask: ['image'],
    });
    await assignmentIn(node.session, 'WANTED_PHASE_REMOVED');
    report({ containerId: first }, { phase: 'CONTAINER_PHASE_REMOVED' });
    await eventually(async () => {
      expect(await summary()).toContain(waits);
    });
    expect(toldToRun()).toEqual([first]);
    report(orphan, { phase: 'CONTAINER_PHASE_REMOVED' });
    await eventually(() => {
      expect(new Set(toldToRun())).toHaveLength(2);
    });
  });

  test('is filled where nothing is written, and where the orphan is of no service', async () => {
    await orphanIsSeen();
    const spec = { image: 'web:1', replicas: 1 };
    const readOnly = [{ ...volumes[0], readOnly: true }];
    await control.createService({ name: 'web', spec: { ...spec, volumes: readOnly }, start: true });
    const { containerId } = await assignmentIn(node.session, 'WANTED_PHASE_RUNNING');
    expect(await ids()).toEqual([containerId]);
    await control.createService({ name: 'other', spec: { ...spec, volumes }, start: true });
    await eventually(() => {
      expect(toldToRun()).toHaveLength(2);
    });
  });
});
