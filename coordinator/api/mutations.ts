import type { Clock } from '../../shared/clock.ts';
import { DomainError, messageOf } from '../../shared/errors.ts';
import type { ActionId, ServiceId } from '../../shared/ids.ts';
import type { Logger } from '../../shared/logger.ts';
import type { Random } from '../../shared/random.ts';
import type { Action, Moves, Roll, ServiceBefore, TargetKind } from '../model.ts';
import { beginAction, endAction, type NewAction } from '../orchestrator/actions.ts';
import type { Store, Transaction } from '../store/store.ts';
import type { Call } from './call.ts';
import type { Options } from './convert-requests.ts';

/** How long a request id makes a retry harmless. */
const requestIdMs = 24 * 60 * 60 * 1_000;

export interface Target {
  readonly kind: TargetKind;
  readonly id: string;
  readonly name: string;
}

export interface Mutation {
  /** Name of the RPC, which is the action's method and part of its event. */
  readonly method: string;
  readonly target: Target;
  /** The service whose convergence ends the action; null: done at once. */
  readonly serviceId: ServiceId | null;
  /** The service as it is wanted until then; null: there is none. */
  readonly before?: ServiceBefore | null;
  /** What it rolls over the fleet, which ends the action. */
  readonly roll?: Roll;
  /** What it moves from node to node, which ends the action. */
  readonly moves?: Moves;
  /** `service.created`: what goes into the events. */
  readonly event: string;
}

export interface MutationsDeps {
  readonly store: Store;
  readonly random: Random;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Carries out mutations: one transaction each, with its action and its event. */
export class Mutations {
  readonly #store: Store;
  readonly #random: Random;
  readonly #clock: Clock;
  readonly #log: Logger;

  constructor(deps: MutationsDeps) {
    this.#log = deps.log;
    this.#store = deps.store;
    this.#random = deps.random;
    this.#clock = deps.clock;
  }

  /** The action of an earlier request with the same id; undefined: this is the first. */
  replayed(method: string, { principal }: Call, { requestId }: Options): Action | undefined {
    if (requestId === '') return undefined;
    const sinceMs = this.#clock.now() - requestIdMs;
    const earlier = [...this.#store.actions.values()].find(
      (action) =>
        action.requestId === requestId &&
        action.principal === principal.name &&
        action.startedAtMs >= sinceMs,
    );
    if (earlier !== undefined && earlier.method !== method) {
      throw new DomainError(
        'conflict',
        `the request id "${requestId}" was used for ${earlier.method}; choose another`,
        { reason: 'REQUEST_ID_REUSED' },
      );
    }
    return earlier;
  }

  perform<T>(
    call: Call,
    { requestId }: Options,
    mutation: Mutation,
    write: (tx: Transaction) => T,
  ): { readonly action: Action; readonly result: T } {
    const done = this.#store.transact((tx) => {
      const result = write(tx);
      const action = beginAction(tx, this.#actionOf(call, requestId, mutation));
      tell(tx, call, mutation, action);
      return { action, result };
    });
    this.#note(done.action);
    return done;
  }

  /**
   * The same for what is kept elsewhere than in the store: the action is there before it is done, and ends
   * with it.
   */
  async performElsewhere(
    call: Call,
    { requestId }: Options,
    { mutation, act }: { mutation: Mutation; act: (id: ActionId) => Promise<void> },
  ): Promise<Action> {
    const begun = this.#store.transact((tx) =>
      beginAction(tx, { ...this.#actionOf(call, requestId, mutation), lasts: true }),
    );
    this.#note(begun);
    try {
      await act(begun.id);
    } catch (error) {
      this.#store.transact((tx) => {
        endAction(tx, begun, 'failed', messageOf(error));
      });
      throw error;
    }
    this.#store.transact((tx) => {
      tell(tx, call, mutation, begun);
      endAction(tx, begun, 'succeeded', '');
    });
    return this.#store.actions.get(begun.id) ?? begun;
  }

  /** Actions are kept for a while; the log is the history for those who need a longer one. */
  #note({ id, method, targetKind, targetName, principal, peer }: Action): void {
    this.#log.info(
      { action: id, method, target: `${targetKind} ${targetName}`, principal, peer },
      'action begun',
    );
  }

  #actionOf(
    call: Call,
    requestId: string,
    { method, target, serviceId, before, roll, moves }: Mutation,
  ): NewAction {
    return {
      id: this.#random.id() as ActionId,
      method,
      targetKind: target.kind,
      targetId: target.id,
      targetName: target.name,
      serviceId,
      before,
      roll,
      moves,
      caller: { principal: call.principal.name, peer: call.peer },
      requestId,
    };
  }
}

function tell(
  tx: Transaction,
  { principal }: Call,
  { method, target, event }: Mutation,
  { id }: Action,
): void {
  const message = `${method} by ${principal.name}`;
  const { id: objectId, name: objectName } = target;
  tx.event({ type: event, objectId, objectName, actionId: id, message });
}

/** Throws 'conflict' if the object was changed since the caller read it. */
export function requireVersion(
  { version }: Options,
  object: { readonly name: string; readonly version: number },
): void {
  if (version === 0 || version === object.version) return;
  throw new DomainError(
    'conflict',
    `${object.name} has version ${object.version}, not ${version}: it was changed meanwhile; read it again`,
    { reason: 'VERSION_MISMATCH' },
  );
}
