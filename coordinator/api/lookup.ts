import type { ContainerId, ServiceId } from '../../shared/ids.ts';
import { DomainError } from '../../shared/errors.ts';
import type { Action, Container, Node, NodeCluster, Service, Token } from '../model.ts';
import type { Certificate } from '../tls-model.ts';
import type { Store } from '../store/store.ts';
import {
  inClusters,
  inScope,
  requireClusters,
  requireScope,
  requireUnlimited,
} from './authorization.ts';
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
    if (!this.reaches(call, action)) requireUnlimited(call, 'see this action');
    return action;
  }

  /** Whether the caller's token reaches all that an action is about: its services, or its node. */
  reaches(call: Pick<Call, 'principal'>, action: Action): boolean {
    const { scope, clusters } = call.principal;
    if (scope === null) return true;
    if (action.targetKind === 'node') {
      const node = this.#store.nodes.get(action.targetId as Node['id']);
      return clusters !== null && node !== undefined && inClusters(call, node.clusterId);
    }
    const services = this.#servicesOf(action);
    return services.length > 0 && services.every((id) => inScope(call, id));
  }

  /** The services that an action is on, on a container of, or moves containers of. */
  #servicesOf({ serviceId, targetKind, targetId, moves }: Action): ServiceId[] {
    if (serviceId !== null) return [serviceId];
    if (targetKind === 'container') {
      const container = this.#store.containers.get(targetId as ContainerId);
      return container === undefined ? [] : [container.serviceId];
    }
    const moved = moves?.members.map((move) => move.serviceId) ?? [];
    return targetKind === 'service' ? [targetId as ServiceId, ...moved] : moved;
  }
}

function byRelevance(a: Container, b: Container): number {
  return (
    Number(a.wanted === 'running') - Number(b.wanted === 'running') || a.createdAtMs - b.createdAtMs
  );
}

/** What a request must name; throws 'invalid' if it is empty. */
export function required(value: string, field: string): string {
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
