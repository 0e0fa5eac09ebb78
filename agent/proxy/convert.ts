import { isIP, SocketAddress } from 'node:net';
import {
  ProxyLoadingKind,
  TargetHealth,
  TargetMode,
} from '../../shared/gen/fairlead/v1/load_balancer.ts';
import {
  FrontendMode,
  type BackendDelta,
  type BackendSnapshot,
  type ProxyHello,
  type ProxySessionRequest,
  type ProxyStatus,
  type Backend as ProtoBackend,
  type Frontend as ProtoFrontend,
  type FrontendRoute as ProtoFrontendRoute,
  type Target as ProtoTarget,
  type TargetStatus as ProtoTargetStatus,
} from '../../shared/gen/fairlead/v1/proxy_service.ts';
import type { Readiness } from '../../shared/gen/fairlead/v1/service.ts';
import type {
  Backend,
  Frontend,
  FrontendRoute,
  ListDelta,
  ListSnapshot,
  Protocol,
  RejectedTarget,
  Target,
} from './backend-list.ts';
import { frontendTlsOf } from './certificates/tls-convert.ts';
import { isOwnName } from './config-settings.ts';
import type { AppliedVersion, HaproxyStatus, Outgoing, TargetStatus } from './outbox.ts';
import { agentVersion } from './version.ts';

const protocolVersion = 1;

/** HAProxy takes these names, and nothing in them ends a word of a command or a file. */
const namePattern = /^[A-Za-z0-9_.:-]{1,200}$/;
const networkPattern = /^[0-9a-fA-F.:]+(\/[0-9]{1,3})?$/;
const headerName = /^[A-Za-z0-9_-]{1,100}$/;
const healthCodes = { up: TargetHealth.UP, down: TargetHealth.DOWN } as const;
const loadingKinds = {
  adopt: ProxyLoadingKind.ADOPT,
  start: ProxyLoadingKind.START,
  reload: ProxyLoadingKind.RELOAD,
} as const;

/** What a proxy says of itself when it opens a session. */
export interface Greeting {
  readonly proxyId: string;
  readonly name: string;
  readonly service: string;
  readonly status: HaproxyStatus;
  readonly applied: AppliedVersion | undefined;
}

/** A part of a list, and what in it cannot be used, in words. */
interface Usable<T> {
  readonly usable: T[];
  readonly problems: string[];
}

/**
 * Reads a whole list. Frontends and backends that HAProxy could not have are left out, and named in
 * `problem`: they must not cost the others their file.
 */
export function snapshotOf(message: BackendSnapshot): {
  readonly snapshot: ListSnapshot;
  readonly problem: string | undefined;
} {
  const backends = usableOf(message.backends, 'backend', backendOf);
  const frontends = usableOf(message.frontends, 'frontend', frontendOf);
  const problems = [...frontends.problems, ...backends.problems];
  return {
    snapshot: {
      epoch: message.epoch,
      version: message.version,
      frontends: frontends.usable,
      backends: backends.usable,
      ...targetsOf(message.targets),
    },
    problem: problems.length === 0 ? undefined : problems.join('; '),
  };
}

/** Reads what changed. */
export function deltaOf(message: BackendDelta): ListDelta {
  return {
    epoch: message.epoch,
    baseVersion: message.baseVersion,
    version: message.version,
    removedTargetIds: message.removedTargetIds,
    ...targetsOf(message.targets),
  };
}

/** The first message of a session. */
export function helloOf(greeting: Greeting): ProxySessionRequest {
  const { proxyId, name, service, status, applied } = greeting;
  const value: ProxyHello = {
    protocolVersion,
    verbs: ['routes', 'tls'],
    proxyId,
    name,
    service,
    agentVersion,
    status: statusToProto(status),
    epoch: applied?.epoch ?? '',
    version: applied?.version ?? 0,
  };
  return { message: { $case: 'hello', value } };
}

