import { DomainError, type FieldViolation } from '../../shared/errors.ts';
import { PlanStepKind, type PlanStep } from '../../shared/gen/fairlead/v1/action.ts';
import type {
  UpgradeNodesRequest,
  UpgradeNodesResponse,
} from '../../shared/gen/fairlead/v1/control_service.ts';
import type { Clock } from '../../shared/clock.ts';
import type { Action, Node, Roll, RollMember } from '../model.ts';
import type { Store } from '../store/store.ts';
import { previewRoll } from '../upgrades/roll.ts';
import type { PackageSource, Roller } from '../upgrades/roller.ts';
import type { Call } from './call.ts';
import { actionToProto } from './convert.ts';
import { optionsFromProto } from './convert-requests.ts';
import type { Lookup } from './lookup.ts';
import type { Mutations, Target } from './mutations.ts';
import type { Presenter } from './present.ts';
import { throwIfInvalid, validateRange } from './validate.ts';

const defaultParallelism = 3;
const maxParallelism = 100;
const maxNamed = 10_000;

export interface NodeUpgradeApiDeps {
  readonly store: Store;
  readonly roller: Roller;
  readonly packages: PackageSource;
  readonly lookup: Lookup;
  readonly mutations: Mutations;
  readonly presenter: Presenter;
  readonly clock: Clock;
  readonly installationId: string;
}

/** The API's method that upgrades the agents of nodes. */
export class NodeUpgradeApi {
  readonly #deps: NodeUpgradeApiDeps;

  constructor(deps: NodeUpgradeApiDeps) {
    this.#deps = deps;
  }

  upgradeNodes(request: UpgradeNodesRequest, call: Call): UpgradeNodesResponse {
    const { mutations, packages } = this.#deps;
    const violations: FieldViolation[] = [];
    const options = optionsFromProto(request.options, violations);
    const { parallelism, nodes: names } = request;
    validateRange(parallelism, { min: 0, max: maxParallelism, field: 'parallelism' }, violations);
    if (names.length > maxNamed) {
      violations.push({ field: 'nodes', rule: `must have at most ${maxNamed} names` });
    }
    if (options.version !== 0) {
      violations.push({ field: 'options.version', rule: 'must be 0: nodes have a version each' });
    }
    throwIfInvalid(violations);
    const replayed = mutations.replayed('UpgradeNodes', call, options);
    if (replayed !== undefined) return this.#answer(replayed.roll, replayed);
    if (packages.version === null) {
      throw new DomainError(
        'precondition',
        'this coordinator serves no packages that agents could become: make them by "npm run package", and tell it where they are by --packages-dir',
        { reason: 'PACKAGES_MISSING' },
      );
    }
    const nodes = this.#inOrder(call, names);
    const roll: Roll = {
      version: packages.version,
      parallelism: parallelism === 0 ? defaultParallelism : parallelism,
      members: nodes.map(({ id, name }) => ({
        ...{ nodeId: id, name, state: 'waiting', toldAtMs: 0, message: '' },
      })),
    };
    if (options.dryRun) {
      return { ...this.#answer(roll, undefined), plan: { steps: this.#preview(roll) } };
    }
    const { action } = mutations.perform(
      call,
      options,
      {
        method: 'UpgradeNodes',
        target: targetOf(nodes, this.#deps.installationId),
        serviceId: null,
        roll,
        event: 'node.upgrading',
      },
      () => undefined,
    );
    return this.#answer(roll, action);
  }

  /** Those first whose agents have least to look after: one of them tries the version for all. */
  #inOrder(call: Call, names: readonly string[]): Node[] {
    const { store, lookup } = this.#deps;
    const named = names.map((name) => lookup.node(call, name));
    const nodes = [...new Set(named.length > 0 ? named : store.nodes.values())];
    const load = ({ id }: Node) => store.containersOn(id).length;
    return nodes.sort((a, b) => load(a) - load(b) || a.name.localeCompare(b.name, 'en'));
  }

  #preview(roll: Roll): PlanStep[] {
    const { roller, clock } = this.#deps;
    const viewOf = (member: RollMember) => roller.viewOf(member);
    let order = 0;
    return previewRoll(roll, { viewOf, attempt: '', nowMs: clock.now() }).map((member) => {
      const { name: node, state, message } = member;
      const step = { container: '', node, placement: [] };
      if (state === 'same' || state === 'left') {
        return { ...step, kind: PlanStepKind.LEAVE, reason: message };
      }
      const { version } = viewOf(member);
      const turn = order++ === 0 ? 'first, alone' : `then, ${roll.parallelism} at a time`;
      const reason = `${version} to ${roll.version}: ${turn}`;
      return { ...step, kind: PlanStepKind.UPGRADE, reason };
    });
  }

  #answer(roll: Roll | null, action: Action | undefined): UpgradeNodesResponse {
    const { store, presenter } = this.#deps;
    const nodes = (roll?.members ?? []).flatMap(({ nodeId }) => store.nodes.get(nodeId) ?? []);
    return {
      version: roll?.version ?? '',
      nodes: nodes.map((node) => presenter.node(node)),
      action: action && actionToProto(action),
      plan: undefined,
    };
  }
}

function targetOf(nodes: readonly Node[], installationId: string): Target {
  const [first] = nodes;
  if (first !== undefined && nodes.length === 1) {
    return { kind: 'node', id: first.id, name: first.name };
  }
  return { kind: 'fleet', id: installationId, name: `${nodes.length} nodes` };
}
