import type { ContainerId, ServiceId } from '../../shared/ids.ts';
import type { Move, MoveState, PlacementReason } from '../model.ts';

/** Why a container cannot go anywhere now. */
export interface Obstacle {
  readonly message: string;
  /** Why each node refuses it; empty if that is not it. */
  readonly reasons: readonly PlacementReason[];
}

/** What is to take the place of a container that moves. */
export interface Successor {
  /** Name of its node; empty while it has none. */
  readonly node: string;
  /** Nothing stands in its way; or it serves; or it will not come by itself. */
  readonly standing: 'coming' | 'serving' | 'failed';
  /** What it waits for, or why it failed. */
  readonly message: string;
  readonly reasons: readonly PlacementReason[];
}

/** What planning sees of a container that is to move. */
export interface MoveView {
  readonly id: ContainerId;
  readonly name: string;
  readonly slot: number;
  readonly serviceId: ServiceId;
  readonly service: string;
  /** Name of the node that it leaves. */
  readonly from: string;
  /** It serves where it is; or it is on its way out, for whatever reason; or it is gone. */
  readonly standing: 'here' | 'leaving' | 'gone';
  /** It was told to move. */
  readonly evicted: boolean;
  /** It goes whether or not something takes its place. */
  readonly forced: boolean;
  readonly successor: Successor | null;
  /** As many of its service may be replaced at the same time. */
  readonly serviceParallelism: number;
}

export interface MoveOrder {
  /** Containers that move at the same time; 0: as many as their services let. */
  readonly parallelism: number;
  /** What cannot move stays for good, rather than being tried again. */
  readonly once: boolean;
  /** Everything goes now, with a successor or without. */
  readonly force: boolean;
  readonly known: readonly Move[];
  readonly nowMs: number;
  /** Why a container cannot move just now; null: it can. Asked only of those whose turn it is. */
  readonly obstacleTo: (view: MoveView) => Obstacle | null;
}

export interface MovePlan {
  /** All of them, as they are now. */
  readonly members: readonly Move[];
  /** Those that came to another state. */
  readonly turned: readonly Move[];
  /** Containers that are told to move, and to go whatever takes their place. */
  readonly evict: readonly ContainerId[];
  readonly force: readonly ContainerId[];
  /** Containers that need not move any more. */
  readonly spare: readonly ContainerId[];
}

/** After a successor failed, its predecessor is left alone for so long. */
const retryMs = 60_000;

/**
 * What comes next for containers that are to go to other nodes: what became of those that were told, and whom to
 * tell now. Pure: the shell marks the containers, and their services replace them as in a rollout.
 */
export function planMoves(views: readonly MoveView[], order: MoveOrder): MovePlan {
  return new MovePlanner(order).plan(views);
}

/** Whether nothing more will become of a container that moves. */
export function isSettled({ state }: Pick<Move, 'state'>): boolean {
  return state === 'moved' || state === 'removed' || state === 'kept';
}

class MovePlanner {
  readonly #order: MoveOrder;
  readonly #known: ReadonlyMap<ContainerId, Move>;
  readonly #moving = new Map<ServiceId, number>();
  #budget: number;
  readonly #evict: ContainerId[] = [];
  readonly #force: ContainerId[] = [];
  readonly #spare: ContainerId[] = [];

  constructor(order: MoveOrder) {
    this.#order = order;
    this.#known = new Map(order.known.map((move) => [move.containerId, move]));
    this.#budget = order.parallelism === 0 ? Infinity : order.parallelism;
  }

