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

/** Takes all figures of now: goes once through what there is, and keeps nothing. */
export function takeFigures(sources: FigureSources): Figures {
  const { store, routing } = sources;
  const proxies = [...routing.proxies()];
  const nodes = [...store.nodes.values()];
  return {
    version,
    nodes: countNodes(sources),
    ...countContainers(sources),
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

function countContainers(sources: FigureSources): Pick<Figures, 'containers' | 'services'> {
  const { store, observed } = sources;
  const containers: Record<ShownPhase, number> = {
    ...{ pending: 0, pulling: 0, starting: 0, running: 0, draining: 0 },
    ...{ stopping: 0, stopped: 0, failed: 0, removed: 0 },
  };
  const counts = new Map<ServiceId, { running: number; ready: number }>();
  for (const container of store.containers.values()) {
    const seen = observed.container(container.id);
    const phase = shownPhase(container, seen);
    containers[phase]++;
    if (phase !== 'running') continue;
    const count = counts.get(container.serviceId) ?? { running: 0, ready: 0 };
    counts.set(container.serviceId, count);
    count.running++;
    if (seen?.ready === true) count.ready++;
  }
  const services = [...store.services.values()].map((service): ServiceFigures => ({
    ...{ name: service.name, desired: desiredOf(service, sources) },
    ...(counts.get(service.id) ?? { running: 0, ready: 0 }),
  }));
  return { containers, services };
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
