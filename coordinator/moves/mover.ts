import { messageOf } from '../../shared/errors.ts';
import type { ActionId, ContainerId, NodeId } from '../../shared/ids.ts';
import type { Logger } from '../../shared/logger.ts';
import { Wakeup } from '../../shared/wakeup.ts';
import type { Action, DrainPolicy, Move, Moves, Node } from '../model.ts';
import { endAction, openMoves, withEntries } from '../orchestrator/actions.ts';
import type { Settling } from '../routing/settling.ts';
import type { Change, Transaction } from '../store/store.ts';
import { evictedBy, MoveViews, type MoveSources } from './move-views.ts';
import { isSettled, planMoves, summaryOf, type MovePlan, type MoveView } from './plan-moves.ts';

/** How often what moves is looked at without any event. */
const recheckMs = 1_000;

/** Between two looks others have a turn, whatever this one wrote. */
const gatherMs = 5;

export interface MoverDeps extends MoveSources {
  readonly settling: Settling;
  readonly log: Logger;
}

/** Something that moves containers: a node that is emptied, or an action that rebalances. */
interface Job {
  readonly by: NodeId | ActionId;
  readonly policy: DrainPolicy | null;
  /** Null: nobody waits for it any more. */
  readonly action: Action | null;
  readonly moves: Moves;
  readonly views: readonly MoveView[];
}

/**
 * Moves containers from node to node, over restarts of the coordinator too: tells those whose turn it is to
 * go, which their services then replace, and writes down what becomes of each.
 */
export class Mover {
  readonly #deps: MoverDeps;
  readonly #views: MoveViews;
  readonly #wakeup = new Wakeup();
  /** What has begun and not ended: nodes that are drained, actions that rebalance. */
  readonly #jobs = new Set<NodeId | ActionId>();
  /** Of drains that nobody waits for: what was found out about single containers. */
  readonly #unwatched = new Map<NodeId, readonly Move[]>();

  constructor(deps: MoverDeps) {
    this.#deps = deps;
    this.#views = new MoveViews(deps);
  }

