import { shortId, type ServiceId } from '../../shared/ids.ts';
import type { Readiness } from '../../shared/health-check.ts';
import type { Balancing, Route, Share } from '../../shared/routing.ts';
import type {
  Backend,
  Container,
  Frontend,
  Observed,
  PlacedRoute,
  Port,
  Service,
  Target,
} from '../model.ts';
import type { FrontendTls } from '../tls-model.ts';
import { sameCheck } from './proxy-checks.ts';
import { tlsOfPort } from './tls-ports.ts';

/** HAProxy's name for the pool of everything linked that has no routes of its own. */
export const defaultBackend = 'default';

/** The port of the statistics page: never a frontend. */
const statsPort = 1936;

/** Where a proxy runs decides which port it binds. */
export type ProxyPlace = 'container' | 'host';

/** One use of a service's containers at a load balancer. */
export interface Membership {
  readonly backend: string;
  /** Container port. */
  readonly port: number;
  /** Tells the targets of one container apart; empty for those of the default pool. */
  readonly mark: string;
  /** Only while nothing else of the backend can be reached. */
  readonly backup: boolean;
}

/** The HTTP check that all containers of a service are ready by; null: there is none. */
type ReadinessOf = (service: Service) => Readiness | null;

/** A port of a load balancer, and what comes in there. */
interface PlannedFrontend {
  readonly port: Port;
  readonly mode: 'http' | 'tcp';
  readonly defaultBackend: string;
  readonly tls: FrontendTls | null;
  readonly routes: readonly PlacedRoute[];
  readonly acceptProxy: boolean;
  readonly trustedUpstreams: readonly string[];
}

/** All of a load balancer but its targets, which depend on what is observed. */
export interface RoutingPlan {
  readonly frontends: readonly PlannedFrontend[];
  readonly backends: readonly Backend[];
  /** What containers of each linked service are used for. */
  readonly memberships: ReadonlyMap<ServiceId, readonly Membership[]>;
}

/** A route with the service that has it. */
interface OwnedRoute {
  readonly service: Service;
  readonly route: Route;
  readonly index: number;
  readonly backend: string;
  readonly split: PlacedRoute['split'];
}

/**
 * What a load balancer listens on and where that goes, from the routes of the services that it links to. A
 * service without routes for HTTP shares the default pool with others like it. `readinessOf` tells the HTTP check
 * that all containers of a service are ready by; null: there is none.
 */
export function planRoutes(
  lb: Service,
  linked: readonly Service[],
  readinessOf: ReadinessOf = () => null,
): RoutingPlan {
  const pools = new Pools(lb, linked, readinessOf);
  pools.addDefault(linked.some(({ spec }) => spec.routes.some(({ kind }) => kind === 'http')));
  const owned = linked.flatMap((service) => ownedRoutes(service, pools)).sort(compare);
  const { trustedUpstreams, proxyProtocolPorts } = lb.spec.forwarding;
  const frontends = lb.spec.ports
    .filter(({ protocol, containerPort }) => protocol === 'tcp' && containerPort !== statsPort)
    .map((port) => ({
      ...frontendOf(lb, port, owned),
      acceptProxy: proxyProtocolPorts.includes(port.containerPort),
      trustedUpstreams,
    }));
  return { frontends, backends: pools.backends(), memberships: pools.memberships };
}

/** The backends of a load balancer, with what is in each. */
class Pools {
  readonly memberships: Map<ServiceId, Membership[]>;
  readonly #backends = new Map<string, Omit<Backend, 'readiness'>>();
  readonly #services: ReadonlyMap<string, Service>;

  readonly #lb: Service;
  readonly #readinessOf: ReadinessOf;

  constructor(lb: Service, linked: readonly Service[], readinessOf: ReadinessOf) {
    this.#lb = lb;
    this.#readinessOf = readinessOf;
    this.memberships = new Map(linked.map(({ id }) => [id, []]));
    this.#services = new Map(linked.map((service) => [service.name, service]));
  }