  plan(views: readonly MoveView[]): MovePlan {
    const settled = views.map((view) => ({ view, move: this.#settle(view) }));
    for (const { view, move } of settled) {
      if (!isUnderWay(view, move)) continue;
      this.#budget--;
      this.#moving.set(view.serviceId, this.#movingOf(view) + 1);
    }
    const members = settled.map(({ view, move }) => this.#begin(view, move));
    const turned = members.filter((move) => {
      const before = this.#known.get(move.containerId);
      return before?.state !== move.state || before.to !== move.to;
    });
    return { members, turned, evict: this.#evict, force: this.#force, spare: this.#spare };
  }

  /** Where it stands, by what is seen of it and of its successor. */
  #settle(view: MoveView): Move {
    const before = this.#known.get(view.id) ?? firstOf(view);
    if (isSettled(before)) return before;
    switch (view.standing) {
      case 'here':
        return this.#settleHere(view, before);
      case 'leaving':
        return turn(before, 'moving', {
          to: view.successor?.node ?? '',
          message: 'finishes what it has in flight',
        });
      case 'gone':
        return settleGone(view.successor, before);
    }
  }

  #settleHere(view: MoveView, before: Move): Move {
    const { evicted, forced, successor } = view;
    if (!evicted) return before.state === 'moving' ? turn(before, 'waiting', {}) : before;
    if (!forced && successor?.standing === 'failed') return this.#giveUp(view, before);
    // Its service is at something else: it says so for as long as that takes.
    const turnless = `waits for its turn: ${view.service} replaces no more at a time`;
    const { node: to = '', message = turnless } = successor ?? {};
    return turn(before, 'moving', { to, message });
  }

  /** It stays, at least for a while; what came for it goes again. */
  #giveUp({ id, successor }: MoveView, before: Move): Move {
    this.#spare.push(id);
    const { once, nowMs } = this.#order;
    const { message = '', reasons = [] } = successor ?? {};
    // That no node takes it may change at any time; what failed is not tried again at once.
    const retryAtMs = reasons.length > 0 ? 0 : nowMs + retryMs;
    return turn(before, once ? 'kept' : 'stuck', { message, reasons, retryAtMs });
  }

  #begin(view: MoveView, move: Move): Move {
    if (view.standing !== 'here' || isSettled(move)) return move;
    if (this.#order.force) {
      if (!view.forced) this.#force.push(view.id);
      return move.state === 'moving' ? move : turn(move, 'moving', { message: 'is forced to go' });
    }
    return this.#mayBegin(view, move) ? this.#tell(view, move) : move;
  }

  /** Whether its turn has come. */
  #mayBegin(view: MoveView, { state, retryAtMs }: Move): boolean {
    if (state !== 'waiting' && (state !== 'stuck' || this.#order.nowMs < retryAtMs)) return false;
    // Whatever failed there came for another reason, and stays so until somebody looks at it again.
    if (this.#spare.includes(view.id) || view.successor?.standing === 'failed') return false;
    return this.#budget > 0 && this.#movingOf(view) < view.serviceParallelism;
  }

  #tell(view: MoveView, move: Move): Move {
    const { once, obstacleTo } = this.#order;
    const obstacle = obstacleTo(view);
    if (obstacle !== null) return turn(move, once ? 'kept' : 'stuck', obstacle);
    this.#budget--;
    this.#moving.set(view.serviceId, this.#movingOf(view) + 1);
    this.#evict.push(view.id);
    return turn(move, 'moving', {});
  }

  #movingOf({ serviceId }: MoveView): number {
    return this.#moving.get(serviceId) ?? 0;
  }
}

function settleGone(successor: Successor | null, before: Move): Move {
  if (successor === null) return turn(before, 'removed', {});
  const { node: to, standing, message, reasons } = successor;
  switch (standing) {
    case 'coming':
      return turn(before, 'moving', { to, message });
    case 'serving':
      return turn(before, 'moved', { to });
    case 'failed':
      return turn(before, 'moved', { to, message, reasons });
  }
}

/** Its service has one less, or one more, until its successor serves. */
function isUnderWay({ standing, evicted, forced, successor }: MoveView, { state }: Move): boolean {
  if (state !== 'moving' || forced || successor?.standing === 'serving') return false;
  return standing === 'gone' || evicted;
}

function firstOf({ id, name, slot, serviceId, service, from }: MoveView): Move {
  return {
    ...{ containerId: id, container: name, slot, serviceId, service, from, to: '' },
    ...{ state: 'waiting', message: '', reasons: [], retryAtMs: 0 },
  };
}

function turn(move: Move, state: MoveState, change: Partial<Move>): Move {
  return { ...move, message: '', reasons: [], ...change, state };
}

/** How many names a sentence has. */
const namesShown = 5;

/** What became of all of them, in a sentence; empty if there is nothing odd about it. */
export function summaryOf(members: readonly Move[]): string {
  const of = (...states: MoveState[]) => members.filter(({ state }) => states.includes(state));
  const moved = of('moved');
  const parts = [
    ...of('stuck', 'waiting', 'moving', 'kept').map(sentenceOf),
    ...moved
      .filter(({ message }) => message !== '')
      .map(({ container, message }) => `${container} is not back yet: ${message}`),
    ...of('removed').map(({ container }) => `${container} went without a successor`),
  ];
  if (parts.length === 0) return '';
  const shown = parts.slice(0, namesShown);
  if (parts.length > shown.length) shown.push(`and ${parts.length - shown.length} more`);
  return `${moved.length} of ${members.length} moved; ${shown.join('; ')}`;
}

/** One that is not away, and why. */
function sentenceOf({ container, state, message }: Move): string {
  const words = message === '' ? '' : `: ${message}`;
  switch (state) {
    case 'kept':
      return `${container} stays${words}`;
    case 'moving':
      return `${container} is on its way${words}`;
    case 'waiting':
      return `${container} was not begun${words}`;
    case 'stuck':
    case 'moved':
    case 'removed':
      return `${container} cannot go${words}`;
  }
}
