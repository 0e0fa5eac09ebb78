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
    const { serviceId, nodeId } = container;
    const neighbour = nodeId === null ? undefined : this.#onNode.get(nodeId);
    const others = [this.#ofService.get(serviceId), neighbour].filter(
      (other) => other !== undefined,
    );
    const shared = sharing(container, others);
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

/** `value`, or what is equal to it in the same place of the others. */
function sharing<T>(value: T, others: readonly unknown[]): T {
  const equal = others.find((other) => areEqual(value, other));
  if (equal !== undefined) return equal as T;
  if (!isRecord(value)) return value;
  const records = others.filter(isRecord);
  // A copy has the memory layout of the original, which is the smallest.
  const copy: Record<string, unknown> = { ...value };
  for (const [key, part] of Object.entries(value)) {
    copy[key] = sharing(
      part,
      records.map((record) => record[key]),
    );
  }
  return copy as T;
}

function areEqual(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (Array.isArray(a)) {
    return (
      Array.isArray(b) && a.length === b.length && a.every((part, at) => areEqual(part, b[at]))
    );
  }
  if (!isRecord(a) || !isRecord(b)) return false;
  const keys = Object.keys(a);
  return (
    keys.length === Object.keys(b).length &&
    keys.every((key) => Object.hasOwn(b, key) && areEqual(a[key], b[key]))
  );
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
