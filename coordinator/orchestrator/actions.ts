import type { ActionId, ServiceId } from '../../shared/ids.ts';
import type {
  Action,
  ActionState,
  Moves,
  Roll,
  ServiceBefore,
  TargetKind,
  TimelineEntry,
} from '../model.ts';
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
  /** The service whose convergence ends the action; null: it is done at once, or as `roll` and `lasts` say. */
  readonly serviceId: ServiceId | null;
  /** The service as it was wanted before. */
  readonly before?: ServiceBefore | null | undefined;
  /** What it rolls over the fleet; its end is that of the action. */
  readonly roll?: Roll | undefined;
  /** What it moves from node to node; its end is that of the action. */
  readonly moves?: Moves | undefined;
  readonly caller: Caller;
  readonly requestId: string;
  /** Whoever began it ends it, although it is about no service. */
  readonly lasts?: boolean;
}

/**
 * Begins an action; an older one on the same service, another roll, or what moves the same containers, that is
 * still in progress is superseded.
 */
export function beginAction(tx: Transaction, options: NewAction): Action {
  const { caller, before = null, roll = null, moves = null, lasts = false, ...rest } = options;
  const { serviceId } = rest;
  for (const action of supersededBy(tx, options)) {
    endAction(tx, action, 'superseded', `by ${rest.method}`);
  }
  const atOnce = serviceId === null && roll === null && moves === null && !lasts;
  const action: Action = {
    ...rest,
    ...caller,
    before: before === null ? null : wantedOf(before),
    roll,
    moves,
    state: atOnce ? 'succeeded' : 'in-progress',
    message: '',
    timeline: [],
    startedAtMs: tx.nowMs,
    endedAtMs: atOnce ? tx.nowMs : null,
  };
  tx.actions.put(action);
  return action;
}

/** What there is to go back to. */
function wantedOf({ spec, started, revision, alike, base, rollout }: ServiceBefore): ServiceBefore {
  return { spec, started, revision, alike, base, rollout };
}

function supersededBy(
  tx: Transaction,
  { serviceId, roll, moves, targetId }: NewAction,
): readonly Action[] {
  const all = [...tx.actions.values()];
  return [
    ...(roll === undefined ? [] : openRolls(all)),
    ...(moves === undefined ? [] : openMoves(all, targetId, moves)),
    ...(serviceId === null ? [] : openActions(all, serviceId)),
  ];
}

/** Actions on a service that have not ended, oldest first. */
export function openActions(actions: Iterable<Action>, serviceId: ServiceId): Action[] {
  return [...actions].filter((a) => a.serviceId === serviceId && a.state === 'in-progress');
}

/** Rolls that have not ended, oldest first: one, but for a moment. */
export function openRolls(actions: Iterable<Action>): Action[] {
  return [...actions].filter((a) => a.roll !== null && a.state === 'in-progress');
}

/** Actions that have not ended and empty the same node, or rebalance one of the same services. */
export function openMoves(
  actions: Iterable<Action>,
  targetId: string,
  { kind, members }: Pick<Moves, 'kind' | 'members'> = { kind: 'drain', members: [] },
): Action[] {
  const services = new Set(members.map(({ serviceId }) => serviceId));
  return [...actions].filter(({ moves, state, targetId: on }) => {
    if (moves?.kind !== kind || state !== 'in-progress') return false;
    return kind === 'drain'
      ? on === targetId
      : moves.members.some((m) => services.has(m.serviceId));
  });
}

/** An action with lines added to its timeline, of which only the newest are kept. */
export function withEntries(action: Action, entries: readonly TimelineEntry[]): Action {
  return { ...action, timeline: [...action.timeline, ...entries].slice(-keptEntries) };
}

/** Adds a line to the timeline of the action that works on a service, if there is one. */
export function note(
  tx: Transaction,
  serviceId: ServiceId,
  container: string,
  message: string,
): void {
  noteAll(tx, serviceId, [{ container, message }]);
}

/** The same for many lines: to add each by itself would copy all those before it. */
export function noteAll(
  tx: Transaction,
  serviceId: ServiceId,
  lines: readonly Pick<TimelineEntry, 'container' | 'message'>[],
): void {
  if (lines.length === 0) return;
  const action = openActions(tx.actions.values(), serviceId).at(-1);
  if (action === undefined) return;
  const entries = lines.map((line) => ({ timeMs: tx.nowMs, ...line }));
  tx.actions.put(withEntries(action, entries));
}

/** Tells the newest action on a service what came after it, although it may have ended; its id, if there is one. */
export function noteAfterwards(tx: Transaction, serviceId: ServiceId, message: string): string {
  const action = [...tx.actions.values()].findLast((each) => each.serviceId === serviceId);
  if (action === undefined) return '';
  const told = withEntries(action, [{ timeMs: tx.nowMs, container: '', message }]);
  tx.actions.put(action.state === 'in-progress' ? told : { ...told, message });
  return action.id;
}

export function endAction(
  tx: Transaction,
  action: Action,
  state: Exclude<ActionState, 'in-progress'>,
  message: string,
): void {
  tx.actions.put({ ...action, state, message, endedAtMs: tx.nowMs, before: null });
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
    case 'PromoteService':
    case 'CancelAction':
      return 'redeploying';
    default:
      return 'starting';
  }
}

/** Ends what went on in the process that was before: commands in containers, changes of the authority. */
export function endInterrupted(tx: Transaction): void {
  for (const action of [...tx.actions.values()]) {
    const { state, serviceId, targetKind } = action;
    if (state !== 'in-progress' || serviceId !== null) continue;
    if (targetKind !== 'container' && targetKind !== 'authority') continue;
    endAction(tx, action, 'failed', 'the coordinator was restarted');
  }
}
