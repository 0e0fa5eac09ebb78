import type { Clock } from '../../shared/clock.ts';
import type { Logger } from '../../shared/logger.ts';
import type { Random } from '../../shared/random.ts';
import type { Sealer } from '../certificates/sealing-key.ts';
import type { Dispatcher } from '../dispatcher/dispatcher.ts';
import type { TokenIssuer } from '../identity/tokens.ts';
import type { ObservedState } from '../observed/observed-state.ts';
import type { ApiAddresses } from '../orchestrator/container-environment.ts';
import type { Orchestrator } from '../orchestrator/orchestrator.ts';
import type { Placement } from '../orchestrator/placement.ts';
import type { Routing } from '../routing/routing.ts';
import type { Store } from '../store/store.ts';
import type { PackageSource, Roller } from '../upgrades/roller.ts';
import type { NodeStreams } from '../streams/node-streams.ts';
import { version } from '../version.ts';
import type { Authenticator } from './authentication.ts';
import { AuthorityApi, type ReplaceableAuthority } from './authorities.ts';
import { CertificateApi } from './certificates.ts';
import { CancelApi } from './cancelling.ts';
import type { ChangeLog } from './change-log.ts';
import { ContainerApi } from './containers.ts';
import { roles } from './convert.ts';
import { EventApi } from './events.ts';
import { ExecApi } from './exec.ts';
import { ExplainApi } from './explain.ts';
import type { Handlers } from './guard.ts';
import { LogApi } from './logs.ts';
import { Lookup } from './lookup.ts';
import { Mutations } from './mutations.ts';
import { NodeClusterApi } from './node-clusters.ts';
import { MovePreviews } from './move-previews.ts';
import { NodeDrainApi } from './node-drains.ts';
import { NodeUpgradeApi } from './node-upgrades.ts';
import { NodeApi } from './nodes.ts';
import { OrphanApi } from './orphans.ts';
import { RebalanceApi } from './rebalances.ts';
import type { Presenter } from './present.ts';
import { Previews } from './previews.ts';
import { protocolVersion } from './protocol.ts';
import { ProxyApi } from './proxies.ts';
import { QueryApi } from './queries.ts';
import { RolloutApi } from './rollouts.ts';
import { ServiceMutations } from './service-mutations.ts';
import { ServiceApi } from './services.ts';
import { TokenApi } from './tokens.ts';

export interface ControlDeps {
  readonly store: Store;
  readonly observed: ObservedState;
  readonly routing: Routing;
  readonly orchestrator: Orchestrator;
  readonly placement: Placement;
  readonly dispatcher: Dispatcher;
  readonly roller: Roller;
  readonly packages: PackageSource;
  readonly streams: NodeStreams;
  readonly authenticator: Authenticator;
  readonly tokens: TokenIssuer;
  readonly sealing: Sealer;
  /** Whether the watched folder has a certificate of that name. */
  readonly inFolder: (name: string) => boolean;
  readonly authority: ReplaceableAuthority;
  readonly changes: ChangeLog;
  readonly presenter: Presenter;
  readonly log: Logger;
  readonly clock: Clock;
  readonly random: Random;
  readonly installationId: string;
  /** Where it is reached; known once it listens. */
  readonly api: Pick<ApiAddresses, 'grpcAddress' | 'httpUrl'>;
  /** Null: no install script is served. */
  readonly installScriptSha256: string | null;
}

