import { TokenIssuer } from '../../../coordinator/identity/tokens.ts';
import type { Container, Service } from '../../../coordinator/model.ts';
import { ObservedState } from '../../../coordinator/observed/observed-state.ts';
import { Orchestrator } from '../../../coordinator/orchestrator/orchestrator.ts';
import { Placement } from '../../../coordinator/orchestrator/placement.ts';
import { Routing } from '../../../coordinator/routing/routing.ts';
import { Settling } from '../../../coordinator/routing/settling.ts';
import { Store } from '../../../coordinator/store/store.ts';
import { systemClock } from '../../../shared/clock.ts';
import { createLogger } from '../../../shared/logger.ts';
import { systemRandom } from '../../../shared/random.ts';
import {
  aBinding,
  aContainer,
  aNode,
  aReport,
  aService,
  aSpec,
  containerId,
} from '../../support/builders.ts';

const nodeCount = 1_000;
export const serviceCount = 100;
export const perService = 1_000;
export const containerCount = serviceCount * perService;

/** What decides in a coordinator, on a database that may be there already; closes with it. */
export function openCore(path: string) {
  const clock = systemClock;
  const random = systemRandom;
  const store = new Store(path, { clock });
  const observed = new ObservedState(store.loadObserved(), { clock });
  const settling = new Settling({ store, observed, clock });
  const routing = new Routing({ store, observed, settling, clock });
  const tokens = new TokenIssuer(Buffer.alloc(32), { pin: 'p'.repeat(43), bundle: '' });
  const api = { httpUrl: 'https://bench', grpcAddress: 'bench:1', zone: 'bench' };
  const placement = new Placement({ store, observed, tokens, random, api, clock });
  const log = createLogger({ level: 'error', process: 'bench' });
  const deps = { store, observed, routing, settling, placement, clock, random, log };
  const orchestrator = new Orchestrator(deps);
  return {
    ...{ store, observed, placement, orchestrator },
    [Symbol.dispose]() {
      placement[Symbol.dispose]();
      store[Symbol.dispose]();
    },
  };
}

export type Core = ReturnType<typeof openCore>;

/** Fills an empty database with services that run on all nodes, and a copy of what agents would report. */
export function fill(core: Core, services = serviceCount): void {
  const { store, placement, observed } = core;
  store.transact((tx) => {
    for (let n = 1; n <= nodeCount; n++) {
      const name = `host-${n}`;
      const description = {
        ...{ hostname: name, operatingSystem: 'Debian', os: 'linux', architecture: 'amd64' },
        ...{ engineVersion: '20.10', engineApiVersion: '1.41', cpus: 16, memoryBytes: 2 ** 36 },
        agentVersion: '0.1.0',
      };
      tx.nodes.put(aNode({ name, tags: ['web'], description }));
    }
  });
  const nodes = [...store.nodes.values()];
  for (const { id } of nodes) {
    observed.reportNode(id, { ...observed.node(id), state: 'ready', message: '' });
  }
  for (let n = 1; n <= services; n++) {
    store.transact((tx) => {
      const spec = aSpec({ replicas: perService, tags: ['web'], environment: { MODE: `s${n}` } });
      const service: Service = aService({ name: `service-${n}`, spec });
      tx.services.put(service);
      for (let slot = 1; slot <= perService; slot++) {
        const node = nodes[(slot + n * 7) % nodes.length]!;
        const id = containerId(systemRandom.id());
        const blank: Container = aContainer({
          ...{ id, serviceId: service.id, name: `${service.name}-${slot}`, slot, nodeId: node.id },
          arrived: true,
        });
        tx.containers.put({ ...blank, definition: placement.define(tx, service, blank, node) });
        const ports = [aBinding({ hostPort: 32_768 + ((slot * n) % 28_000) })];
        observed.report(id, aReport({ ports, engineId: systemRandom.id() + systemRandom.id() }));
      }
    });
  }
  store.saveObserved(observed.takeUnsaved());
}
