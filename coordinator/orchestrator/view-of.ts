import type { Container, Node } from '../model.ts';
import type { ObservedState } from '../observed/observed-state.ts';
import type { Routing } from '../routing/routing.ts';
import type { Store } from '../store/store.ts';
import { viewContainer, type ContainerView } from './views.ts';

export interface ViewSources {
  readonly store: Pick<Store, 'nodes'>;
  readonly observed: ObservedState;
  readonly routing: Pick<Routing, 'admissionOf'>;
}

/** Views a container by all that is known of it and its node now; `changed` is a node as it might be. */
export function viewOf(
  container: Container,
  { store, observed, routing }: ViewSources,
  changed?: Node,
): ContainerView {
  const stored = container.nodeId === null ? undefined : store.nodes.get(container.nodeId);
  const node = changed !== undefined && stored?.id === changed.id ? changed : stored;
  return viewContainer(container, {
    observed: observed.container(container.id),
    admission: routing.admissionOf(container),
    node:
      node === undefined
        ? null
        : { state: observed.node(node.id).state, availability: node.availability },
  });
}
