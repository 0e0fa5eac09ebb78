import type { Clock } from '../../shared/clock.ts';
import { DomainError, messageOf } from '../../shared/errors.ts';
import type {
  Applied,
  ProxyHello,
  ProxySessionRequest,
  ProxySessionResponse,
  TargetStatus,
} from '../../shared/gen/fairlead/v1/proxy_service.ts';
import { TargetHealth } from '../../shared/gen/fairlead/v1/load_balancer.ts';
import type { ContainerId, ProxyId, SessionId, TokenId } from '../../shared/ids.ts';
import type { Logger } from '../../shared/logger.ts';
import type { Random } from '../../shared/random.ts';
import { heartbeatMs, leaseMs } from '../dispatcher/dispatcher.ts';
import type { Authority } from '../identity/authority.ts';
import type { SealingKey } from '../certificates/sealing-key.ts';
import type { Service } from '../model.ts';
import type { BackendList, ListDelta, ListSnapshot } from '../routing/backend-list.ts';
import { withHost } from '../routing/host-proxies.ts';
import type { ProxyRecord, ProxySession } from '../routing/proxy-record.ts';
import type { Routing } from '../routing/routing.ts';
import { securedHosts } from '../routing/tls-ports.ts';
import type { Store } from '../store/store.ts';
import type { Authenticator } from './authentication.ts';
import { named, words } from './agent-words.ts';
import { requireScope } from './authorization.ts';
import type { Principal, TokenPrincipal } from './call.ts';
import { ProxyEnrolment } from './enrolment.ts';
import type { PrincipalContext } from './gate.ts';
import { CertificateNews } from './certificate-news.ts';
import { structureToProto, targetToProto } from './convert-list.ts';
import { historyFromProto } from './convert-proxy.ts';
import type { Leases } from './leases.ts';
import type { PeerCertificate } from './peer.ts';
import { requireProtocol } from './protocol.ts';
import {
  answeredBefore,
  pathOf,
  proxyDefinition,
  type ProxyServiceImplementation,
} from './session-codec.ts';
import type { Session, SessionLine, SessionMethod } from './session.ts';
import { TrustNews } from './trust-news.ts';

export interface ProxyApiDeps {
  readonly store: Store;
  readonly authenticator: Authenticator;
  readonly authority: Authority;
  readonly sealing: Pick<SealingKey, 'unseal'>;
  readonly routing: Routing;
  readonly leases: Leases;
  /** Names this run of the coordinator: versions of lists are counted in it. */
  readonly epoch: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

/** Answers proxy agents, but for their sessions. */
export function proxyService(deps: ProxyApiDeps): ProxyServiceImplementation<PrincipalContext> {
  const enrolment = new ProxyEnrolment(deps);
  return {
    enrol: (request, context) => enrolment.enrol(request, context),
    renewProxyCertificate: (request, context) => enrolment.renew(request, context),
    proxySession: answeredBefore,
  };
}

/** Answers the sessions of proxy agents. */
export function proxySessions(
  deps: ProxyApiDeps,
): SessionMethod<ProxySessionRequest, ProxySessionResponse> {
  return {
    path: pathOf(proxyDefinition, 'proxySession'),
    heartbeat: () => ({ message: { $case: 'heartbeat', value: {} } }),
    open: (first, { principal, line }) => {
      const hello = helloIn(first);
      return new AttachedProxy(deps, { principal: requireProxy(principal), hello, line });
    },
  };
}

/** The coordinator's side of one session of one proxy. */
class AttachedProxy implements Session<ProxySessionRequest, ProxySessionResponse>, ProxySession {
  readonly id: SessionId;
  readonly heartbeatMs = heartbeatMs;
  readonly #deps: ProxyApiDeps;
  readonly #line: SessionLine;
  readonly #record: ProxyRecord;
  readonly #trust: TrustNews;
  readonly #certificates: CertificateNews | null;
  /** Until what changed is to be sent; null: nothing waits for that. */
  #later: Disposable | null = null;
  /** What the log says of it. */
  readonly #names: { readonly proxy: string; readonly service: string };

