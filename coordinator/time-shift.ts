import type { Action, Container, Node, Observed, Service } from './model.ts';

// What is waited for is kept as moments of the wall clock. When that is set, they move with it: what was to be in ten
// seconds is in ten seconds. The dates of what has happened stay: of actions, events and revisions; and so do
// those that were promised: of tokens and certificates.

/** A container after the clock was set; all of a service move, as the older of two is the one to keep. */
export function shiftedContainer(container: Container, byMs: number): Container {
  const { createdAtMs, retirement } = container;
  return {
    ...container,
    createdAtMs: createdAtMs + byMs,
    retirement: retirement && {
      ...retirement,
      startedAtMs: retirement.startedAtMs + byMs,
      deadlineAtMs: retirement.deadlineAtMs + byMs,
    },
  };
}

/** What was observed of a container, after the clock was set: times of its agent are not compared with ours. */
export function shiftedObserved(observed: Observed, byMs: number): Observed {
  return { ...observed, sinceMs: observed.sinceMs + byMs };
}

/** A service after the clock was set; null: it waits for nothing. */
export function shiftedService(service: Service, byMs: number): Service | null {
  const { rollout, failures } = service;
  if (rollout === null && failures.length === 0) return null;
  return {
    ...service,
    rollout: rollout && { ...rollout, sinceMs: rollout.sinceMs + byMs },
    failures: failures.map((each) => ({ ...each, lastAtMs: each.lastAtMs + byMs })),
  };
}

/** A node after the clock was set; null: it waits for nothing. */
export function shiftedNode(node: Node, byMs: number): Node | null {
  const { drain } = node;
  if (drain === null) return null;
  const { sinceMs, deadlineAtMs } = drain;
  return {
    ...node,
    drain: {
      ...drain,
      sinceMs: sinceMs + byMs,
      deadlineAtMs: deadlineAtMs === null ? null : deadlineAtMs + byMs,
    },
  };
}

/** An action after the clock was set; null: it waits for nothing. */
export function shiftedAction(action: Action, byMs: number): Action | null {
  const { state, roll, moves } = action;
  if (state !== 'in-progress' || (roll === null && moves === null)) return null;
  return {
    ...action,
    // 0 is no moment: not told yet, and at once.
    roll: roll && {
      ...roll,
      members: roll.members.map((each) =>
        each.toldAtMs === 0 ? each : { ...each, toldAtMs: each.toldAtMs + byMs },
      ),
    },
    moves: moves && {
      ...moves,
      members: moves.members.map((each) =>
        each.retryAtMs === 0 ? each : { ...each, retryAtMs: each.retryAtMs + byMs },
      ),
    },
  };
}
