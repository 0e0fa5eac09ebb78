import type { Balancing } from '../../shared/routing.ts';
import type { Container, Service } from '../model.ts';
import type { Revisions } from '../store/revisions.ts';

/**
 * How containers of earlier revisions are spoken to. A rollout may bring containers that expect the PROXY protocol
 * beside others that would take it for a broken request.
 */
export class EarlierRevisions {
  readonly #revisions: Pick<Revisions, 'get'>;
  readonly #known = new Map<string, Balancing>();

  constructor(revisions: Pick<Revisions, 'get'>) {
    this.#revisions = revisions;
  }

  /** The balancing of the definition that it is of, as that was last. */
  balancingOf({ revision }: Pick<Container, 'revision'>, service: Service): Balancing {
    const current = service.spec.balancing;
    if (revision === service.revision || service.alike.includes(revision)) return current;
    const key = `${service.id} ${revision}`;
    let known = this.#known.get(key);
    if (known === undefined) {
      known = this.#revisions.get(service.id, revision)?.spec.balancing ?? current;
      this.#known.set(key, known);
    }
    return known;
  }

  /** To be called when services changed: what is read from disk is kept until then. */
  forget(): void {
    this.#known.clear();
  }
}
