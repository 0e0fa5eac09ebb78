import type { ContainerId, NodeId } from '../../shared/ids.ts';
import type {
  Amount,
  Autodestroy,
  Container,
  FailureAction,
  NodeFailures,
  NodeState,
  Observed,
  ObservedPhase,
  RestartPolicy,
  RetireReason,
  Retirement,
  RevisionSet,
  Rollout,
  Service,
  Wanted,
} from '../model.ts';
import { portsOnNode } from '../scheduler/node-ports.ts';
import type { Groups } from '../scheduler/spread.ts';
import { writesVolumes } from './volumes.ts';

/** The part of a service that planning depends on. */
export interface ServiceView {
  readonly started: boolean;
  readonly terminating: boolean;
  readonly revision: number;
  readonly alike: readonly number[];
  readonly base: RevisionSet | null;
  readonly rollout: Rollout | null;
  readonly replicas: number;
  /** Nodes that an every-node service covers; null with the other strategies. */
  readonly everyNode: readonly NodeId[] | null;
  readonly order: 'start-first' | 'stop-first';
  readonly parallelism: number;
  readonly deadlineMs: number;
  readonly settleMs: number;
  /** Slots that may fail before `onFailure` is done. */
  readonly failureBudget: number;
  readonly onFailure: FailureAction;
  /** Canaries that have settled need nobody to promote them. */
  readonly autoPromote: boolean;
  /** New slots are filled one after the other. */
  readonly sequential: boolean;
  readonly restart: RestartPolicy;
  /** With on-failure: after so many restarts a container has failed for good; 0: never. */
  readonly restartLimit: number;
  /** When it removes itself, its containers having ended. */
  readonly autodestroy: Autodestroy;
  /** Where its containers failed lately. */
  readonly failures: readonly NodeFailures[];
  /** What its containers are spread over beside nodes: the group of each node, the largest groups first. */
  readonly groups: readonly Groups[];
}

/** The part of a container that planning depends on. */
export interface ContainerView {
  readonly id: ContainerId;
  readonly name: string;
  readonly slot: number;
  readonly revision: number;
  readonly attempt: number;
  readonly nodeId: NodeId | null;
  readonly pinnedTo: NodeId | null;
  readonly wanted: Wanted;
  readonly retirement: Retirement | null;
  readonly held: boolean;
  readonly outdated: boolean;
  /** It was ready and admitted at some time. */
  readonly arrived: boolean;
  readonly phase: 'pending' | ObservedPhase;
  /** It may take traffic. */
  readonly ready: boolean;
  /** Every proxy that serves it has acknowledged it; true where none does. */
  readonly admitted: boolean;
  /** No proxy sends to it, and none has anything in flight there. */
  readonly drained: boolean;
  readonly exitCode: number | null;
  /** Its process existed at some time. */
  readonly everRan: boolean;
  /** How often the engine started its process again after it had ended. */
  readonly restarts: number;
  /** Its node was not heard of for longer than the grace: it counts for nothing until it is. */
  readonly lost: boolean;
  /** Its node is not heard of, so that nothing is known of it now; it comes back, or is lost. */
  readonly away: boolean;
  /** It is to go to another node, as soon as a successor there serves. */
  readonly evicted: boolean;
  /** It goes at once, whether or not something takes its place. */
  readonly forced: boolean;
  readonly message: string;
  readonly createdAtMs: number;
  /** When its phase and readiness were heard of. */
  readonly sinceMs: number;
}

export type { RetireReason };

/** What the proxies have acknowledged of one container. */
export interface Admission {
  readonly admitted: boolean;
  readonly drained: boolean;
}

/** Stop-first where the user asks for it, or where old and new cannot hold the same port, address or volume. */
export function effectiveOrder(service: Service): 'start-first' | 'stop-first' {
  const { spec } = service;
  if (spec.update.order !== 'default') return spec.update.order;
  const holdsPort = portsOnNode(spec).some((port) => port.hostPort > 0);
  const holdsAddress = spec.container.macAddress !== '';
  return holdsPort || holdsAddress || writesVolumes(service) ? 'stop-first' : 'start-first';
}

