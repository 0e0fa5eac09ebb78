import type { ActionId, ServiceId } from '../../shared/ids.ts';
import type { Action, ActionState, TargetKind } from '../model.ts';
import type { Transaction } from '../store/store.ts';
import type { Activity } from './service-state.ts';

/** Lines of a timeline that are kept; the newest. */
const keptEntries = 500;

/** Who asked, and from where. */
export interface Caller {
  readonly principal: string;
  readonly peer: string;
}

export interface NewAction {
  readonly id: ActionId;
  readonly method: string;
  readonly targetKind: TargetKind;
  readonly targetId: string;
  readonly targetName: string;
  /** The service whose convergence ends the action; null: it is done at once. */
  readonly serviceId: ServiceId | null;
  readonly caller: Caller;
  readonly requestId: string;
  /** Whoever began it ends it, although it is about no service. */
  readonly lasts?: boolean;
}

/** Begins an action; an older one on the same service that is still in progress is superseded. */
export function beginAction(tx: Transaction, options: NewAction): Action {
  const { caller, lasts = false, ...rest } = options;
  if (rest.serviceId !== null) {
    for (const older of openActions(tx.actions.values(), rest.serviceId)) {
      endAction(tx, older, 'superseded', `by ${rest.method}`);
    }
  }
  const atOnce = rest.serviceId === null && !lasts;
  const action: Action = {
    ...rest,
    ...caller,
    state: atOnce ? 'succeeded' : 'in-progress',
    message: '',
    timeline: [],
    startedAtMs: tx.nowMs,
    endedAtMs: atOnce ? tx.nowMs : null,
  };
  tx.actions.put(action);
  return action;
}

/** Actions on a service that have not ended, oldest first. */
export function openActions(actions: Iterable<Action>, serviceId: ServiceId): Action[] {
  return [...actions].filter((a) => a.serviceId === serviceId && a.state === 'in-progress');
}

/** Adds a line to the timeline of the action that works on a service, if there is one. */
export function note(
  tx: Transaction,
  serviceId: ServiceId,
  container: string,
  message: string,
): void {
  const action = openActions(tx.actions.values(), serviceId).at(-1);
  if (action === undefined) return;
  const entry = { timeMs: tx.nowMs, container, message };
  tx.actions.put({ ...action, timeline: [...action.timeline, entry].slice(-keptEntries) });
}

export function endAction(
  tx: Transaction,
  action: Action,
  state: Exclude<ActionState, 'in-progress'>,
  message: string,
): void {
  tx.actions.put({ ...action, state, message, endedAtMs: tx.nowMs });
  tx.event({
    type: `action.${state}`,
    objectId: action.targetId,
    objectName: action.targetName,
    actionId: action.id,
    message: message === '' ? action.method : `${action.method}: ${message}`,
  });
}

/** What the newest unfinished action on a service is after. */
export function activityOf(actions: Iterable<Action>, serviceId: ServiceId): Activity | null {
  const action = openActions(actions, serviceId).at(-1);
  switch (action?.method) {
    case undefined:
      return null;
    case 'ScaleService':
      return 'scaling';
    case 'RedeployService':
    case 'RedeployContainer':
    case 'UpdateService':
    case 'RollbackService':
    case 'ResumeService':
      return 'redeploying';
    default:
      return 'starting';
  }
}
