import { join } from 'node:path';
import { ChildController } from '../shared/abort.ts';
import type { Clock } from '../shared/clock.ts';
import {
  ControlServiceDefinition,
  type ControlServiceImplementation,
} from '../shared/gen/fairlead/v1/control_service.ts';
import type { Logger } from '../shared/logger.ts';
import type { Random } from '../shared/random.ts';
import { agentService, nodeSessions, type AgentApiDeps } from './api/agent-session.ts';
import { Authenticator, type AuthenticatorDeps, type Credentials } from './api/authentication.ts';
import { settleRotations } from './api/authorities.ts';
import type { CallRecordContext } from './api/call-log.ts';
import { ChangeLog } from './api/change-log.ts';
import { Connections } from './api/connections.ts';
import { controlHandlers } from './api/control-service.ts';
import { ContainerTokens, type ContainerTokensDeps } from './api/container-tokens.ts';
import { carryObjects } from './api/event-objects.ts';
import {
  agentDefinition,
  proxyDefinition,
  type AgentServiceImplementation,
  type ProxyServiceImplementation,
} from './api/session-codec.ts';
import { serveGrpc } from './api/grpc-server.ts';
import {
  gateOf,
  metricsGate,
  sessionGateOf,
  type Gate,
  type PrincipalContext,
  type SessionGate,
} from './api/gate.ts';
import { guard } from './api/guard.ts';
import { Handshakes } from './api/handshakes.ts';
import { Leases } from './api/leases.ts';
import { LoginLimiter } from './api/login-limiter.ts';
import type { CertificateSigners } from './api/peer.ts';
import { Presenter } from './api/present.ts';
import { proxyService, proxySessions, type ProxyApiDeps } from './api/proxy-session.ts';
import type { SessionsOptions } from './api/session-calls.ts';
import { Refusals } from './api/refusals.ts';
import { CoordinatorCredentials } from './api/server-credentials.ts';
import { toStatus } from './api/status.ts';
import { serveBackups } from './backup/backup-server.ts';
import { refuseHalfRestored, refuseLostDatabase } from './backup/state-files.ts';
import { CertificateFolder } from './certificates/certificate-folder.ts';
import { sealedKeys } from './certificates/certificate-records.ts';
import { ExpiryWatch } from './certificates/expiry-watch.ts';
import { SealingKey } from './certificates/sealing-key.ts';
import { ClockSteps } from './clock-steps.ts';
import type { CoordinatorConfig, HostPort } from './config.ts';
import { Dispatcher, leaseMs } from './dispatcher/dispatcher.ts';
import type { Lookup } from './dns/answer.ts';
import { Directory, type DirectoryDeps } from './dns/directory.ts';
import type { RunningDnsServer } from './dns/dns-server.ts';
import { createConnectHandler, type HttpHandler } from './http/connect.ts';
import { Downloads } from './http/downloads.ts';
import { createMetricsPage, type MetricsPageOptions } from './http/metrics-page.ts';
import { serveHttp } from './http/server.ts';
import { Authority } from './identity/authority.ts';
import { tellRetired } from './identity/authority-events.ts';
import { certificateSigners } from './identity/certificate-signers.ts';
import { firstInvitation } from './identity/first-invitation.ts';
import { createFirstToken, repinFirstToken } from './identity/first-token.ts';
import { prepareStateDirectory, readOrCreateTokenKey } from './identity/key-files.ts';
import { serverNames } from './identity/server-names.ts';
import { TokenIssuer } from './identity/tokens.ts';
import { takeFigures, type FigureSources } from './metrics/figures.ts';
import { metricsText } from './metrics/metrics-text.ts';
import { Mover } from './moves/mover.ts';
import { ObservedState } from './observed/observed-state.ts';
import { WriteBehind } from './observed/write-behind.ts';
import { endInterrupted } from './orchestrator/actions.ts';
import type { ApiAddresses } from './orchestrator/container-environment.ts';
import { Failures } from './orchestrator/failures.ts';
import { Orchestrator } from './orchestrator/orchestrator.ts';
import { Placement } from './orchestrator/placement.ts';
import { Routing } from './routing/routing.ts';
import { Settling } from './routing/settling.ts';
import { SteadyClock } from './steady-clock.ts';
import { Store } from './store/store.ts';
import { NodeUpgrades } from './upgrades/node-upgrades.ts';
import { Roller } from './upgrades/roller.ts';
import { NodeStreams } from './streams/node-streams.ts';