  backends(): Backend[] {
    const members = new Map<string, Service[]>();
    for (const service of this.#services.values()) {
      for (const { backend } of this.memberships.get(service.id) ?? []) {
        members.set(backend, [...(members.get(backend) ?? []), service]);
      }
    }
    return [...this.#backends.values()].map((backend) => ({
      ...backend,
      readiness: commonReadiness((members.get(backend.name) ?? []).map(this.#readinessOf)),
    }));
  }

  /** The backend of one port of a service; null: it is not linked, or has no such port. */
  of(name: string, targetPort: number, mode: 'http' | 'tcp'): string | null {
    const service = this.#services.get(name);
    if (service === undefined) return null;
    const port = targetPort === 0 ? balancedPort(service.spec.ports) : targetPort;
    if (port === null) return null;
    const suffix = mode === 'http' ? '' : 't';
    // A dot: no service can have a name like it, and neither has the default pool.
    const backend = `${name}.${port}${mode === 'http' ? '' : '.tcp'}`;
    if (this.#backends.has(backend)) return backend;
    const { balancing } = service.spec;
    this.#backends.set(backend, { name: backend, mode, balancing, cookieKey: service.id });
    this.#join(service, { backend, port, mark: `${port}${suffix}`, backup: false });
    this.#addBackups(service, { backend, mark: `${port}${suffix}` });
    return backend;
  }

  /** The pool of all that has no routes; left out where nothing is in it and there are routes. */
  addDefault(hasRoutes: boolean): void {
    const services = [...this.#services.values()];
    const backups = new Set(services.flatMap(({ spec }) => spec.balancing.backups));
    const pooled = services.flatMap((service) => {
      const port = backups.has(service.name) ? null : pooledPort(service);
      return port === null ? [] : [{ service, port }];
    });
    if (pooled.length === 0 && hasRoutes) return;
    const balancing = agreed(pooled.map(({ service }) => service.spec.balancing));
    const backend = defaultBackend;
    const cookieKey = this.#lb.id;
    this.#backends.set(backend, { name: backend, mode: 'http', balancing, cookieKey });
    for (const { service, port } of pooled) {
      this.#join(service, { backend, port, mark: '', backup: false });
      this.#addBackups(service, { backend, mark: 'default' });
    }
  }

  #addBackups({ spec }: Service, { backend, mark }: { backend: string; mark: string }): void {
    for (const name of spec.balancing.backups) {
      const service = this.#services.get(name);
      const port = service === undefined ? null : balancedPort(service.spec.ports);
      if (service === undefined || port === null) continue;
      this.#join(service, { backend, port, mark: `for-${backend}-${mark}`, backup: true });
    }
  }

  #join({ id }: Service, membership: Membership): void {
    const known = this.memberships.get(id);
    if (known?.some(({ backend }) => backend === membership.backend)) return;
    known?.push(membership);
  }
}

/** HAProxy asks all servers of a pool the same. */
function commonReadiness(all: readonly (Readiness | null)[]): Readiness | null {
  const [first] = all;
  return first != null && all.every((each) => each !== null && sameCheck(each, first))
    ? first
    : null;
}

/** Settings of the default pool: those of its services if all have the same, else none. */
function agreed(all: readonly Balancing[]): Balancing {
  const [first] = all;
  if (first === undefined) return plainBalancing;
  const text = poolSettings(first);
  if (!all.every((each) => poolSettings(each) === text)) return plainBalancing;
  // Agents that do not know of it for a single container take it from here.
  const sendProxy = all.every((each) => each.sendProxy);
  return { ...first, sendProxy, backups: [], http2Ports: [] };
}

/** What of a balancing is the same for a whole pool, as a text; all else is of single services. */
export function poolSettings(balancing: Balancing): string {
  const { algorithm, stickyCookie, compress, unavailable, pauseMs } = balancing;
  const text =
    settingsOf.get(balancing) ??
    JSON.stringify({ algorithm, stickyCookie, compress, unavailable, pauseMs });
  settingsOf.set(balancing, text);
  return text;
}

/** Asked for each service of a pool whenever one of them is shown. */
const settingsOf = new WeakMap<Balancing, string>();

/** In turn, and nothing else. */
export const plainBalancing: Balancing = {
  ...{ algorithm: 'round-robin', stickyCookie: '', compress: false, sendProxy: false },
  ...{ backups: [], unavailable: null, pauseMs: 0, http2Ports: [] },
};

