import type { ContainerId, ServiceId } from '../../shared/ids.ts';
import { DomainError } from '../../shared/errors.ts';
import type { Action, Container, Node, NodeCluster, Service, Token } from '../model.ts';
import type { Certificate } from '../tls-model.ts';
import type { Store } from '../store/store.ts';
import { requireClusters, requireScope, requireUnlimited } from './authorization.ts';
import type { Call } from './call.ts';

/** Finds what requests name, within the caller's scope; throws 'not-found' or 'forbidden'. */
export class Lookup {
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  service(call: Call, nameOrId: string): Service {
    const service = this.#store.serviceNamed(required(nameOrId, 'service'));
    if (service === undefined) throw notFound('service', nameOrId);
    requireScope(call, service);
    return service;
  }

  /** For changes: one that is being removed takes none. */
  lastingService(call: Call, nameOrId: string): Service {
    const service = this.service(call, nameOrId);
    if (service.terminating) {
      throw new DomainError(
        'precondition',
        `service ${service.name} is being removed; wait until it is gone, then create it anew`,
        { reason: 'SERVICE_TERMINATING' },
      );
    }
    return service;
  }

  /** By id, or the newest of those that share the name: the one wanted to run, if any. */
  container(call: Call, nameOrId: string): { container: Container; service: Service } {
    required(nameOrId, 'container');
    const named = [...this.#store.containers.values()].filter(
      ({ id, name }) => id === nameOrId || name === nameOrId,
    );
    const container = named.sort(byRelevance).at(-1);
    const service =
      container === undefined ? undefined : this.#store.services.get(container.serviceId);
    if (container === undefined || service === undefined) throw notFound('container', nameOrId);
    requireScope(call, service);
    return { container, service };
  }

  node(call: Pick<Call, 'principal'>, nameOrId: string): Node {
    const node = this.#store.nodeNamed(required(nameOrId, 'node'));
    if (node === undefined) throw notFound('node', nameOrId);
    requireClusters(call, node.clusterId, `the node ${node.name}`);
    return node;
  }

  /** `field`: what the request calls it. */
  cluster(
    call: Pick<Call, 'principal'>,
    nameOrId: string,
    field: 'cluster' | 'clusters' | 'node_cluster',
  ): NodeCluster {
    const cluster = this.#store.clusterNamed(required(nameOrId, field));
    if (cluster !== undefined) {
      requireClusters(call, cluster.id, `the node cluster ${cluster.name}`);
      return cluster;
    }
    throw new DomainError(
      'not-found',
      `no node cluster is called "${nameOrId}" or has that id; make one by "fairlead cluster create"`,
      { reason: 'NODE_CLUSTER_NOT_FOUND' },
    );
  }

  token(nameOrId: string): Token {
    const token = this.#store.tokenNamed(required(nameOrId, 'token'));
    if (token === undefined) throw notFound('token', nameOrId);
    return token;
  }

  certificate(nameOrId: string): Certificate {
    const certificate = this.#store.certificateNamed(required(nameOrId, 'certificate'));
    if (certificate === undefined) throw notFound('certificate', nameOrId);
    return certificate;
  }

  action(call: Call, id: string): Action {
    const action = this.#store.actions.get(required(id, 'action') as Action['id']);
    if (action === undefined) throw notFound('action', id);
    const serviceId = this.serviceOf(action);
    const service = serviceId === null ? undefined : this.#store.services.get(serviceId);
    if (service === undefined) requireUnlimited(call, 'see this action');
    else requireScope(call, service);
    return action;
  }

  /** The service that an action is on, or on a container of. */
  serviceOf({ serviceId, targetKind, targetId }: Action): ServiceId | null {
    if (serviceId !== null || targetKind !== 'container') return serviceId;
    return this.#store.containers.get(targetId as ContainerId)?.serviceId ?? null;
  }
}

function byRelevance(a: Container, b: Container): number {
  return (
    Number(a.wanted === 'running') - Number(b.wanted === 'running') || a.createdAtMs - b.createdAtMs
  );
}

function required(value: string, field: string): string {
  if (value !== '') return value;
  const violations = [{ field, rule: 'is required: a name or an id' }];
  throw new DomainError('invalid', `${field} is required: a name or an id`, {
    reason: 'INVALID_REQUEST',
    violations,
  });
}

function notFound(kind: string, nameOrId: string): DomainError {
  return new DomainError('not-found', `no ${kind} is called "${nameOrId}" or has that id`, {
    reason: `${kind.toUpperCase()}_NOT_FOUND`,
  });
}
