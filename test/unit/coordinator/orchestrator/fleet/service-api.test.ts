import { afterEach, beforeEach, expect, test } from 'vitest';
import { ListContainersRequest } from '../../../../../shared/gen/fairlead/v1/control_service.ts';
import { ServiceSpec } from '../../../../../shared/gen/fairlead/v1/service.ts';
import { ModelFleet } from './model-fleet.ts';

// What callers of the API see of services; the core is real, agents and engines are models.

let fleet: ModelFleet;

beforeEach(async () => {
  fleet = new ModelFleet({ nodes: 2, proxies: 0 });
  fleet.connectAll();
  await fleet.pass(1);
});

afterEach(async () => {
  expect(fleet.violations).toEqual([]);
  await fleet[Symbol.asyncDispose]();
});

async function create(name: string, image = 'good-1', replicas = 2) {
  const spec = ServiceSpec.fromPartial({ image, replicas });
  const request = { name, start: true, options: undefined, spec };
  return await fleet.handlers.createService(request, fleet.call);
}

/** An update by somebody who has read a version. */
async function update(image: string, version: number) {
  const request = {
    ...{ service: 'web', spec: ServiceSpec.fromPartial({ image }), updateMask: ['image'] },
    options: { version, requestId: '', dryRun: false },
  };
  return await fleet.handlers.updateService(request, fleet.call);
}

const servicesNamed = async (...services: string[]) => {
  const answer = await fleet.handlers.listServices({ services }, fleet.call);
  return (answer.services ?? []).map(({ name, spec, ...service }) => [
    ...[name, spec?.replicas, service.currentContainers, service.runningContainers],
    service.readyContainers,
  ]);
};

test('A1: a name can be taken once, and is free again when its service is gone', async () => {
  await create('web');
  await expect(create('web')).rejects.toMatchObject({
    ...{ kind: 'already-exists', reason: 'SERVICE_NAME_TAKEN' },
  });
  await fleet.pass(5);
  expect(await servicesNamed()).toEqual([['web', 2, 2, 2, 2]]);
  await fleet.handlers.removeService({ service: 'web', options: undefined }, fleet.call);
  await fleet.pass(60);
  expect(await servicesNamed()).toEqual([]);
  await create('web');
});

test('A2, A8: of two who change the same version one is refused, and told to read again', async () => {
  await create('web');
  await fleet.pass(5);
  const { version, revision } = fleet.service('web');
  await update('good-2', version);
  await expect(update('good-3', version)).rejects.toMatchObject({
    ...{ kind: 'conflict', reason: 'VERSION_MISMATCH', message: /read it again/ },
  });
  await fleet.pass(60);
  expect(fleet.service('web')).toMatchObject({ revision: revision + 1, spec: { image: 'good-2' } });
  await update('good-3', fleet.service('web').version);
  expect(fleet.service('web').spec.image).toBe('good-3');
});

test('A3: services are listed with what is wanted, there, running and ready, by name; containers by service and node', async () => {
  await create('web', 'good-1', 3);
  await create('broken', 'mute-1', 1);
  await fleet.pass(5);
  expect(await servicesNamed('web')).toEqual([['web', 3, 3, 3, 3]]);
  expect((await servicesNamed()).map(([name]) => name)).toEqual(['broken', 'web']);
  await expect(servicesNamed('other')).rejects.toMatchObject({ reason: 'SERVICE_NOT_FOUND' });
  const containers = async (filter: Partial<ListContainersRequest>) => {
    const request = ListContainersRequest.fromPartial(filter);
    const answer = await fleet.handlers.listContainers(request, fleet.call);
    return (answer.containers ?? []).map(({ name, node }) => `${name} ${node}`).sort();
  };
  const ofWeb = await containers({ services: ['web'] });
  expect(ofWeb).toHaveLength(3);
  const first = ofWeb.filter((each) => each.endsWith(' node-1'));
  expect(await containers({ services: ['web'], nodes: ['node-1'] })).toEqual(first);
  expect(first.length).toBeGreaterThan(0);
});
