import type { Action } from '../model.ts';

/** What cancelling an action amounts to. */
export type Undoing =
  /** The service is wanted as it was before. */
  | 'service'
  /** The container that was to be replaced may stay; one that was to stay stopped gets a successor. */
  | 'container'
  /** The node takes containers again. */
  | 'drain'
  /** What has not begun is left as it is. */
  | 'leave';

const undoings: Readonly<Record<string, Undoing>> = {
  CreateService: 'service',
  UpdateService: 'service',
  ScaleService: 'service',
  StartService: 'service',
  StopService: 'service',
  RedeployService: 'service',
  RollbackService: 'service',
  PauseService: 'service',
  ResumeService: 'service',
  PromoteService: 'service',
  AddLink: 'service',
  RemoveLink: 'service',
  CancelAction: 'service',
  RedeployContainer: 'container',
  StopContainer: 'container',
  DrainNode: 'drain',
};

/** How an action is cancelled; null: it cannot be. */
export function undoingOf({
  method,
  roll,
  moves,
  before,
}: Pick<Action, 'method' | 'roll' | 'moves' | 'before'>): Undoing | null {
  if (roll !== null || moves?.kind === 'rebalance') return 'leave';
  const undoing = undoings[method] ?? null;
  // One of a version that did not note what was before; of what is created there is nothing before.
  return undoing === 'service' && before === null && method !== 'CreateService' ? null : undoing;
}
