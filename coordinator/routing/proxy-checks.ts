import type { Readiness } from '../../shared/health-check.ts';
import type { ContainerId, ServiceId } from '../../shared/ids.ts';
import type { Container, Service } from '../model.ts';
import type { Store } from '../store/store.ts';

/** What is needed of the store. */
type Records = Pick<Store, 'services' | 'containers' | 'containersOf'>;

/**
 * The HTTP checks that HAProxy can ask containers by. It asks all of a pool the same, so there is none while a
 * rollout changes it: containers of before would seem to be ill.
 */
export class ProxyChecks {
  readonly #store: Records;
  /** Whether all containers of a service have the check of its definition. */
  readonly #agreed = new Map<ServiceId, boolean>();

  constructor(store: Records) {
    this.#store = store;
  }

  /** The HTTP check that all containers of a service are ready by; null: there is none. */
  of({ id, spec }: Service): Readiness | null {
    const { readiness } = spec;
    if (!isAskable(readiness)) {
      this.#agreed.delete(id);
      return null;
    }
    const agreed = [...this.#store.containersOf(id)].every((each) => has(each, readiness));
    this.#agreed.set(id, agreed);
    return agreed ? readiness : null;
  }

  /** To be called before all services that are linked are asked about anew: others may be gone. */
  forget(): void {
    this.#agreed.clear();
  }

  /** Services that have another check than `of` last said, now that these containers changed. */
  changedBy(containers: Iterable<ContainerId>): Service[] {
    const suspects = new Set<ServiceId>();
    for (const id of containers) {
      const container = this.#store.containers.get(id);
      if (container === undefined) this.#suspectAll(suspects);
      else if (this.#mayChange(container)) suspects.add(container.serviceId);
    }
    return [...suspects].flatMap((id) => {
      const service = this.#store.services.get(id);
      const before = this.#agreed.get(id);
      if (service === undefined) return [];
      return (this.of(service) !== null) === before ? [] : [service];
    });
  }

  /** What is gone may have been the last that had another one. */
  #suspectAll(suspects: Set<ServiceId>): void {
    for (const [id, agreed] of this.#agreed) if (!agreed) suspects.add(id);
  }

  #mayChange(container: Container): boolean {
    const agreed = this.#agreed.get(container.serviceId);
    if (agreed !== true) return agreed === false;
    const service = this.#store.services.get(container.serviceId);
    return service !== undefined && !has(container, service.spec.readiness);
  }
}

/** Proxies know nothing of starts, and so of no period from one. */
function isAskable({ check, startPeriodMs }: Readiness): boolean {
  return check.kind === 'http' && startPeriodMs === 0;
}

/** It is checked so, or takes no requests. */
function has({ wanted, definition }: Container, readiness: Readiness): boolean {
  if (wanted !== 'running' || definition === null) return true;
  return sameCheck(definition.readiness, readiness);
}

/** Both ask the same, as often; where, proxies are told for each container. */
export function sameCheck(a: Readiness, b: Readiness): boolean {
  return a === b || textOf(a) === textOf(b);
}

/** Definitions are never changed in place, and looked at often. */
const texts = new WeakMap<Readiness, string>();

function textOf(readiness: Readiness): string {
  const known = texts.get(readiness);
  if (known !== undefined) return known;
  const text = JSON.stringify({ ...readiness, check: { ...readiness.check, port: 0 } });
  texts.set(readiness, text);
  return text;
}
