import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Clock } from '../../shared/clock.ts';
import type { NodeId, ServiceId } from '../../shared/ids.ts';
import type { ActionState, Container, NodeState, Observed, Service } from '../model.ts';
import type { ObservedState } from '../observed/observed-state.ts';
import type { Placement } from '../orchestrator/placement.ts';
import type { Routing } from '../routing/routing.ts';
import type { Store } from '../store/store.ts';
import { version } from '../version.ts';
import type { Figures, ProcessFigures, ServiceFigures, ShownPhase } from './metrics-text.ts';

/** What figures are taken from. */
export interface FigureSources {
  readonly store: Store;
  readonly observed: Pick<ObservedState, 'container' | 'node'>;
  readonly routing: Pick<Routing, 'list' | 'proxies'>;
  readonly placement: Pick<Placement, 'coverage'>;
  readonly dispatcher: { readonly isConnected: (id: NodeId) => boolean };
  readonly clock: Clock;
}

/** After so much work in one go others have their turn: reports, and what goes to the proxies. */
const pieceMs = 5;

/** Takes all figures: goes once through what there is, piece by piece, and keeps nothing. */
export async function takeFigures(sources: FigureSources): Promise<Figures> {
  const { store, routing } = sources;
  const counted = await countContainers(sources);
  const proxies = [...routing.proxies()];
  const nodes = [...store.nodes.values()];
  return {
    version,
    nodes: countNodes(sources),
    ...counted,
    actions: countActions(store),
    sessions: {
      node: nodes.filter(({ id }) => sources.dispatcher.isConnected(id)).length,
      proxy: proxies.filter(({ session }) => session !== null).length,
    },
    proxies: proxies.map((proxy) => {
      const { identity, session, appliedVersion, clientConnections, status } = proxy;
      const { reloads, restarts } = status.history;
      return {
        ...{ id: identity.id, name: identity.name, connected: session !== null },
        ...{ appliedVersion, clientConnections, reloads, restarts },
        service: store.services.get(identity.serviceId)?.name ?? '',
        listVersion: routing.list(identity.serviceId)?.version ?? appliedVersion,
      };
    }),
    certificates: [...store.certificates.values()].map(({ name, facts }) => ({
      ...{ name, notAfterMs: facts.notAfterMs },
    })),
    process: ownProcess(sources.clock),
  };
}

function countNodes({ store, observed }: FigureSources): Figures['nodes'] {
  const counts: Record<NodeState, number> = {
    ...{ unknown: 0, joining: 0, ready: 0, 'engine-away': 0, unreachable: 0, down: 0 },
  };
  for (const { id } of store.nodes.values()) counts[observed.node(id).state]++;
  return counts;
}

function countActions(store: Store): Figures['actions'] {
  const counts: Record<ActionState, number> = {
    ...{ 'in-progress': 0, succeeded: 0, failed: 0, superseded: 0, cancelled: 0 },
  };
  for (const { state } of store.actions.values()) counts[state]++;
  return counts;
}

async function countContainers(
  sources: FigureSources,
): Promise<Pick<Figures, 'containers' | 'services'>> {
  const { store, observed, clock } = sources;
  const containers: Record<ShownPhase, number> = {
    ...{ pending: 0, pulling: 0, starting: 0, running: 0, draining: 0 },
    ...{ stopping: 0, stopped: 0, failed: 0, removed: 0 },
  };
  const counts = new Map<ServiceId, { running: number; ready: number }>();
  const rest = new Rest(clock);
  for (const container of store.containers.values()) {
    const seen = observed.container(container.id);
    const phase = shownPhase(container, seen);
    containers[phase]++;
    if (phase === 'running') {
      const count = counts.get(container.serviceId) ?? { running: 0, ready: 0 };
      counts.set(container.serviceId, count);
      count.running++;
      if (seen?.ready === true) count.ready++;
    }
    if (rest.isDue()) await rest.take();
  }
  const services: ServiceFigures[] = [];
  for (const service of store.services.values()) {
    services.push({
      ...{ name: service.name, desired: desiredOf(service, sources) },
      ...(counts.get(service.id) ?? { running: 0, ready: 0 }),
    });
    if (rest.isDue()) await rest.take();
  }
  return { containers, services };
}

/** Says when it is the others' turn. */
class Rest {
  readonly #clock: Clock;
  #sinceMs: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#sinceMs = clock.monotonic();
  }

  isDue(): boolean {
    return this.#clock.monotonic() - this.#sinceMs >= pieceMs;
  }

  async take(): Promise<void> {
    await nextTurn();
    this.#sinceMs = this.#clock.monotonic();
  }
}

/** What runs and is on its way out is shown as that. */
function shownPhase({ wanted }: Container, seen: Observed | undefined): ShownPhase {
  if (seen === undefined) return 'pending';
  if (seen.phase !== 'running' || wanted === 'running') return seen.phase;
  return wanted === 'draining' ? 'draining' : 'stopping';
}

function desiredOf(service: Service, { placement }: FigureSources): number {
  if (!service.started || service.terminating) return 0;
  return placement.coverage(service)?.length ?? service.spec.replicas;
}

function ownProcess(clock: Clock): ProcessFigures {
  const { user, system } = process.cpuUsage();
  const { rss, heapUsed } = process.memoryUsage();
  return {
    startedAtMs: Math.round(clock.now() - process.uptime() * 1_000),
    cpuSeconds: (user + system) / 1_000_000,
    residentBytes: rss,
    heapBytes: heapUsed,
  };
}
