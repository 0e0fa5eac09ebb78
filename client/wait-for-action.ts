import { Status } from 'nice-grpc-common';
import { ChildController } from '../shared/abort.ts';
import type { Clock } from '../shared/clock.ts';
import { ActionState, type Action, type TimelineEntry } from '../shared/gen/fairlead/v1/action.ts';
import { FairleadError } from './fairlead-error.ts';
import type { View } from './watch.ts';

export interface WaitOptions {
  /** Longest wait; without it, as long as the action goes on. */
  readonly timeoutMs?: number;
  /** Told of every line of the timeline, those before the wait included. */
  readonly onProgress?: (entry: TimelineEntry, action: Action) => void;
  /** Told of the action as it is when the wait begins, and of every change of it, its end included. */
  readonly onChange?: (action: Action) => void;
}

/** An action that ended otherwise than it was asked. */
export class ActionError extends Error {
  override readonly name = 'ActionError';
  readonly action: Action;

  constructor(action: Action) {
    super(`${action.method} of ${action.targetName} ${endOf(action)}: ${action.message}`);
    this.action = action;
  }
}

function endOf({ state }: Action): string {
  if (state === ActionState.SUPERSEDED) return 'was superseded';
  return state === ActionState.CANCELLED ? 'was cancelled' : 'failed';
}

export interface WaitDeps {
  readonly clock: Clock;
  readonly getAction: (id: string, signal: AbortSignal) => Promise<Action>;
  readonly watchActions: (targetId: string, signal: AbortSignal) => AsyncIterable<View<Action>>;
}

/**
 * Resolves with the action once it succeeded. Throws an ActionError if it ended otherwise, a
 * FairleadError with the reason WAIT_TIMED_OUT if it took too long; it then goes on by itself.
 */
export async function waitForAction(
  id: string,
  options: WaitOptions,
  deps: WaitDeps,
  signal: AbortSignal,
): Promise<Action> {
  using watching = new ChildController(signal);
  const { timeoutMs } = options;
  let expired = false;
  if (timeoutMs !== undefined) {
    void deps.clock.sleep(timeoutMs, watching.signal).then(() => {
      if (watching.signal.aborted) return;
      expired = true;
      watching.abort();
    });
  }
  try {
    const action = await untilEnded(id, options, deps, watching.signal);
    if (action !== undefined) return action;
  } catch (error) {
    if (!expired) throw error;
  }
  signal.throwIfAborted();
  if (!expired) throw new FairleadError(Status.CANCELLED, 'the client was closed');
  throw new FairleadError(
    Status.DEADLINE_EXCEEDED,
    `action ${id} has not ended within ${timeoutMs ?? 0} ms; it goes on by itself`,
    { reason: 'WAIT_TIMED_OUT' },
  );
}

async function untilEnded(
  id: string,
  { onProgress = () => undefined, onChange = () => undefined }: WaitOptions,
  deps: WaitDeps,
  signal: AbortSignal,
): Promise<Action | undefined> {
  let seen: readonly TimelineEntry[] = [];
  let last = '';
  for await (const action of follow(id, deps, signal)) {
    // The watch begins with what was read before it.
    const now = JSON.stringify(action);
    if (now === last) continue;
    last = now;
    for (const entry of newEntries(seen, action.timeline)) onProgress(entry, action);
    seen = action.timeline;
    onChange(action);
    if (action.state === ActionState.SUCCEEDED) return action;
    if (hasEnded(action)) throw new ActionError(action);
  }
  return undefined;
}

/** The action as it changes. Its watch names the target, because watches filter by that. */
async function* follow(
  id: string,
  { getAction, watchActions }: WaitDeps,
  signal: AbortSignal,
): AsyncGenerator<Action, void, undefined> {
  const first = await getAction(id, signal);
  yield first;
  if (hasEnded(first)) return;
  for await (const { items, changed, snapshot } of watchActions(first.targetId, signal)) {
    const action = changed.find((candidate) => candidate.id === id);
    if (action !== undefined) yield action;
    // Crowded out by a hundred newer ones of the same object.
    else if (snapshot || !items.has(id)) yield await getAction(id, signal);
  }
}

function hasEnded({ state }: Action): boolean {
  return state !== ActionState.IN_PROGRESS && state !== ActionState.UNSPECIFIED;
}

/**
 * The lines of `now` that `before` lacks. A timeline keeps its newest lines only, so the end of the
 * one is looked for at the start of the other.
 */
export function newEntries(
  before: readonly TimelineEntry[],
  now: readonly TimelineEntry[],
): readonly TimelineEntry[] {
  for (let shared = Math.min(before.length, now.length); shared > 0; shared--) {
    const offset = before.length - shared;
    const same = now.slice(0, shared).every((entry, index) => {
      const old = before[offset + index];
      return old !== undefined && isSame(entry, old);
    });
    if (same) return now.slice(shared);
  }
  return now;
}

function isSame(a: TimelineEntry, b: TimelineEntry): boolean {
  return (
    a.message === b.message &&
    a.container === b.container &&
    a.time?.getTime() === b.time?.getTime()
  );
}
