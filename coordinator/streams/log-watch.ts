import type { ContainerId, NodeId, ServiceId } from '../../shared/ids.ts';
import { Wakeup } from '../../shared/wakeup.ts';
import type { ObservedState } from '../observed/observed-state.ts';
import type { Store } from '../store/store.ts';
import type { LogStanding } from './container-log.ts';

export interface LogWatchDeps {
  readonly store: Store;
  readonly observed: ObservedState;
  readonly dispatcher: { isConnected(nodeId: NodeId): boolean };
}

/** Follows where the containers of one reading stand, with one subscription for all of them. */
export class LogWatch implements Disposable {
  readonly #deps: LogWatchDeps;
  readonly #wakeups = new Map<ContainerId, Wakeup>();
  readonly #subscriptions: Disposable[] = [];

  constructor(deps: LogWatchDeps) {
    this.#deps = deps;
    this.#subscriptions.push(
      deps.store.subscribe((changes) => {
        for (const { table, id } of changes) {
          if (table === 'containers') this.#wakeups.get(id as ContainerId)?.notify();
        }
      }),
      deps.observed.subscribe(({ kind, id }) => {
        if (kind === 'container') this.#wakeups.get(id)?.notify();
        else for (const wakeup of this.#wakeups.values()) wakeup.notify();
      }),
    );
  }

  /** Notified when a container may stand elsewhere than before. */
  wakeupOf(id: ContainerId): Wakeup {
    const known = this.#wakeups.get(id);
    if (known !== undefined) return known;
    const wakeup = new Wakeup();
    this.#wakeups.set(id, wakeup);
    return wakeup;
  }

  /** Nobody waits for it any more. */
  forget(id: ContainerId): void {
    this.#wakeups.delete(id);
  }

  /** Calls `listener` when containers of a service come or go, or the service does. */
  onMembers(service: ServiceId, listener: () => void): void {
    const { store } = this.#deps;
    const concerns = ({ table, id }: { readonly table: string; readonly id: string }) => {
      if (table === 'services') return id === service;
      if (table !== 'containers') return false;
      return (store.containers.get(id as ContainerId)?.serviceId ?? service) === service;
    };
    this.#subscriptions.push(
      store.subscribe((changes) => {
        if (changes.some(concerns)) listener();
      }),
    );
  }

  standing(id: ContainerId): LogStanding {
    const { store, observed } = this.#deps;
    const container = store.containers.get(id);
    if (container === undefined) return { kind: 'gone' };
    const { nodeId } = container;
    if (nodeId === null) return { kind: 'not-begun', why: 'it waits for a node' };
    const { phase = 'pending', engineId = '' } = observed.container(id) ?? {};
    const isOver = phase === 'stopped' || phase === 'failed' || phase === 'removed';
    if (engineId === '' && isOver) return { kind: 'gone' };
    if (engineId === '') return { kind: 'not-begun', why: `it has not begun yet: it is ${phase}` };
    return { kind: isOver ? 'over' : 'running', nodeId, ...this.#reach(nodeId) };
  }

  [Symbol.dispose](): void {
    for (const subscription of this.#subscriptions) subscription[Symbol.dispose]();
  }

  #reach(nodeId: NodeId) {
    const { store, observed, dispatcher } = this.#deps;
    if (dispatcher.isConnected(nodeId)) return { away: '', mayReturn: true };
    const { state } = observed.node(nodeId);
    // Its session broke a moment ago, or the coordinator just started: it is on its way.
    const mayReturn = state === 'ready' || state === 'unknown' || state === 'engine-away';
    return { away: `its node ${store.nodes.get(nodeId)?.name ?? nodeId} is away`, mayReturn };
  }
}