export interface CoordinatorDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** Says something to the person who started it, and to nobody else; left out if there is none. */
  readonly tell?: (text: string) => void;
}

/** Largest request body over HTTP; the same as over gRPC. */
const maxBodyBytes = 4 * 1024 * 1024;

/**
 * Runs a coordinator until the signal aborts. Its parts stop in the reverse order of their start: no new
 * calls, streams, loops, store.
 */
export async function runCoordinator(
  config: CoordinatorConfig,
  given: CoordinatorDeps,
  signal: AbortSignal,
): Promise<void> {
  const deps = { ...given, clock: new SteadyClock(given.clock) };
  const { log } = deps;
  prepareStateDirectory(config.stateDir);
  refuseHalfRestored(config.stateDir);
  refuseLostDatabase(config.stateDir);
  using store = new Store(join(config.stateDir, 'fairlead.db'), deps);
  deps.clock.startAfter(store.events.lastTimeMs());
  const hasDerived = [...store.tokens.values()].some(({ containerId }) => containerId !== null);
  const tokenKey = readOrCreateTokenKey(config.stateDir, { isExpected: hasDerived });
  const installationId = store.installationId(() => deps.random.id());
  const authority = await Authority.open(
    { clock: given.clock, log: log.child({ component: 'identity' }) },
    {
      ...{ ...config, installationId, names: serverNames(config) },
      isExpected: store.tokens.size + store.nodes.size > 0,
    },
  );
  const tokens = new TokenIssuer(tokenKey, authority);
  const sealing = SealingKey.open(config.stateDir, sealedKeys(store.certificates.values()));
  settleRotations({ store, authority });
  using _retired = tellRetired({ ...deps, store, authority, installationId });
  using _repinned = followPin(config.stateDir, authority, log);
  store.transact(endInterrupted);
  const kept = { store, tokens, sealing, authority, installationId };
  const parts = build(config, { ...deps, ...kept });
  const tokenFile = createFirstToken(store, config.stateDir, { ...deps, tokens });
  if (tokenFile !== null) log.info({ file: tokenFile }, 'administrator token made');

  using inner = new ChildController(signal);
  using _changes = parts.changes.follow(parts.observed, parts.routing);
  const { grpc, http } = await listen(config, { ...deps, ...parts, authority }, inner.signal);
  const dns = await answerDns(config, { ...deps, store, observed: parts.observed }, inner.signal);
  // Ports that were chosen when they were bound; nothing has been placed yet.
  Object.assign(parts.api, addressesOf(config, { grpc: grpc.port, http: http.port }));
  log.info(
    { listen: config.listen.host, port: grpc.port, httpPort: http.port, nodes: store.nodes.size },
    'coordinator started',
  );
  invite({ ...deps, ...parts, store, tokens });
  const loops = parts.loops.map((loop) => loop.run(inner.signal));
  const backups = serveBackups(
    config.stateDir,
    { store, clock: deps.clock, log: log.child({ component: 'backup' }) },
    inner.signal,
  );
  try {
    await Promise.all(loops);
  } finally {
    inner.abort();
    await Promise.allSettled([...loops, grpc.closed, http.closed, dns?.closed, backups]);
    parts.writeBehind.flush();
    log.info('coordinator stopped');
  }
}

/** Keeps the pin at the end of the first administrator's token that of the authority. */
function followPin(stateDir: string, authority: Authority, log: Logger): Disposable {
  const follow = () => {
    try {
      repinFirstToken(stateDir, authority.pin);
    } catch (err) {
      log.warn({ err }, 'administrator token keeps its old pin');
    }
  };
  follow();
  return authority.subscribe(follow);
}

/** Has the first hosts join by one line. It holds a secret, so it is told to a person and never logged. */
function invite(
  deps: Omit<CoordinatorDeps, 'clock'> & {
    readonly store: Store;
    readonly tokens: TokenIssuer;
    readonly api: ApiAddresses;
    readonly downloads: Downloads;
  },
): void {
  const { store, log, tell, downloads } = deps;
  if (store.nodes.size > 0) return;
  const scriptSha256 = downloads.scriptSha256;
  const words = tell === undefined ? null : firstInvitation({ ...deps, scriptSha256 });
  if (words !== null) tell?.(words);
  else
    log.info('there is no node yet; "fairlead node invite" prints the line that makes a host one');
}

/** What outlives the process, opened. */
interface Kept {
  readonly store: Store;
  readonly tokens: TokenIssuer;
  readonly sealing: SealingKey;
  readonly authority: Authority;
  readonly installationId: string;
}