/** `everyNode`: the nodes that qualify, for services of that strategy; else null. `groups`: what it is spread over. */
export function viewService(
  service: Service,
  everyNode: readonly NodeId[] | null,
  groups: readonly Groups[] = [],
): ServiceView {
  const { spec } = service;
  const wanted = everyNode?.length ?? spec.replicas;
  return {
    started: service.started,
    terminating: service.terminating,
    revision: service.revision,
    alike: service.alike,
    base: service.base,
    rollout: service.rollout,
    replicas: spec.replicas,
    everyNode,
    order: effectiveOrder(service),
    parallelism: spec.sequential ? 1 : Math.max(1, countOf(spec.update.parallelism, wanted)),
    sequential: spec.sequential,
    deadlineMs: spec.update.deadlineMs,
    settleMs: spec.update.settleMs,
    failureBudget: countOf(spec.update.failureBudget, wanted),
    onFailure: spec.update.onFailure,
    autoPromote: spec.update.autoPromote,
    restart: spec.restart,
    restartLimit: spec.restartLimit,
    autodestroy: spec.autodestroy,
    failures: service.failures,
    groups,
  };
}

/** How many containers an amount is, of so many; a share is rounded down. */
function countOf(amount: Amount, wanted: number): number {
  return typeof amount === 'number'
    ? amount
    : Math.floor((Number.parseInt(amount, 10) * wanted) / 100);
}

/** What is known of a container beside its record. */
export interface Circumstances {
  readonly observed: Observed | undefined;
  readonly admission: Admission;
  /** Null: it has none yet. */
  readonly node: { readonly state: NodeState } | null;
}

export function viewContainer(
  container: Container,
  { observed, admission, node }: Circumstances,
): ContainerView {
  const lost = node?.state === 'down';
  const reported = observed === undefined ? unheardOf(container) : reportedPart(observed);
  return {
    id: container.id,
    name: container.name,
    slot: container.slot,
    revision: container.revision,
    attempt: container.attempt,
    nodeId: container.nodeId,
    pinnedTo: container.pinnedTo,
    wanted: container.wanted,
    retirement: container.retirement,
    held: container.held,
    outdated: container.outdated,
    arrived: container.arrived,
    phase: reported.phase,
    ready: reported.ready && !lost,
    admitted: admission.admitted,
    drained: admission.drained,
    exitCode: reported.exitCode,
    everRan: reported.everRan,
    restarts: reported.restarts,
    lost,
    away: node?.state === 'unreachable' || node?.state === 'unknown',
    evicted: container.eviction !== null && !lost,
    forced: container.eviction?.forced === true && !lost,
    message: lost ? 'its node is down' : reported.message,
    createdAtMs: container.createdAtMs,
    sinceMs: reported.sinceMs,
  };
}

type ReportedPart = Pick<
  ContainerView,
  'phase' | 'ready' | 'exitCode' | 'everRan' | 'restarts' | 'message' | 'sinceMs'
>;

function unheardOf({ createdAtMs }: Container): ReportedPart {
  const message = '';
  const phase = 'pending';
  const ran = { exitCode: null, everRan: false, restarts: 0 };
  return { phase, ready: false, ...ran, message, sinceMs: createdAtMs };
}

function reportedPart(observed: Observed): ReportedPart {
  const { phase, exitCode, startedAtMs, restarts, message, sinceMs } = observed;
  const ready = phase === 'running' && observed.ready;
  return { phase, ready, exitCode, everRan: startedAtMs !== null, restarts, message, sinceMs };
}

/** Its process exists or is being brought about. */
export function isAlive({ phase }: Pick<ContainerView, 'phase'>): boolean {
  switch (phase) {
    case 'pending':
    case 'pulling':
    case 'starting':
    case 'running':
    case 'stopping':
      return true;
    case 'stopped':
    case 'failed':
    case 'removed':
      return false;
  }
}
