import { messageOf } from '../../shared/errors.ts';
import type { ContainerId, NodeId, ServiceId } from '../../shared/ids.ts';
import type { Logger } from '../../shared/logger.ts';
import type { Action, Container, ContainerFailure } from '../model.ts';
import type { ObservedState } from '../observed/observed-state.ts';
import type { Store } from '../store/store.ts';
import { withEntries } from './actions.ts';

export interface FailuresDeps {
  readonly store: Store;
  readonly observed: ObservedState;
  readonly log: Logger;
}

/** What is heard of a failure so long after an action has ended may still be what ended it. */
const lateMs = 60_000;

/** Takes what agents tell of failures, some time after they reported them: for whoever looks for the cause. */
export class Failures {
  readonly #deps: FailuresDeps;

  constructor(deps: FailuresDeps) {
    this.#deps = deps;
  }

  heard(nodeId: NodeId, id: ContainerId, failure: ContainerFailure): void {
    const { store, observed } = this.#deps;
    const container = store.containers.get(id);
    if (container?.nodeId !== nodeId) return;
    if (failure.exitCode === null && !isGivenUp(container)) return;
    observed.hearFailure(id, failure);
    this.#note(container, failure);
  }

  /** Into the timeline of the action that it happened in, which may have ended meanwhile. */
  #note({ name, serviceId }: Container, failure: ContainerFailure): void {
    const { store, log } = this.#deps;
    try {
      store.transact((tx) => {
        const action = newestOn(tx.actions.values(), serviceId);
        if (action === undefined) return;
        if (action.endedAtMs !== null && tx.nowMs - action.endedAtMs > lateMs) return;
        const message = sentenceOf(failure);
        const { lines } = failure;
        const entry = { timeMs: tx.nowMs, container: name, message, lines };
        tx.actions.put(withEntries(action, [entry]));
      });
    } catch (error) {
      // It is nice to have; the session of the node is not to end for it.
      log.warn({ container: name, reason: messageOf(error) }, 'failure is not recorded');
    }
  }
}

/** Others are taken away before they were ready for reasons that have nothing to do with them. */
function isGivenUp({ retirement }: Container): boolean {
  return retirement?.reason === 'failed' || retirement?.reason === 'rolled-back';
}

function newestOn(actions: Iterable<Action>, serviceId: ServiceId): Action | undefined {
  return [...actions].filter((action) => action.serviceId === serviceId).at(-1);
}

function sentenceOf({ exitCode, lines }: ContainerFailure): string {
  const end = exitCode === null ? 'was never ready' : `ended with status ${exitCode}`;
  return `${end}; ${lines.length === 0 ? 'it wrote nothing' : 'it wrote last:'}`;
}
