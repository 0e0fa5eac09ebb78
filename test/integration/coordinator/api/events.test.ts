import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { connect, Role, type FairleadClient } from '../../../../client/index.ts';
import { systemClock } from '../../../../shared/clock.ts';
import type { Event } from '../../../../shared/gen/fairlead/v1/event.ts';
import { CoordinatorInProcess } from '../../../support/coordinator-in-process.ts';
import { eventually } from '../../../support/eventually.ts';
import { TemporaryDirectory } from '../../../support/temporary-directory.ts';

const directory = new TemporaryDirectory();
const stateDir = directory.join('state');
let coordinator: CoordinatorInProcess;
let admin: FairleadClient;
let token: string;

beforeAll(async () => {
  coordinator = await CoordinatorInProcess.start(stateDir);
  token = (await readFile(`${stateDir}/admin.token`, 'utf8')).trim();
  admin = await connect({ address: coordinator.address, token });
});

afterAll(async () => {
  await admin[Symbol.asyncDispose]();
  await coordinator[Symbol.asyncDispose]();
  await directory[Symbol.asyncDispose]();
});

const spec = { image: 'hello:1', environment: { PASSWORD: 'planted' } };

function objectOf<Kind extends NonNullable<Event['object']>['$case']>(
  event: Event | undefined,
  kind: Kind,
) {
  if (event?.object?.$case !== kind) throw new Error(`${event?.type} has no ${kind}`);
  return event.object.value as Extract<NonNullable<Event['object']>, { $case: Kind }>['value'];
}

test('events carry what they are about as it was then, also over a restart and as JSON', async () => {
  const { control } = admin;
  await control.createService({ name: 'web', spec });
  const { service, action } = await control.scaleService({ service: 'web', replicas: 3 });
  await control.createNodeCluster({ name: 'edge', tags: ['ssd'] });
  await control.createToken({ name: 'ci', role: Role.VIEWER });
  await control.removeService({ service: 'web' });
  await eventually(async () => {
    const { events } = await control.listEvents({ types: ['service.removed'] });
    expect(events).toMatchObject([{ objectName: 'web', object: undefined }]);
  });

  await admin[Symbol.asyncDispose]();
  await coordinator[Symbol.asyncDispose]();
  coordinator = await CoordinatorInProcess.start(stateDir);
  admin = await connect({ address: coordinator.address, token });
  const { events } = await admin.control.listEvents({ limit: 1_000 });
  const eventOf = (wanted: string) => events.find(({ type }) => type === wanted);

  const created = objectOf(eventOf('service.created'), 'service');
  expect(created).toMatchObject({ name: 'web', version: 1, spec: { replicas: 1 } });
  expect(created.spec?.environment).toEqual({});
  const scaled = objectOf(eventOf('service.scaled'), 'service');
  expect(scaled).toMatchObject({ version: service?.version, spec: { replicas: 3 } });
  const ended = objectOf(
    events.find(({ type, actionId }) => type.startsWith('action.') && actionId === action?.id),
    'action',
  );
  expect(ended).toMatchObject({ method: 'ScaleService', principal: 'admin', timeline: [] });
  expect(objectOf(eventOf('node-cluster.created'), 'nodeCluster').tags).toEqual(['ssd']);
  const tokens = events.filter(({ type }) => type === 'token.created');
  const names = tokens.map((event) => objectOf(event, 'token').name);
  expect(names).toEqual(expect.arrayContaining(['admin', 'ci']));

  const answer = await coordinator.fetch('/fairlead.v1.ControlService/ListEvents', {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
    body: '{"types":["service.scaled"]}',
  });
  const json = JSON.parse(await answer.text()) as { events: { service: { name: string } }[] };
  expect(json.events.map((event) => event.service.name)).toEqual(['web']);
});

test('objects are for those who may read such objects', async () => {
  const { secret } = await admin.control.createToken({ name: 'viewer', role: Role.VIEWER });
  await using viewer = await connect({ address: coordinator.address, token: secret });
  const { events } = await viewer.control.listEvents({ limit: 1_000 });
  const kinds = new Map(events.map(({ type, object }) => [type, object?.$case]));
  expect(kinds.get('service.scaled')).toBe('service');
  expect(kinds.get('node-cluster.created')).toBe('nodeCluster');
  expect(kinds.has('token.created')).toBe(true);
  expect(kinds.get('token.created')).toBeUndefined();
  const bare = await viewer.control.listEvents({ types: ['service'], omitObjects: true });
  expect(bare.events.every(({ object }) => object === undefined)).toBe(true);
});

test('a watch that ends at a time is over then, and not opened again', async () => {
  await admin.control.createService({ name: 'late', spec });
  const until = new Date(systemClock.now() + 300);
  const seen: string[] = [];
  const request = { since: new Date(0), until, services: ['late'] };
  for await (const { type } of admin.followEvents(request)) seen.push(type);
  expect(seen[0]).toBe('service.created');
  expect(systemClock.now()).toBeGreaterThanOrEqual(until.getTime());
});