type BuildingDeps = CoordinatorDeps & Kept & { readonly clock: SteadyClock };

/** Builds every part; nothing runs yet. */
function build(config: CoordinatorConfig, deps: BuildingDeps) {
  const { store, tokens, sealing, authority, installationId, clock, random } = deps;
  const child = (component: string) => ({ log: deps.log.child({ component }) });
  const observed = new ObservedState(store.loadObserved(), deps);
  const settling = new Settling({ store, observed, clock });
  const routing = new Routing({ store, observed, settling, clock });
  const upgrades = new NodeUpgrades();
  const dispatching = { store, observed, routing, settling, upgrades, clock };
  const dispatcher = new Dispatcher(
    { ...dispatching, newId: () => random.id(), ...child('dispatcher') },
    { downGraceMs: config.nodeGraceMs },
  );
  const api = addressesOf(config, { grpc: config.listen.port, http: config.httpListen.port });
  const placement = new Placement({ store, observed, tokens, random, clock, api });
  const reconciling = { store, observed, routing, settling, placement, clock, random };
  const orchestrator = new Orchestrator({ ...reconciling, ...child('orchestrator') });
  const writeBehind = new WriteBehind({ store, observed, clock, ...child('store') });
  const authenticator = authenticatorOf({ ...reconciling, dispatcher, installationId, authority });
  const epoch = random.id();
  const changes = new ChangeLog(epoch, { store });
  const downloads = Downloads.open(config.packages, child('http').log);
  const roller = new Roller({ ...dispatching, packages: downloads, api, ...child('upgrades') });
  const failures = new Failures({ store, observed, ...child('orchestrator') });
  const streams = new NodeStreams({ dispatcher, clock, random });
  const mover = new Mover({ ...reconciling, ...child('moves') });
  const certificates = certificateLoops(config, deps);
  const presenter = new Presenter({ ...reconciling, orchestrator, dispatcher });
  carryObjects({ store, presenter, ...child('store') });
  const handlers = controlHandlers({
    ...{ ...reconciling, orchestrator, dispatcher, authenticator, changes, presenter },
    ...{ installationId, tokens, sealing, authority, ...child('api') },
    inFolder: certificates.inFolder,
    ...{ streams, api, roller, packages: downloads, installScriptSha256: downloads.scriptSha256 },
  });
  const { leases, ...doors } = doorsOf(clock);
  const agentParts = { crowd: doors.handshakes, failures, dispatcher, upgrades, streams };
  const agents = { store, authenticator, authority, leases, clock, random };
  const logins = new LoginLimiter({ clock, ...child('access') });
  return {
    ...{ observed, routing, changes, writeBehind, api, downloads, ...doors },
    signers: certificateSigners(deps),
    metrics: metricsOf({ ...reconciling, dispatcher }, { authenticator, logins }),
    loops: [
      ...[dispatcher, routing, orchestrator, writeBehind, authority, leases, roller, mover],
      ...certificates.loops,
      new ClockSteps({ store, observed, clock, installationId, ...child('clock') }),
    ],
    knows: (credentials: Credentials) => authenticator.knows(credentials),
    gate: gateOf({
      ...{ authenticator, logins },
      refusals: new Refusals({ store, clock, ...child('access') }),
    }),
    control: guard(handlers, { authenticator, store }),
    ...answersTo(
      { ...agents, ...agentParts, tokens, placement, ...child('agents') },
      { ...agents, sealing, routing, epoch, ...child('proxies') },
      sessionGateOf({ authenticator, logins }),
    ),
  };
}

/** What is known of who is connected, and of who is about to be. */
function doorsOf(clock: Clock) {
  const connections = new Connections();
  const handshakes = new Handshakes({ clock });
  return { connections, handshakes, leases: new Leases({ connections, clock }) };
}

/** What answers agents: their calls, and their sessions. */
function answersTo(agents: AgentApiDeps, proxies: ProxyApiDeps, gate: SessionGate) {
  const { leases } = agents;
  const methods = [nodeSessions(agents), proxySessions(proxies)];
  return {
    agents: agentService(agents),
    proxies: proxyService(proxies),
    sessions: { methods, gate, leases, leaseMs },
  };
}

/** Finds out who calls; that containers still run is vouched for by their nodes, and by themselves as proxies. */
function authenticatorOf({
  dispatcher,
  routing,
  clock: { host: clock },
  ...rest
}: Omit<AuthenticatorDeps, 'containerTokens' | 'clock'> &
  Pick<ContainerTokensDeps, 'observed'> & {
    readonly dispatcher: Dispatcher;
    readonly routing: Routing;
    readonly clock: SteadyClock;
  }) {
  const deps = { ...rest, clock };
  const witnesses = { nodes: dispatcher, proxies: routing };
  return new Authenticator({
    ...deps,
    containerTokens: new ContainerTokens({ ...deps, ...witnesses }),
  });
}