/** Routes whose port the service has; each makes its backend. */
function ownedRoutes(service: Service, pools: Pools): OwnedRoute[] {
  return service.spec.routes.flatMap((route, index) => {
    const mode = route.kind === 'http' ? 'http' : 'tcp';
    const backend = pools.of(service.name, route.targetPort, mode);
    if (backend === null) return [];
    const split = route.split.flatMap(({ service: name, percent, targetPort }: Share) => {
      // One with no part yet has its backend: giving it one then needs no reload.
      const other = pools.of(name, targetPort, mode);
      return other === null || percent === 0 ? [] : [{ backend: other, percent }];
    });
    return [{ service, route, index, backend, split }];
  });
}

/** The port with which a service is in the default pool: the first that no route has; null: it is not. */
export function pooledPort({ spec }: Pick<Service, 'spec'>): number | null {
  if (spec.routes.some(({ kind }) => kind === 'http')) return null;
  const routed = spec.routes.map(({ targetPort }) =>
    targetPort === 0 ? balancedPort(spec.ports) : targetPort,
  );
  const free = spec.ports.filter(({ containerPort }) => !routed.includes(containerPort));
  return balancedPort(free);
}

function frontendOf(
  { spec: { tls } }: Service,
  port: Port,
  owned: readonly OwnedRoute[],
): Omit<PlannedFrontend, 'acceptProxy' | 'trustedUpstreams'> {
  const at = owned.filter(({ route }) => route.port === port.containerPort);
  const [bytes] = at.filter(({ route }) => route.kind !== 'http');
  if (bytes !== undefined) {
    const passed = at.filter(({ route }) => route.kind === 'tls-passthrough');
    const isPlain = bytes.route.kind === 'tcp';
    const takesAll = isPlain ? bytes : passed.find(({ route }) => route.hosts.length === 0);
    return {
      port,
      mode: 'tcp',
      defaultBackend: takesAll?.backend ?? defaultBackend,
      // TLS that containers end is not ended before, and bytes may be anything unless the user says so.
      tls: isPlain && tls.ports.length > 0 ? tlsOfPort(tls, port.containerPort) : null,
      routes: (isPlain ? [bytes] : passed).map(placed),
    };
  }
  const http = owned.filter(
    ({ route }) => route.kind === 'http' && (route.port === 0 || route.port === port.containerPort),
  );
  const secured = tlsOfPort(tls, port.containerPort);
  return { port, mode: 'http', defaultBackend, tls: secured, routes: http.map(placed) };
}

function placed({ service, route, backend, split }: OwnedRoute): PlacedRoute {
  return { id: `${service.name}.${route.name}`, route, backend, split };
}

/** The last of what tells routes apart; all before it depends on the host and path that match. */
function compare(a: OwnedRoute, b: OwnedRoute): number {
  if (a.service.name !== b.service.name) return a.service.name < b.service.name ? -1 : 1;
  return a.index - b.index;
}

/** What a proxy of a load balancer listens on. */
export function frontendsOf({ frontends }: RoutingPlan, place: ProxyPlace): Frontend[] {
  // A port that is not fixed is another for each container.
  const reachedAt = (own: Port) => (place === 'host' ? portOnHost(own) : own.hostPort);
  const secured = frontends.filter(({ mode, tls }) => mode === 'http' && tls !== null);
  const [only] = secured.length === 1 ? secured : [];
  const https = only === undefined ? 0 : reachedAt(only.port);
  return frontends.map(({ port: own, ...rest }) => {
    const port = place === 'host' ? portOnHost(own) : own.containerPort;
    const clientsPort = reachedAt(own);
    const leads =
      rest.mode === 'http' &&
      rest.tls === null &&
      clientsPort > 0 &&
      ![0, usualPort].includes(https);
    return {
      ...{ name: `${rest.mode}_${port}`, port, ...rest },
      ...(leads ? { clientsPort, httpsPort: https } : { clientsPort: 0, httpsPort: 0 }),
    };
  });
}

/** The port of https. */
const usualPort = 443;

