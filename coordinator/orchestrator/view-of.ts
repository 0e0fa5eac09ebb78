import type { Container } from '../model.ts';
import type { ObservedState } from '../observed/observed-state.ts';
import type { Routing } from '../routing/routing.ts';
import type { Store } from '../store/store.ts';
import { viewContainer, type ContainerView } from './views.ts';

export interface ViewSources {
  readonly store: Pick<Store, 'nodes'>;
  readonly observed: ObservedState;
  readonly routing: Pick<Routing, 'admissionOf'>;
}

/** Views a container by all that is known of it and its node now. */
export function viewOf(
  container: Container,
  { store, observed, routing }: ViewSources,
): ContainerView {
  const node = container.nodeId === null ? undefined : store.nodes.get(container.nodeId);
  return viewContainer(container, {
    observed: observed.container(container.id),
    admission: routing.admissionOf(container),
    node: node === undefined ? null : { state: observed.node(node.id).state },
  });
}