/** Every method of the public API, by who answers it. */
// eslint-disable-next-line max-lines-per-function -- a table, one line a method
export function controlHandlers(deps: ControlDeps): Handlers {
  const startedAt = new Date(deps.clock.now());
  const parts = {
    ...deps,
    lookup: new Lookup(deps.store),
    mutations: new Mutations(deps),
    previews: new Previews(deps),
    moves: new MovePreviews(deps),
  };
  const shared = { ...parts, services: new ServiceMutations(parts) };
  const services = new ServiceApi(shared);
  const rollouts = new RolloutApi(shared);
  const cancels = new CancelApi(shared);
  const rebalances = new RebalanceApi(shared);
  const containers = new ContainerApi(shared);
  const logs = new LogApi(shared);
  const execs = new ExecApi(shared);
  const nodes = new NodeApi(shared);
  const drains = new NodeDrainApi(shared);
  const nodeUpgrades = new NodeUpgradeApi(shared);
  const orphans = new OrphanApi(shared);
  const clusters = new NodeClusterApi(shared);
  const tokens = new TokenApi(shared);
  const certificates = new CertificateApi(shared);
  const proxies = new ProxyApi(shared);
  const authorities = new AuthorityApi(shared);
  const queries = new QueryApi(shared);
  const events = new EventApi(shared);
  const explanations = new ExplainApi(shared);
  return {
    getInfo: (_request, { principal }) => ({
      version,
      protocolVersion,
      installationId: deps.installationId,
      startedAt,
      principal: principal.name,
      role: roles[principal.role],
      agentAddress: deps.api.grpcAddress,
      httpUrl: deps.api.httpUrl,
      installScriptSha256: deps.installScriptSha256 ?? '',
    }),
    createService: (request, call) => services.createService(request, call),
    getService: (request, call) => services.getService(request, call),
    updateService: (request, call) => services.updateService(request, call),
    scaleService: (request, call) => services.scaleService(request, call),
    startService: (request, call) => services.startService(request, call),
    stopService: (request, call) => services.stopService(request, call),
    redeployService: (request, call) => services.redeployService(request, call),
    rebalanceServices: (request, call) => rebalances.rebalanceServices(request, call),
    removeService: (request, call) => services.removeService(request, call),
    listRevisions: (request, call) => rollouts.listRevisions(request, call),
    diffRevisions: (request, call) => rollouts.diffRevisions(request, call),
    rollbackService: (request, call) => rollouts.rollbackService(request, call),
    pauseService: (request, call) => rollouts.pauseService(request, call),
    resumeService: (request, call) => rollouts.resumeService(request, call),
    promoteService: (request, call) => rollouts.promoteService(request, call),
    addLink: (request, call) => services.addLink(request, call),
    removeLink: (request, call) => services.removeLink(request, call),
    getContainer: (request, call) => containers.getContainer(request, call),
    startContainer: (request, call) => containers.startContainer(request, call),
    stopContainer: (request, call) => containers.stopContainer(request, call),
    redeployContainer: (request, call) => containers.redeployContainer(request, call),
    removeContainer: (request, call) => containers.removeContainer(request, call),
    containerLogs: (request, call) => logs.containerLogs(request, call),
    serviceLogs: (request, call) => logs.serviceLogs(request, call),
    execContainer: (requests, call) => execs.execContainer(requests, call),
    getNode: (request, call) => nodes.getNode(request, call),
    updateNode: (request, call) => nodes.updateNode(request, call),
    drainNode: (request, call) => drains.drainNode(request, call),
    removeNode: (request, call) => nodes.removeNode(request, call),
    upgradeNodes: (request, call) => nodeUpgrades.upgradeNodes(request, call),
    adoptOrphan: (request, call) => orphans.adoptOrphan(request, call),
    discardOrphan: (request, call) => orphans.discardOrphan(request, call),
    createNodeCluster: (request, call) => clusters.createNodeCluster(request, call),
    getNodeCluster: (request, call) => clusters.getNodeCluster(request, call),
    updateNodeCluster: (request, call) => clusters.updateNodeCluster(request, call),
    removeNodeCluster: (request, call) => clusters.removeNodeCluster(request, call),
    createToken: (request, call) => tokens.createToken(request, call),
    revokeToken: (request, call) => tokens.revokeToken(request, call),
    putCertificate: (request, call) => certificates.putCertificate(request, call),
    getCertificate: (request, call) => certificates.getCertificate(request, call),
    removeCertificate: (request, call) => certificates.removeCertificate(request, call),
    getTrust: () => authorities.getTrust(),
    rotateAuthority: (request, call) => authorities.rotateAuthority(request, call),
    finishRotation: (request, call) => authorities.finishRotation(request, call),
    listServices: (request, call) => queries.listServices(request, call),
    watchServices: (request, call) => queries.watchServices(request, call),
    listContainers: (request, call) => queries.listContainers(request, call),
    watchContainers: (request, call) => queries.watchContainers(request, call),
    listNodes: (request, call) => queries.listNodes(request, call),
    watchNodes: (request, call) => queries.watchNodes(request, call),
    listNodeClusters: (_request, call) => queries.listNodeClusters(call),
    watchNodeClusters: (request, call) => queries.watchNodeClusters(request, call),
    listEndpoints: (request, call) => queries.listEndpoints(request, call),
    watchEndpoints: (request, call) => queries.watchEndpoints(request, call),
    listProxies: (request, call) => queries.listProxies(request, call),
    watchProxies: (request, call) => queries.watchProxies(request, call),
    removeProxy: (request, call) => proxies.removeProxy(request, call),
    getAction: (request, call) => queries.getAction(request, call),
    cancelAction: (request, call) => cancels.cancelAction(request, call),
    listActions: (request, call) => queries.listActions(request, call),
    watchActions: (request, call) => queries.watchActions(request, call),
    explain: (request, call) => explanations.explain(request, call),
    listEvents: (request, call) => events.listEvents(request, call),
    watchEvents: (request, call) => events.watchEvents(request, call),
    listTokens: (request) => queries.listTokens(request),
    watchTokens: (request, call) => queries.watchTokens(request, call),
    listCertificates: (_request, call) => queries.listCertificates(call),
    watchCertificates: (request, call) => queries.watchCertificates(request, call),
  };
}