/** What a scrape is told, and whether it is. */
function metricsOf(sources: FigureSources, doors: Parameters<typeof metricsGate>[0]) {
  return { admit: metricsGate(doors), page: async () => metricsText(await takeFigures(sources)) };
}

/** What follows certificates: their ends, and a folder if there is one. */
function certificateLoops(
  { certificatesFolder: path }: CoordinatorConfig,
  { clock, ...rest }: BuildingDeps,
) {
  const deps = { ...rest, clock: clock.host };
  const log = deps.log.child({ component: 'certificates' });
  const folder = path === undefined ? undefined : new CertificateFolder({ ...deps, log }, path);
  return {
    loops: [new ExpiryWatch({ ...deps, log }), ...(folder === undefined ? [] : [folder])],
    inFolder: (name: string) => folder?.has(name) ?? false,
  };
}

interface Served {
  readonly authority: Authority;
  readonly gate: Gate;
  readonly sessions: SessionsOptions;
  readonly knows: Authenticator['knows'];
  readonly connections: Connections;
  readonly handshakes: Handshakes;
  readonly signers: CertificateSigners;
  readonly downloads: Downloads;
  readonly metrics: Pick<MetricsPageOptions, 'admit' | 'page'>;
  readonly control: ControlServiceImplementation<CallRecordContext & PrincipalContext>;
  readonly agents: AgentServiceImplementation<PrincipalContext>;
  readonly proxies: ProxyServiceImplementation<PrincipalContext>;
}

/** Opens both doors: gRPC, and the public API as JSON over HTTPS. */
async function listen(
  config: CoordinatorConfig,
  deps: CoordinatorDeps & Served,
  signal: AbortSignal,
) {
  const { clock, authority, gate, sessions, knows, connections, control } = deps;
  const { agents, proxies, downloads, handshakes } = deps;
  const grpc = await serveGrpc(
    {
      ...config.listen,
      clock,
      gate,
      sessions,
      knows,
      connections,
      log: deps.log.child({ component: 'grpc' }),
      credentials: new CoordinatorCredentials(authority, handshakes, signal),
      signers: deps.signers,
      services: (server) => {
        server.add(ControlServiceDefinition, control);
        server.add(agentDefinition, agents);
        server.add(proxyDefinition, proxies);
      },
    },
    signal,
  );
  const log = deps.log.child({ component: 'http' });
  const connect = createConnectHandler({
    definition: ControlServiceDefinition,
    implementation: control,
    gate,
    knows,
    toError: toStatus,
    maxBodyBytes,
    log,
    clock,
    stopping: signal,
  });
  const metrics = createMetricsPage({ ...deps.metrics, toError: toStatus, log });
  const handler: HttpHandler = (...exchange) =>
    downloads.handle(...exchange) || metrics(...exchange) || connect(...exchange);
  const http = await serveHttp(
    { ...config.httpListen, tls: authority, clock, handler, log },
    signal,
  );
  return { grpc, http };
}

/** Answers for the zone where it is told to; loaded only then. */
async function answerDns(
  { dns, zone, advertise }: CoordinatorConfig,
  { clock, log, ...state }: CoordinatorDeps & Pick<DirectoryDeps, 'store' | 'observed'>,
  signal: AbortSignal,
): Promise<RunningDnsServer | undefined> {
  if (dns === undefined) return undefined;
  const { serveDns } = await import('./dns/dns-server.ts');
  const directory = new Directory({ ...state, ownHost: advertise.host });
  const lookup: Lookup = (name) => directory.lookup(name);
  return await serveDns(
    {
      ...dns.listen,
      zone: { name: zone, ttlSeconds: dns.ttlSeconds, lookup },
      clock,
      log: log.child({ component: 'dns' }),
    },
    signal,
  );
}

function addressesOf(
  config: CoordinatorConfig,
  bound: { readonly grpc: number; readonly http: number },
): ApiAddresses {
  const { host, port } = config.advertise;
  return {
    grpcAddress: format({ host, port: port === 0 ? bound.grpc : port }),
    httpUrl: config.advertiseHttp ?? `https://${format({ host, port: bound.http })}`,
    zone: config.zone,
  };
}

function format({ host, port }: HostPort): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}
