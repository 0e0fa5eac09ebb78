import { expect, test } from 'vitest';
import { patchOf, specOf } from '../../../client/cli/spec.ts';
import { HttpCheck, PortProtocol, ServiceSpec } from '../../../shared/gen/fairlead/v1/service.ts';

const port = (containerPort: number, published = false, hostPort = 0) => ({
  containerPort,
  protocol: PortProtocol.TCP,
  published,
  hostPort,
});

const now = ServiceSpec.fromPartial({
  image: 'registry/web:1',
  replicas: 8,
  command: ['serve'],
  environment: { A: '1', B: '2' },
  ports: [port(80, true), port(9000)],
  links: [{ service: 'db' }, { service: 'api', alias: 'backend' }],
  tags: ['web', 'eu'],
  avoidTags: ['edge', 'old'],
});

test('a new definition has what was given and nothing else', () => {
  expect(specOf({ replicas: 2 }, 'registry/web:1', [])).toEqual(
    ServiceSpec.fromPartial({ image: 'registry/web:1', replicas: 2 }),
  );
});

test('nothing given changes nothing', () => {
  expect(patchOf({}, [], now).mask).toEqual([]);
});

test.each([
  {
    what: 'a variable is added beside the others',
    flags: { env: [['C', '3']] as const },
    mask: ['environment'],
    fields: { environment: { A: '1', B: '2', C: '3' } },
  },
  {
    what: 'one is replaced and one taken out',
    flags: { envAdd: [['B', '9']] as const, envRm: ['A'] },
    mask: ['environment'],
    fields: { environment: { B: '9' } },
  },
  {
    what: 'a list is emptied',
    flags: { clear: ['env', 'command'] },
    mask: ['command', 'environment'],
    fields: { environment: {}, command: [] },
  },
  {
    what: 'a list is replaced',
    flags: { clear: ['tag'], tag: ['us'] },
    mask: ['tags'],
    fields: { tags: ['us'] },
  },
  {
    what: 'tags are not doubled',
    flags: { tagAdd: ['eu', 'fast'] },
    mask: ['tags'],
    fields: { tags: ['web', 'eu', 'fast'] },
  },
  {
    what: 'a tag is avoided, another no more',
    flags: { avoidTag: ['old', 'arch=arm64'], avoidTagRm: ['edge'] },
    mask: ['avoid_tags'],
    fields: { avoidTags: ['old', 'arch=arm64'] },
  },
  {
    what: 'no tag is avoided',
    flags: { clear: ['avoid-tag'] },
    mask: ['avoid_tags'],
    fields: { avoidTags: [] },
  },
  {
    what: 'a port is fixed, another taken out',
    flags: { publish: [port(80, true, 8080)], portRm: [port(9000)] },
    mask: ['ports'],
    fields: { ports: [port(80, true, 8080)] },
  },
  {
    what: 'links go by their alias',
    flags: { linkRm: ['backend'], link: [{ service: 'db', alias: '' }] },
    mask: ['links'],
    fields: { links: [{ service: 'db', alias: '' }] },
  },
])('$what', ({ flags, mask, fields }) => {
  const patch = patchOf(flags, [], now);
  expect([...patch.mask].sort()).toEqual(mask);
  expect(patch.spec).toMatchObject(fields);
});

test('fields of readiness and of the update policy are named one by one', () => {
  const { spec, mask } = patchOf(
    {
      readiness: { $case: 'http', value: HttpCheck.fromPartial({ path: '/' }) },
      readinessInterval: 500,
      order: 'stop-first',
      updateDeadline: 1_000,
    },
    [],
    now,
  );
  expect([...mask].sort()).toEqual([
    'readiness.http',
    'readiness.interval_ms',
    'update.deadline_ms',
    'update.order',
  ]);
  expect(ServiceSpec.toJSON(spec)).toEqual({
    readiness: { http: { path: '/' }, intervalMs: 500 },
    update: { order: 'UPDATE_ORDER_STOP_FIRST', deadlineMs: 1_000 },
  });
});