/** Everything after the hello, but for signs of life. */
export function requestOf(outgoing: Outgoing): ProxySessionRequest {
  switch (outgoing.kind) {
    case 'applied': {
      const { errors: words, unreachedBackends, ...rest } = outgoing.applied;
      const errors = [...words].map(([targetId, message]) => ({ targetId, message }));
      const value = { ...rest, errors, unreachedBackends: [...unreachedBackends] };
      return { message: { $case: 'applied', value } };
    }
    case 'targets':
      return {
        message: {
          $case: 'targets',
          value: {
            targets: outgoing.targets.map(targetToProto),
            clientConnections: outgoing.clientConnections,
          },
        },
      };
    case 'pace': {
      const { leastIntervalMs } = outgoing;
      return { message: { $case: 'pace', value: { leastIntervalMs } } };
    }
    case 'certificates': {
      const certificates = outgoing.held.map(({ id, digest, refusal }) => {
        return { certificate: { id, digest }, message: refusal };
      });
      return { message: { $case: 'certificates', value: { certificates } } };
    }
    case 'status':
      return { message: { $case: 'status', value: statusToProto(outgoing.status) } };
  }
}

function targetToProto(status: TargetStatus): ProtoTargetStatus {
  const { targetId, health, healthMessage, inFlight, requests, drained } = status;
  return {
    targetId,
    healthMessage,
    health: health === undefined ? TargetHealth.UNSPECIFIED : healthCodes[health],
    inFlight,
    requests,
    drained,
  };
}

function statusToProto({ version, pid, message, history }: HaproxyStatus): ProxyStatus {
  const { reloads, restarts, loadings, lastError } = history;
  return {
    haproxyVersion: version,
    haproxyPid: pid,
    message,
    history: {
      reloads,
      restarts,
      loadings: loadings.map(({ atMs, kind, reason }) => ({
        at: new Date(atMs),
        kind: loadingKinds[kind],
        reason,
      })),
      lastError: lastError?.words ?? '',
      lastErrorAt: lastError && new Date(lastError.atMs),
    },
  };
}

function targetsOf(messages: readonly ProtoTarget[]): {
  readonly targets: Target[];
  readonly rejected: RejectedTarget[];
} {
  const targets: Target[] = [];
  const rejected: RejectedTarget[] = [];
  for (const message of messages) {
    const target = targetOf(message);
    if (typeof target === 'string') rejected.push({ id: message.id, message: target });
    else targets.push(target);
  }
  return { targets, rejected };
}

/** HAProxy takes some mistakes in silence: an address without a port, a name that it never resolves. */
function targetOf(message: ProtoTarget): Target | string {
  const { id, backend, port, drainTimeoutMs, container, containerId, backup, http2 } = message;
  const { checkPort, sendProxy } = message;
  if (!namePattern.test(id)) return `"${id}" is no name for a server`;
  if (!namePattern.test(backend)) return `"${backend}" is no name for a backend`;
  if (!isPort(port)) return `${port} is no port`;
  if (checkPort !== 0 && !isPort(checkPort)) return `${checkPort} is no port`;
  const address = canonicalAddress(message.address);
  if (address === undefined) return `"${message.address}" is no IP address`;
  const mode = modeOf(message.mode);
  if (mode === undefined) return 'its mode is neither READY nor DRAIN';
  const about = { container, containerId, backup, http2, checkPort, sendProxy };
  return { id, backend, address, port, mode, drainTimeoutMs, ...about };
}

/** As HAProxy prints it, so that the two can be compared. */
function canonicalAddress(text: string): string | undefined {
  const version = isIP(text);
  if (version === 0) return undefined;
  return version === 4 ? text : new SocketAddress({ address: text, family: 'ipv6' }).address;
}

function modeOf(mode: ProtoTarget['mode']): Target['mode'] | undefined {
  if (mode === TargetMode.READY) return 'ready';
  return mode === TargetMode.DRAIN ? 'drain' : undefined;
}

