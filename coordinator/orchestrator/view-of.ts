import type { Container } from '../model.ts';
import type { ObservedState } from '../observed/observed-state.ts';
import { orphanBeforeMaking } from '../observed/seen-orphans.ts';
import type { Routing } from '../routing/routing.ts';
import type { Store } from '../store/store.ts';
import { reasonToWaitFor } from './slot-orphans.ts';
import { viewContainer, type ContainerView } from './views.ts';

export interface ViewSources {
  readonly store: Pick<Store, 'nodes' | 'services'>;
  readonly observed: ObservedState;
  readonly routing: Pick<Routing, 'admissionOf'>;
}

/** Views a container by all that is known of it and its node now. */
export function viewOf(container: Container, sources: ViewSources): ContainerView {
  const { store, observed, routing } = sources;
  const node = container.nodeId === null ? undefined : store.nodes.get(container.nodeId);
  const view = viewContainer(container, {
    observed: observed.container(container.id),
    admission: routing.admissionOf(container),
    node: node === undefined ? null : { state: observed.node(node.id).state },
  });
  if (view.wanted !== 'running' || view.lost) return view;
  const orphan = orphanBeforeMaking(container, sources);
  if (orphan === undefined) return view;
  const { node: where, reason } = reasonToWaitFor(orphan);
  return { ...view, phase: 'pending', ready: false, message: `${where} ${reason}` };
}
