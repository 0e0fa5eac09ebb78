import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { DomainError } from '../../../../../shared/errors.ts';
import {
  ListContainersRequest,
  ListServicesRequest,
  WatchServicesRequest,
  type DeepPartial,
} from '../../../../../shared/gen/fairlead/v1/control_service.ts';
import { PlacementStrategy, ServiceSpec } from '../../../../../shared/gen/fairlead/v1/service.ts';
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

async function create(name: string, fields: DeepPartial<ServiceSpec> = {}) {
  const spec = ServiceSpec.fromPartial({ image: 'good-1', replicas: 2, ...fields });
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
  const request = ListServicesRequest.fromPartial({ services });
  const answer = await fleet.handlers.listServices(request, fleet.call);
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
  await create('web', { replicas: 3 });
  await create('broken', { image: 'mute-1', replicas: 1 });
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

describe('A3: services are listed by label, strategy and node', () => {
  const names = async (filter: DeepPartial<ListServicesRequest>, call = fleet.call) => {
    const request = ListServicesRequest.fromPartial(filter);
    const answer = await fleet.handlers.listServices(request, call);
    return (answer.services ?? []).map(({ name }) => name);
  };

  beforeEach(async () => {
    await create('web', { labels: { tier: 'front', team: 'a' } });
    const everyNode = { strategy: PlacementStrategy.EVERY_NODE, replicas: undefined };
    await create('logs', { ...everyNode, labels: { tier: 'back', note: '', sum: '1=1' } });
    await create('only', { replicas: 1, strategy: PlacementStrategy.HIGH_AVAILABILITY });
    await fleet.pass(5);
  });

  test('each filter leaves what it names, and all of them together what is left by each', async () => {
    expect(await names({})).toEqual(['logs', 'only', 'web']);
    expect(await names({ labels: ['tier'] })).toEqual(['logs', 'web']);
    expect(await names({ labels: ['tier=front', 'team'] })).toEqual(['web']);
    expect(await names({ labels: ['note='] })).toEqual(['logs']);
    expect(await names({ labels: ['sum=1=1'] })).toEqual(['logs']);
    expect(await names({ labels: ['tier', 'toString'] })).toEqual([]);
    const { EVERY_NODE, EMPTIEST_NODE, HIGH_AVAILABILITY } = PlacementStrategy;
    expect(await names({ strategies: [EVERY_NODE] })).toEqual(['logs']);
    expect(await names({ strategies: [EMPTIEST_NODE, EVERY_NODE] })).toEqual(['logs', 'web']);
    const [only] = fleet.store.containersOf(fleet.service('only').id);
    const [elsewhere] = ['node-1', 'node-2'].filter((node) => node !== only?.nodeId);
    expect(await names({ nodes: [only!.nodeId!] })).toContain('only');
    expect(await names({ nodes: [elsewhere!] })).not.toContain('only');
    expect(await names({ nodes: ['node-1', 'node-2'] })).toEqual(['logs', 'only', 'web']);
    const all = { services: ['only', 'logs'], nodes: [only!.nodeId!], labels: ['tier'] };
    expect(await names({ ...all, strategies: [EVERY_NODE, HIGH_AVAILABILITY] })).toEqual(['logs']);
  });

  test('what nothing can match is refused by its field, and so is a node that is not there', async () => {
    const labels = ['tier', '', '=front', 'fairlead.service', '__proto__', 'k'.repeat(256)];
    const { EVERY_NODE, UNSPECIFIED } = PlacementStrategy;
    const later = 99 as number as PlacementStrategy;
    const refused = names({ labels, strategies: [EVERY_NODE, UNSPECIFIED, later] });
    const error: unknown = await refused.catch((reason: unknown) => reason);
    expect(error).toMatchObject({ kind: 'invalid', reason: 'INVALID_REQUEST' });
    expect((error as DomainError).violations.map(({ field }) => field)).toEqual([
      ...[1, 2, 3, 4, 5].map((at) => `labels[${at}]`),
      ...['strategies[1]', 'strategies[2]'],
    ]);
    await expect(names({ nodes: ['node-9'] })).rejects.toMatchObject({ reason: 'NODE_NOT_FOUND' });
  });

  test('no filter reaches past the scope of a token', async () => {
    const { principal, ...rest } = fleet.call;
    if (principal.kind !== 'token') throw new Error('the fleet is called with a token');
    const scope = new Set([fleet.service('web').id]);
    const ofWeb = { ...rest, principal: { ...principal, scope } };
    expect(await names({ nodes: ['node-1', 'node-2'] }, ofWeb)).toEqual(['web']);
    expect(await names({ labels: ['tier=back'] }, ofWeb)).toEqual([]);
    const nowhere = { ...rest, principal: { ...principal, scope, clusters: new Set<never>() } };
    await expect(names({ nodes: ['node-1'] }, nowhere)).rejects.toMatchObject({
      ...{ kind: 'forbidden', reason: 'PERMISSION_DENIED' },
    });
  });

  test('a watch tells when a service comes to match, and when it does no longer', async () => {
    const request = WatchServicesRequest.fromPartial({ labels: ['tier=front'], nodes: ['node-1'] });
    const watching = fleet.handlers.watchServices(request, fleet.call)[Symbol.asyncIterator]();
    const told = async () => {
      const { value } = await watching.next();
      return value && [value.services?.map(({ name }) => name), value.removedIds];
    };
    expect(await told()).toEqual([['web'], []]);
    const { id } = fleet.service('web');
    const removed = told();
    await fleet.handlers.updateService(
      {
        ...{ service: 'web', updateMask: ['labels'], options: undefined },
        spec: ServiceSpec.fromPartial({ labels: { tier: 'back' } }),
      },
      fleet.call,
    );
    await fleet.pass(1);
    expect(await removed).toEqual([[], [id]]);
    const added = told();
    await create('front', { labels: { tier: 'front' } });
    await fleet.pass(1);
    expect(await added).toEqual([['front'], []]);
  });
});