function frontendOf(message: ProtoFrontend): Frontend | string {
  const tls = message.tls === undefined ? undefined : frontendTlsOf(message.tls);
  if (typeof tls === 'string') return tls;
  const { name, port, mode, defaultBackend, acceptProxy, trustedUpstreams } = message;
  const protocol = protocolOf(mode);
  if (protocol === undefined) return 'its mode is neither HTTP nor TCP';
  if (!isPort(port)) return `${port} is no port`;
  if (!namePattern.test(defaultBackend)) return `"${defaultBackend}" is no name for a backend`;
  const routes = message.routes.map(routeOf);
  const problem = routes.find((route) => typeof route === 'string');
  if (problem !== undefined) return problem;
  const unknown = trustedUpstreams.find((network) => !networkPattern.test(network));
  if (unknown !== undefined) return `"${unknown}" is no network`;
  const { clientsPort, httpsPort } = message;
  const https = isPort(httpsPort) && isPort(clientsPort) ? { clientsPort, httpsPort } : undefined;
  return {
    ...{ name, port, protocol, defaultBackend, acceptProxy, trustedUpstreams, tls },
    ...(https === undefined ? {} : { https }),
    routes: routes.filter(isRoute),
  };
}

/** Names are checked here; all other text of a route goes through `word`, which can take any. */
function routeOf({ id, route, backend, split }: ProtoFrontendRoute): FrontendRoute | string {
  if (!namePattern.test(id)) return `"${id}" is no name for a route`;
  if (!namePattern.test(backend)) return `"${backend}" is no name for a backend`;
  if (route === undefined) return `route "${id}" says nothing`;
  const names = [
    ...route.headers.map(({ name }) => name),
    ...[...route.requestHeaders, ...route.responseHeaders].map(({ change }) =>
      change?.$case === 'remove' ? change.value : (change?.value.name ?? ''),
    ),
  ];
  const wrong = names.find((name) => !headerName.test(name));
  if (wrong !== undefined) return `"${wrong}" is no name for a header`;
  const network = [...route.allow, ...route.deny].find((each) => !networkPattern.test(each));
  if (network !== undefined) return `"${network}" is no network`;
  const share = split.find((each) => !namePattern.test(each.backend));
  if (share !== undefined) return `"${share.backend}" is no name for a backend`;
  return { id, route, backend, split };
}

function isRoute(route: FrontendRoute | string): route is FrontendRoute {
  return typeof route !== 'string';
}

function backendOf(message: ProtoBackend): Backend | string {
  const { name, mode, balancing, cookieKey, readiness } = message;
  const protocol = protocolOf(mode);
  if (protocol === undefined) return 'its mode is neither HTTP nor TCP';
  if (!/^[A-Za-z0-9-]*$/.test(cookieKey)) return 'its cookie key is no word';
  if (!/^[A-Za-z0-9_-]*$/.test(balancing?.stickyCookie ?? '')) return 'its cookie has no name';
  const check = checkOf(readiness);
  if (typeof check === 'string') return check;
  return { name, protocol, balancing, cookieKey, readiness: check };
}

/** Only HTTP checks are for HAProxy. All text of one goes through `word`, which can take any but controls. */
function checkOf(readiness: Readiness | undefined): Readiness | undefined | string {
  if (readiness?.check?.$case !== 'http') return undefined;
  const { path, method, host, headers } = readiness.check.value;
  const texts = [path, method, host, ...Object.keys(headers)];
  texts.push(...Object.values(headers).map((value) => value.replaceAll('\t', ' ')));
  return texts.some((text) => /\p{Cc}/u.test(text))
    ? 'its check has control characters'
    : readiness;
}

function protocolOf(mode: FrontendMode): Protocol | undefined {
  if (mode === FrontendMode.HTTP) return 'http';
  return mode === FrontendMode.TCP ? 'tcp' : undefined;
}

function usableOf<M extends { readonly name: string }, T extends { readonly name: string }>(
  messages: readonly M[],
  noun: string,
  convert: (message: M) => T | string,
): Usable<T> {
  const usable = new Map<string, T>();
  const problems: string[] = [];
  for (const message of messages) {
    const { name } = message;
    const converted = convert(message);
    if (!namePattern.test(name)) problems.push(`"${name}" is no name for a ${noun}`);
    else if (isOwnName(name)) problems.push(`${noun} "${name}" has a name of the agent's`);
    else if (usable.has(name)) problems.push(`${noun} "${name}" is there twice`);
    else if (typeof converted === 'string') problems.push(`${noun} "${name}": ${converted}`);
    else usable.set(name, converted);
  }
  return { usable: [...usable.values()], problems };
}

function isPort(port: number): boolean {
  return Number.isInteger(port) && port >= 1 && port <= 65_535;
}
