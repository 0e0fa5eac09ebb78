import type { NodeId, ServiceId } from '../../shared/ids.ts';
import type { Container } from '../model.ts';

/**
 * Holds what containers have in common once: those of a service have nearly the same definition, and those of
 * a node name it in the same words. Read from the database, each would have a copy of its own.
 */
export class SharedParts {
  /** The newest of each service, and on each node, is what the next is compared with. */
  readonly #ofService = new Map<ServiceId, Container>();
  readonly #onNode = new Map<NodeId, Container>();

  /** An equal container, with parts of others where they are equal. */
  share(container: Container): Container {
    const { serviceId, nodeId, pinnedTo, definition } = container;
    const sibling = this.#ofService.get(serviceId);
    const neighbour = nodeId === null ? undefined : this.#onNode.get(nodeId);
    const node = neighbour?.nodeId ?? nodeId;
    const shared: Container = {
      ...container,
      // Names that are the same text need not be two.
      serviceId: sibling?.serviceId ?? serviceId,
      nodeId: node,
      pinnedTo: pinnedTo === node ? node : pinnedTo,
      definition: sharing(
        definition,
        sibling?.definition,
        neighbour?.definition,
      ) as Container['definition'],
    };
    this.#ofService.set(serviceId, shared);
    if (nodeId !== null) this.#onNode.set(nodeId, shared);
    return shared;
  }

  /** It was deleted. */
  forget({ id, serviceId, nodeId }: Container): void {
    if (this.#ofService.get(serviceId)?.id === id) this.#ofService.delete(serviceId);
    if (nodeId !== null && this.#onNode.get(nodeId)?.id === id) this.#onNode.delete(nodeId);
  }
}

/**
 * `value`, or what is equal to it in the same place of two others. Every record of a big store comes through
 * here when it is opened, so that nothing is made that is not kept.
 */
function sharing(value: unknown, a: unknown, b: unknown): unknown {
  if (areEqual(value, a)) return a;
  if (areEqual(value, b)) return b;
  if (!isRecord(value)) return value;
  const ofA = isRecord(a) ? a : none;
  const ofB = isRecord(b) ? b : none;
  // A copy has the memory layout of the original, which is the smallest.
  const copy: Record<string, unknown> = { ...value };
  for (const key in value) copy[key] = sharing(value[key], ofA[key], ofB[key]);
  return copy;
}

const none: Readonly<Record<string, unknown>> = {};

function areEqual(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a)) {
    return (
      Array.isArray(b) && a.length === b.length && a.every((part, at) => areEqual(part, b[at]))
    );
  }
  return !Array.isArray(b) && haveEqualParts(a as Parts, b as Parts);
}

type Parts = Readonly<Record<string, unknown>>;

function haveEqualParts(a: Parts, b: Parts): boolean {
  for (const key in a) {
    if (!areEqual(a[key], b[key]) || !Object.hasOwn(b, key)) return false;
  }
  for (const key in b) if (!Object.hasOwn(a, key)) return false;
  return true;
}

function isRecord(value: unknown): value is Parts {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