/** The port that a proxy on a plain host binds: the one that a container's node would have, if it is fixed. */
export function portOnHost({ containerPort, hostPort }: Port): number {
  return hostPort > 0 ? hostPort : containerPort;
}

/** The container port that a load balancer sends requests to: the first TCP port. */
export function balancedPort(ports: readonly Port[]): number | null {
  return ports.find(({ protocol }) => protocol === 'tcp')?.containerPort ?? null;
}

export interface RoutedContainer {
  readonly container: Container;
  readonly observed: Observed | undefined;
  /** Address of its node for proxies. */
  readonly advertiseAddress: string;
  /** How it is spoken to. */
  readonly balancing: Pick<Balancing, 'http2Ports' | 'sendProxy'>;
}

/**
 * The targets of one container, one for each use of it.
 *
 * Ready containers take requests. One that is being taken away, or whose readiness check fails, drains:
 * it takes none, and what is in flight goes on. One whose process is gone has no target at all. That a node
 * is not heard of says nothing of its containers: proxies find out by themselves whether they answer, until
 * a successor serves and they are taken away as any other.
 */
export function targetsOf(
  service: Service,
  routed: RoutedContainer,
  memberships: readonly Membership[],
): Target[] {
  const { container, observed, advertiseAddress } = routed;
  if (observed?.phase !== 'running') return [];
  if (container.wanted !== 'running' && container.wanted !== 'draining') return [];
  const ready = container.wanted === 'running' && observed.ready;
  const targets: Target[] = [];
  const checkPort = checkPortOf(container, observed.ports);
  const { http2Ports, sendProxy } = routed.balancing;
  for (const { backend, port: wanted, mark, backup } of memberships) {
    const port = portOfTarget(service, container, wanted);
    const binding = observed.ports.find((p) => p.protocol === 'tcp' && p.containerPort === port);
    if (binding === undefined) continue;
    const http2 = http2Ports.includes(port ?? 0);
    targets.push({
      id: [
        `${container.name}.${shortId(container.id)}.${binding.hostPort}`,
        ...marksOf({ http2, sendProxy, mark }),
      ].join('.'),
      backend,
      containerId: container.id,
      container: container.name,
      address: isAny(binding.hostAddress) ? advertiseAddress : binding.hostAddress,
      port: binding.hostPort,
      mode: ready ? 'ready' : 'drain',
      drainTimeoutMs: service.spec.drainTimeoutMs,
      leaving: false,
      ...{ backup, http2, checkPort, sendProxy },
    });
  }
  return targets;
}

/** One that is spoken to in another way is another one to HAProxy. */
function marksOf(how: Pick<Target, 'http2' | 'sendProxy'> & Pick<Membership, 'mark'>): string[] {
  return [how.http2 ? 'h2' : '', how.sendProxy ? 'pp' : '', how.mark].filter((each) => each !== '');
}

/** The port of the node where a container is asked whether it is ready; 0: it is not asked by HTTP. */
function checkPortOf({ definition }: Container, ports: Observed['ports']): number {
  const check = definition?.readiness.check;
  if (definition === null || check?.kind !== 'http') return 0;
  const port = check.port === 0 ? balancedPort(definition.ports) : check.port;
  const binding = ports.find((p) => p.protocol === 'tcp' && p.containerPort === port);
  return binding?.hostPort ?? 0;
}

/** The address of a target is still one of its container's. */
export function stillReaches({ port }: Target, { container, observed }: RoutedContainer): boolean {
  if (observed?.phase !== 'running') return false;
  if (container.wanted !== 'running' && container.wanted !== 'draining') return false;
  return observed.ports.some((p) => p.protocol === 'tcp' && p.hostPort === port);
}

/** While another revision is rolled out, the service's first port may be one that the container does not have. */
function portOfTarget({ spec }: Service, { definition }: Container, wanted: number): number | null {
  const own = definition?.ports ?? spec.ports;
  const has = own.some((port) => port.protocol === 'tcp' && port.containerPort === wanted);
  if (has) return wanted;
  return wanted === balancedPort(spec.ports) ? balancedPort(own) : null;
}

function isAny(address: string): boolean {
  return address === '0.0.0.0' || address === '::' || address === '';
}