  constructor(deps: ProxyApiDeps, { principal, hello, line }: ProxyOpening) {
    const service = loadBalancer(deps.store, principal, hello);
    requireOwnId(deps, service, hello.proxyId);
    this.id = deps.random.id() as SessionId;
    this.#deps = deps;
    this.#line = line;
    this.#names = { proxy: hello.name, service: service.name };
    this.#record = attach(deps, hello, service, principal);
    this.#record.verbs = new Set(hello.verbs);
    this.#record.certificates = [];
    this.#record.open(this, hello.epoch === deps.epoch ? hello.version : null);
    takeStatus(this.#record, hello.status);
    const { authority } = principal.certificate;
    this.#trust = new TrustNews(deps, { line, authority });
    this.#certificates = certificateNews(deps, this.#record, line);
    this.#note('proxy attached');
  }

  wake(): void {
    this.#line.wake();
  }

  close(reason: string): void {
    this.#line.close(reason);
  }

  welcome(): ProxySessionResponse {
    const trust = this.#trust.told();
    const value = { sessionId: this.id, leaseMs, heartbeatMs, trust };
    return { message: { $case: 'welcome', value } };
  }

  next(): ProxySessionResponse | null {
    return news(this.#trust, this.#certificates) ?? this.#ofList();
  }

  receive(request: ProxySessionRequest): void {
    if (this.#record.session === this) receive(this.#deps, this.#record, request);
  }

  [Symbol.dispose](): void {
    this.#later?.[Symbol.dispose]();
    this.#trust[Symbol.dispose]();
    this.#certificates?.[Symbol.dispose]();
    if (this.#record.session === this) this.#deps.routing.detached(this.#record);
    this.#note('proxy detached');
  }

  #ofList(): ProxySessionResponse | null {
    const { routing, epoch, clock } = this.#deps;
    const list = routing.list(this.#record.identity.serviceId);
    const message = list && this.#record.nextMessage(list, clock.monotonic());
    if (list === undefined || message == null) return null;
    this.#later?.[Symbol.dispose]();
    this.#later = null;
    if (message.kind !== 'later') return responseOf(message, { list, record: this.#record, epoch });
    this.#later = clock.after(message.inMs, () => {
      this.wake();
    });
    return null;
  }

  #note(message: string): void {
    this.#deps.log.info({ ...this.#names, sessionId: this.id }, message);
  }
}

/** What goes before the list: whom to trust, and the certificates that its ports show. */
function news(trust: TrustNews, certificates: CertificateNews | null): ProxySessionResponse | null {
  const bundle = trust.next();
  if (bundle !== null) return { message: { $case: 'trust', value: bundle } };
  const message = certificates?.next() ?? null;
  return message === null ? null : { message };
}

/** Null: its agent knows nothing of certificates. */
function certificateNews(
  deps: ProxyApiDeps,
  record: ProxyRecord,
  line: SessionLine,
): CertificateNews | null {
  if (!record.verbs.has('tls')) return null;
  const { serviceId: service } = record.identity;
  const hosts = () => {
    const plan = deps.routing.list(service)?.plan;
    return plan === undefined ? undefined : securedHosts(plan);
  };
  return new CertificateNews(deps, { line, service, hosts });
}

/** The proxy's record; the session that it had, if any, ends. */
function attach(
  deps: ProxyApiDeps,
  hello: ProxyHello,
  service: Service,
  { id: tokenId, certificate: { authority, validToMs } }: ProxyPrincipal,
) {
  const { store, routing } = deps;
  const inContainer = store.containers.get(hello.proxyId as ContainerId)?.serviceId === service.id;
  const record = routing.attach(
    { id: hello.proxyId as ProxyId, name: named(hello.name), serviceId: service.id },
    inContainer ? 'container' : 'host',
  );
  record.session?.close('SESSION_REPLACED');
  record.certificate = { authority, untilMs: validToMs };
  record.tokenId = tokenId;
  if (!inContainer) remember(deps, record, { tokenId, untilMs: validToMs });
  return record;
}

/** So that a coordinator which restarts knows who is to come back. Seldom writes: only who is new, or has renewed. */
function remember(
  { store, clock, log }: ProxyApiDeps,
  { identity: { id, name, serviceId } }: ProxyRecord,
  { tokenId, untilMs }: { readonly tokenId: TokenId; readonly untilMs: number },
): void {
  const token = store.tokens.get(tokenId);
  const next = token && withHost(token, { id, serviceId, untilMs }, clock.now());
  if (next == null) return;
  try {
    store.transact((tx) => {
      tx.tokens.put(next);
    });
  } catch (error) {
    // It serves all the same.
    log.warn({ proxy: name, reason: messageOf(error) }, 'proxy is not remembered over a restart');
  }
}

type ProxyPrincipal = TokenPrincipal & { readonly certificate: PeerCertificate };

/** Who opens a session, with what it says first. */
interface ProxyOpening {
  readonly principal: ProxyPrincipal;
  readonly hello: ProxyHello;
  readonly line: SessionLine;
}

function requireProxy(principal: Principal): ProxyPrincipal {
  if (principal.kind === 'token' && principal.certificate !== null) {
    return { ...principal, certificate: principal.certificate };
  }
  throw new Error(`the table of who may call what lets ${principal.kind} in`);
}

function helloIn(first: ProxySessionRequest | undefined): ProxyHello {
  const message = first?.message;
  if (message?.$case !== 'hello' || message.value.proxyId === '') {
    throw new DomainError('precondition', 'the first message of a session must be a hello', {
      reason: 'HELLO_EXPECTED',
    });
  }
  const { protocolVersion, agentVersion } = message.value;
  requireProtocol({ what: 'proxy agent', version: agentVersion, protocolVersion });
  return message.value;
}

/** The service that a proxy serves, if the caller may speak for the proxy. */
function loadBalancer(
  store: Store,
  principal: TokenPrincipal,
  { service: nameOrId, proxyId }: ProxyHello,
): Service {
  const service = store.serviceNamed(nameOrId);
  if (service === undefined) {
    throw new DomainError('not-found', `no service is called "${nameOrId}" or has that id`, {
      reason: 'SERVICE_NOT_FOUND',
    });
  }
  requireScope({ principal }, service);
  if (service.spec.apiRole !== 'proxy') {
    throw new DomainError(
      'precondition',
      `${service.name} is no load balancer: give it the API role PROXY`,
      { reason: 'SERVICE_NOT_A_LOAD_BALANCER' },
    );
  }
  if (principal.containerId !== null && principal.containerId !== proxyId) {
    throw new DomainError('forbidden', 'the token of a container speaks for that container only', {
      reason: 'PERMISSION_DENIED',
    });
  }
  return service;
}

/**
 * Throws 'forbidden' if the id that a proxy gives itself is that of a container, or of a connected proxy, of another
 * service: drains of that service would wait for this one instead.
 */
function requireOwnId({ store, routing }: ProxyApiDeps, { id, name }: Service, proxyId: string) {
  const container = store.containers.get(proxyId as ContainerId);
  const owner = container?.serviceId ?? routing.serviceOf(proxyId as ProxyId) ?? id;
  if (owner === id) return;
  throw new DomainError(
    'forbidden',
    `the proxy id ${named(proxyId)} is that of a proxy of another service than ${name}; leave it out, or give each proxy one of its own`,
    { reason: 'PROXY_ID_TAKEN' },
  );
}

function responseOf(
  message: ListSnapshot | ListDelta,
  { list, record, epoch }: { list: BackendList; record: ProxyRecord; epoch: string },
): ProxySessionResponse {
  const { version } = message;
  if (message.kind === 'delta') {
    const { baseVersion, removedTargetIds } = message;
    const targets = message.targets.map(targetToProto);
    const value = {
      epoch,
      baseVersion,
      version,
      targets,
      removedTargetIds: [...removedTargetIds],
    };
    return { message: { $case: 'delta', value } };
  }
  const value = {
    epoch,
    version,
    ...structureToProto(list, record),
    targets: message.targets.map(targetToProto),
  };
  return { message: { $case: 'snapshot', value } };
}

function receive(
  { routing, epoch, clock }: ProxyApiDeps,
  record: ProxyRecord,
  { message }: ProxySessionRequest,
): void {
  record.lastSeenAtMs = clock.now();
  switch (message?.$case) {
    case 'applied': {
      const { version, errors } = message.value;
      if (message.value.epoch !== epoch) return;
      record.applied(
        version,
        new Map(errors.map((e) => [named(e.targetId), words(e.message)])),
        structureIn(message.value),
      );
      routing.acknowledged(record);
      return;
    }
    case 'targets':
      observeTargets(record, message.value.targets, routing.list(record.identity.serviceId));
      record.clientConnections = message.value.clientConnections;
      routing.acknowledged(record);
      return;
    case 'status':
      takeStatus(record, message.value);
      routing.acknowledged(record);
      return;
    case 'snapshotRequest':
      record.resync();
      return;
    case 'pace':
      record.setPace(message.value.leastIntervalMs);
      return;
    case 'certificates':
      record.certificates = message.value.certificates.map((held) => {
        return { ...held, message: words(held.message) };
      });
      routing.acknowledged(record);
      return;
    case 'hello':
    case 'heartbeat':
    case undefined:
      return;
  }
}

/** What it says of frontends and routes; undefined, as an agent of an earlier version: nothing. */
function structureIn({ structureVersion, unreachedBackends }: Applied) {
  if (structureVersion === undefined) return undefined;
  return { version: structureVersion, unreached: new Set(unreachedBackends.map(named)) };
}

/** What was said before the proxy heard that a target is gone would be kept for good: it is left out. */
function observeTargets(
  record: ProxyRecord,
  targets: readonly TargetStatus[],
  list: BackendList | undefined,
): void {
  for (const { targetId, health, ...rest } of targets) {
    if (list?.has(targetId) === false) continue;
    const healthMessage = words(rest.healthMessage);
    record.observe(targetId, { ...rest, healthMessage, health: healthOf(health) });
  }
}

function healthOf(health: TargetHealth): 'unknown' | 'up' | 'down' {
  switch (health) {
    case TargetHealth.UP:
      return 'up';
    case TargetHealth.DOWN:
      return 'down';
    case TargetHealth.UNSPECIFIED:
    default:
      return 'unknown';
  }
}

function takeStatus(record: ProxyRecord, status: ProxyHello['status']): void {
  if (status === undefined) return;
  const { haproxyVersion, haproxyPid, message, history } = status;
  // An agent of an earlier version says nothing of it.
  record.status = {
    ...{ haproxyVersion: named(haproxyVersion), haproxyPid, message: words(message) },
    history: history === undefined ? record.status.history : historyFromProto(history),
  };
}
