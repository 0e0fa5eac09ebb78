import type { Clock } from '../../shared/clock.ts';
import { messageOf } from '../../shared/errors.ts';
import type { NodeId } from '../../shared/ids.ts';
import type { Logger } from '../../shared/logger.ts';
import { Wakeup } from '../../shared/wakeup.ts';
import type { Action, NodeState, Roll, RollMember } from '../model.ts';
import type { ObservedState } from '../observed/observed-state.ts';
import type { ApiAddresses } from '../orchestrator/container-environment.ts';
import { endAction, openRolls, withEntries } from '../orchestrator/actions.ts';
import type { Store, Transaction } from '../store/store.ts';
import type { NodeUpgrades, UpgradeState } from './node-upgrades.ts';
import { planRoll, type MemberView, type RollPlan } from './roll.ts';

/** How often a roll is looked at without any event. */
const recheckMs = 1_000;

/** Whatever serves packages. */
export interface PackageSource {
  /** Version of the packages; null: there are none. */
  readonly version: string | null;
  /** Hash and length of a package; null: it is not served. */
  packageNamed(name: string): { readonly sha256: string; readonly size: number } | null;
}

export interface RollerDeps {
  readonly store: Store;
  readonly observed: ObservedState;
  readonly upgrades: NodeUpgrades;
  readonly packages: PackageSource;
  /** Where they are served; known once it listens. */
  readonly api: Pick<ApiAddresses, 'httpUrl'>;
  readonly clock: Clock;
  readonly log: Logger;
}

const removed: MemberView = {
  ...{ presence: 'removed', version: '', isOnTrial: false },
  ...{ obstacle: null, failure: null },
};

const presences: Readonly<Record<NodeState, 'unsure' | 'away'>> = {
  // Its session ended a moment ago, or this coordinator just started.
  ...{ ready: 'unsure', 'engine-away': 'unsure', unknown: 'unsure' },
  ...{ joining: 'away', unreachable: 'away', down: 'away' },
};

/**
 * Carries rolls of upgrades on, over restarts of the coordinator too: looks at where each node is, writes what
 * follows, and tells the agents whose turn it is.
 */
export class Roller {
  readonly #deps: RollerDeps;
  readonly #wakeup = new Wakeup();

  constructor(deps: RollerDeps) {
    this.#deps = deps;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { store, clock, log } = this.#deps;
    using _store = store.subscribe((changes) => {
      if (changes.some(({ table }) => table === 'actions')) this.#wakeup.notify();
    });
    while (!signal.aborted) {
      const rolls = openRolls(store.actions.values());
      for (const action of rolls) {
        try {
          this.#advance(action);
        } catch (error) {
          // The disk is full, say: it is tried again.
          log.error({ reason: messageOf(error), actionId: action.id }, 'upgrade does not go on');
        }
      }
      if (rolls.length === 0) await this.#wakeup.wait(signal);
      else await this.#wakeup.waitFor(recheckMs, clock, signal);
    }
  }

  /** What is known of a node of a roll. */
  viewOf(member: Pick<RollMember, 'nodeId'>): MemberView {
    const { store, upgrades } = this.#deps;
    const node = store.nodes.get(member.nodeId);
    if (node === undefined) return removed;
    const state = upgrades.stateOf(node.id);
    if (state === undefined) {
      const version = node.description?.agentVersion ?? '';
      return { ...removed, presence: this.#presenceOf(node.id), version };
    }
    return {
      presence: state.link === null ? this.#presenceOf(node.id) : 'connected',
      version: state.version,
      isOnTrial: state.isOnTrial,
      obstacle: this.#obstacleOf(state),
      failure: state.failure,
    };
  }

  #presenceOf(nodeId: NodeId): 'unsure' | 'away' {
    return presences[this.#deps.observed.node(nodeId).state];
  }

  #obstacleOf({ package: name, obstacle, version }: UpgradeState): string | null {
    if (obstacle !== '') return obstacle;
    if (name === '') {
      return `its agent, version ${version}, cannot upgrade itself; install it by the line of "fairlead node invite"`;
    }
    if (this.#deps.packages.packageNamed(name) !== null) return null;
    return `this coordinator serves no ${name}`;
  }

  #advance(action: Action): void {
    const { clock, packages } = this.#deps;
    const { roll } = action;
    if (roll === null) return;
    if (packages.version !== roll.version) {
      const serves = packages.version ?? 'no packages';
      const message = `the coordinator serves ${serves} now, not ${roll.version}; start the upgrade again`;
      this.#write(action, roll, {
        members: roll.members,
        changed: [],
        end: { state: 'failed', message },
      });
      return;
    }
    const plan = planRoll(roll, {
      viewOf: (member) => this.viewOf(member),
      attempt: action.id,
      nowMs: clock.now(),
    });
    if (plan.changed.length > 0 || plan.end !== null) this.#write(action, roll, plan);
    // After the commit, and again in each session: an agent knows what it was told before.
    for (const member of plan.members)
      if (member.state === 'told') this.#tell(member, roll, action);
  }

  #write(action: Action, roll: Roll, { members, changed, end }: RollPlan): void {
    const { store, log } = this.#deps;
    store.transact((tx) => {
      const entries = changed.map(({ name, message }) => ({
        timeMs: tx.nowMs,
        container: name,
        message,
      }));
      const next = withEntries({ ...action, roll: { ...roll, members } }, entries);
      tx.actions.put(next);
      for (const member of changed) tellEvent(tx, member, action);
      if (end !== null) endAction(tx, next, end.state, end.message);
    });
    for (const { name, state, message } of changed) {
      log.info({ node: name, state, reason: message }, 'upgrade of a node');
    }
  }

  #tell({ nodeId }: RollMember, { version }: Roll, { id }: Action): void {
    const { upgrades, packages, api } = this.#deps;
    const name = upgrades.stateOf(nodeId)?.package ?? '';
    const served = packages.packageNamed(name);
    if (served === null) return;
    const url = `${api.httpUrl}/packages/${name}`;
    upgrades.tell(nodeId, { attempt: id, version, url, ...served });
  }
}

function tellEvent(tx: Transaction, member: RollMember, action: Action): void {
  const type = eventTypes[member.state];
  if (type === undefined) return;
  const { nodeId, name, message } = member;
  tx.event({ type, objectId: nodeId, objectName: name, actionId: action.id, message });
}

const eventTypes: Readonly<Partial<Record<RollMember['state'], string>>> = {
  upgraded: 'node.upgraded',
  failed: 'node.upgrade-failed',
};