  async run(signal: AbortSignal): Promise<void> {
    const { store, settling, clock } = this.#deps;
    for (const { id } of store.nodes.values()) this.#note({ table: 'nodes', id });
    for (const { id } of store.actions.values()) this.#note({ table: 'actions', id });
    using _store = store.subscribe((changes) => {
      for (const change of changes) this.#note(change);
      if (this.#jobs.size > 0) this.#wakeup.notify();
    });
    // What moves can only be told once the agents have reported.
    while (!settling.settled && !signal.aborted) await clock.sleep(50, signal);
    this.#try(() => {
      this.#spareAll((by) => !this.#isOn(by));
    });
    while (!signal.aborted) {
      for (const by of [...this.#jobs]) {
        this.#try(() => {
          this.#advance(by);
        });
      }
      if (this.#jobs.size === 0) await this.#wakeup.wait(signal);
      else await this.#wakeup.waitFor(recheckMs, clock, signal);
      await clock.sleep(gatherMs, signal);
    }
  }

  #note({ table, id }: Change): void {
    if (table !== 'nodes' && table !== 'actions') return;
    if (this.#isOn(id)) this.#jobs.add(id as NodeId | ActionId);
  }

  #isOn(by: string): boolean {
    const { store } = this.#deps;
    if (store.nodes.get(by as NodeId)?.drain != null) return true;
    const action = store.actions.get(by as ActionId);
    return action?.moves?.kind === 'rebalance' && action.state === 'in-progress';
  }

  /** The disk is full, say: it is tried again. */
  #try(step: () => void): void {
    try {
      step();
    } catch (error) {
      this.#deps.log.error({ reason: messageOf(error) }, 'moving containers does not go on');
    }
  }

  #advance(by: NodeId | ActionId): void {
    if (!this.#isOn(by)) {
      this.#spareAll((each) => each === by);
      this.#unwatched.delete(by as NodeId);
      this.#jobs.delete(by);
      return;
    }
    const job = this.#jobOf(by);
    if (job === null) return;
    const { clock } = this.#deps;
    const { policy, moves } = job;
    const nowMs = clock.now();
    const isForced = policy?.force ?? false;
    const deadlineAtMs = policy?.deadlineAtMs ?? (isForced ? 0 : Infinity);
    const isLate = nowMs >= deadlineAtMs;
    const plan = planMoves(job.views, {
      parallelism: moves.parallelism,
      once: moves.kind === 'rebalance',
      force: isForced && isLate,
      known: moves.members,
      nowMs,
      obstacleTo: ({ id }) =>
        moves.kind === 'drain' ? this.#views.obstacleTo(id) : this.#views.needlessFor(id),
    });
    this.#write(job, plan, isLate && !isForced);
  }

  #jobOf(by: NodeId | ActionId): Job | null {
    const { store } = this.#deps;
    const node = store.nodes.get(by as NodeId);
    if (node?.drain != null) return this.#drainOf(node, node.drain);
    const action = store.actions.get(by as ActionId);
    if (action?.moves == null) return null;
    const views = action.moves.members.map((move) => this.#viewOf(move));
    return { by, policy: null, action, moves: action.moves, views };
  }

  #drainOf(node: Node, policy: DrainPolicy): Job {
    const [action = null] = openMoves(this.#deps.store.actions.values(), node.id);
    const moves: Moves = action?.moves ?? {
      kind: 'drain',
      parallelism: policy.parallelism,
      members: this.#unwatched.get(node.id) ?? [],
    };
    const here = this.#views.onNode(node.id);
    const known = new Set(here.map(({ id }) => id));
    const others = moves.members.filter(({ containerId }) => !known.has(containerId));
    const views = [...others.map((move) => this.#viewOf(move)), ...here];
    return { by: node.id, policy, action, moves, views };
  }

  #viewOf(move: Move): MoveView {
    const container = this.#deps.store.containers.get(move.containerId);
    return container === undefined ? this.#views.ofGone(move) : this.#views.of(container);
  }

  #write(job: Job, plan: MovePlan, isLate: boolean): void {
    const { members, turned, evict, force, spare } = plan;
    const { by, action, moves } = job;
    const isDone = members.every(isSettled);
    const changes = evict.length + force.length + spare.length;
    const tells = action !== null && (turned.length > 0 || isDone || isLate);
    if (action === null && job.policy !== null) this.#unwatched.set(by as NodeId, members);
    const isNews = action !== null && (tells || differ(members, moves.members));
    if (changes === 0 && !isNews) return;
    this.#deps.store.transact((tx) => {
      for (const id of evict) update(tx, id, { by, forced: false });
      for (const id of force) update(tx, id, { by, forced: true });
      for (const id of spare) update(tx, id, null);
      if (action === null) return;
      const entries = turned.map((move) => ({
        timeMs: tx.nowMs,
        container: move.container,
        message: lineOf(move),
      }));
      const next = withEntries({ ...action, moves: { ...moves, members } }, entries);
      tx.actions.put(next);
      if (isDone) endAction(tx, next, outcomeOf(members), summaryOf(members));
      else if (isLate) {
        endAction(tx, next, 'failed', `not empty in time: ${summaryOf(members)}`);
      }
    });
    for (const { container, state, from, to, message } of turned) {
      this.#deps.log.info({ container, state, from, to, reason: message }, 'container moves');
    }
  }

  /** Those whose time to go is over before they did. */
  #spareAll(isOver: (by: string) => boolean): void {
    const { store } = this.#deps;
    const spared = evictedBy(store, isOver);
    if (spared.length === 0) return;
    store.transact((tx) => {
      for (const id of spared) update(tx, id, null);
    });
  }
}

/** Something is worth writing although nothing came to another state. */
function differ(a: readonly Move[], b: readonly Move[]): boolean {
  return a.length !== b.length || a.some(({ message }, index) => b[index]?.message !== message);
}

function update(
  tx: Transaction,
  id: ContainerId,
  eviction: { readonly by: NodeId | ActionId; readonly forced: boolean } | null,
): void {
  const container = tx.containers.get(id);
  if (container !== undefined) tx.containers.put({ ...container, eviction });
}

function outcomeOf(members: readonly Move[]): 'succeeded' | 'failed' {
  // What need not move any more stays too; only after a failure there is a time to wait.
  const hasFailed = members.some(({ state, retryAtMs }) => state === 'kept' && retryAtMs > 0);
  return hasFailed ? 'failed' : 'succeeded';
}

/** A line of a timeline. */
function lineOf({ state, from, to, message }: Move): string {
  const why = message === '' ? '' : `: ${message}`;
  switch (state) {
    case 'waiting':
      return `waits for its turn to leave ${from}`;
    case 'moving':
      return to === '' ? `is to leave ${from}${why}` : `moves from ${from} to ${to}${why}`;
    case 'moved':
      return to === '' ? `left ${from}${why}` : `moved from ${from} to ${to}${why}`;
    case 'stuck':
      return `cannot leave ${from}${why}`;
    case 'removed':
      return `left ${from} without a successor`;
    case 'kept':
      return `stays on ${from}${why}`;
  }
}
