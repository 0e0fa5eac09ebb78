import { DomainError } from '../../shared/errors.ts';
import type { AgentServiceDefinition } from '../../shared/gen/fairlead/v1/agent_service.ts';
import type { ControlServiceDefinition } from '../../shared/gen/fairlead/v1/control_service.ts';
import type { ProxyServiceDefinition } from '../../shared/gen/fairlead/v1/proxy_service.ts';
import type { NodeClusterId, ServiceId } from '../../shared/ids.ts';
import type { Role } from '../model.ts';
import type { Call, Principal, TokenPrincipal } from './call.ts';

/**
 * What a call amounts to. The scope of a token is checked besides, against each object that is named.
 *
 * - `probe`: is it there, what does it speak
 * - `know`: who am I talking to
 * - `read`: look at services and what belongs to them
 * - `read-logs`: look at what containers write
 * - `read-fleet`: look at nodes and their clusters
 * - `enter`: run commands inside of containers
 * - `run`: start, stop, scale, redeploy
 * - `define`: change what is to run, and the certificates that load balancers show
 * - `administer-fleet`: change nodes and node clusters that are there
 * - `administer`: everything else: make and remove node clusters, tokens, the certificate authority
 * - `join`: make a host a node
 * - `enrol`: get the certificate of a proxy
 * - `be-node`, `be-proxy`: speak as a node, as a proxy
 */
export type Access =
  | 'probe'
  | 'know'
  | 'read'
  | 'read-logs'
  | 'read-fleet'
  | 'enter'
  | 'run'
  | 'define'
  | 'administer-fleet'
  | 'administer'
  | 'join'
  | 'enrol'
  | 'be-node'
  | 'be-proxy';

/** A rule for every method that the definition has, by the name in its path. */
type RulesOf<Definition extends { readonly methods: object }> = {
  readonly [Method in keyof Definition['methods'] & string as Capitalize<Method>]: Access;
};

const control: RulesOf<ControlServiceDefinition> = {
  GetInfo: 'know',
  CreateService: 'define',
  GetService: 'read',
  ListServices: 'read',
  WatchServices: 'read',
  UpdateService: 'define',
  ScaleService: 'run',
  StartService: 'run',
  StopService: 'run',
  RedeployService: 'run',
  RebalanceServices: 'run',
  RemoveService: 'define',
  ListRevisions: 'read',
  DiffRevisions: 'read',
  RollbackService: 'define',
  PauseService: 'run',
  ResumeService: 'run',
  PromoteService: 'run',
  AddLink: 'define',
  RemoveLink: 'define',
  GetContainer: 'read',
  ListContainers: 'read',
  WatchContainers: 'read',
  StartContainer: 'run',
  StopContainer: 'run',
  RedeployContainer: 'run',
  RemoveContainer: 'run',
  ContainerLogs: 'read-logs',
  ServiceLogs: 'read-logs',
  ExecContainer: 'enter',
  GetNode: 'read-fleet',
  ListNodes: 'read-fleet',
  WatchNodes: 'read-fleet',
  UpdateNode: 'administer-fleet',
  DrainNode: 'administer-fleet',
  RemoveNode: 'administer-fleet',
  UpgradeNodes: 'administer',
  AdoptOrphan: 'administer',
  DiscardOrphan: 'administer',
  CreateNodeCluster: 'administer',
  GetNodeCluster: 'read-fleet',
  ListNodeClusters: 'read-fleet',
  WatchNodeClusters: 'read-fleet',
  UpdateNodeCluster: 'administer-fleet',
  RemoveNodeCluster: 'administer',
  ListEndpoints: 'read',
  WatchEndpoints: 'read',
  ListProxies: 'read',
  WatchProxies: 'read',
  RemoveProxy: 'define',
  GetAction: 'read',
  ListActions: 'read',
  CancelAction: 'run',
  WatchActions: 'read',
  Explain: 'read',
  ListEvents: 'read',
  WatchEvents: 'read',
  CreateToken: 'administer',
  ListTokens: 'administer',
  WatchTokens: 'administer',
  RevokeToken: 'administer',
  PutCertificate: 'define',
  GetCertificate: 'read-fleet',
  ListCertificates: 'read-fleet',
  WatchCertificates: 'read-fleet',
  RemoveCertificate: 'define',
  GetTrust: 'administer',
  RotateAuthority: 'administer',
  FinishRotation: 'administer',
};

const agents: RulesOf<AgentServiceDefinition> = {
  Join: 'join',
  RenewCertificate: 'be-node',
  NodeSession: 'be-node',
  NodeStream: 'be-node',
};

const proxies: RulesOf<ProxyServiceDefinition> = {
  Enrol: 'enrol',
  RenewProxyCertificate: 'be-proxy',
  ProxySession: 'be-proxy',
};

/** Who may call what, by service and method: the one table. What it does not name, nobody may call. */
export const accessOf: Readonly<Record<string, Readonly<Record<string, Access>>>> = {
  'fairlead.v1.ControlService': control,
  'fairlead.v1.AgentService': agents,
  'fairlead.v1.ProxyService': proxies,
  'grpc.health.v1.Health': { Check: 'probe', Watch: 'probe' },
  'grpc.reflection.v1.ServerReflection': { ServerReflectionInfo: 'probe' },
  'grpc.reflection.v1alpha.ServerReflection': { ServerReflectionInfo: 'probe' },
};

/** What a caller has shown: a token of a role, or the certificate of a node or proxy. */
type Standing = Role | 'node-identity' | 'proxy-identity';

const people = ['viewer', 'operator', 'admin'] as const;

const standingsWith: Readonly<Record<Access, readonly Standing[]>> = {
  probe: [...people, 'node', 'proxy', 'node-identity', 'proxy-identity'],
  know: [...people, 'node', 'proxy'],
  read: [...people, 'proxy'],
  // What a program writes is for those who look after it; a balancer needs none of it.
  'read-logs': people,
  'read-fleet': people,
  enter: ['operator', 'admin'],
  run: ['operator', 'admin'],
  define: ['operator', 'admin'],
  'administer-fleet': ['admin'],
  administer: ['admin'],
  join: ['node'],
  'be-node': ['node-identity'],
  enrol: ['proxy'],
  'be-proxy': ['proxy-identity'],
};

/** What the token of a container may not do, whatever its role. */
const notFromInside: Readonly<Partial<Record<Access, string>>> = {
  define: 'change definitions',
  enter: 'run commands inside of containers',
};

/** Throws 'forbidden' unless the caller may call the method; `path` is `/package.Service/Method`. */
export function authorize(path: string, principal: Principal): void {
  const [, service = '', method = ''] = path.split('/');
  const access = accessOf[service]?.[method];
  if (access === undefined) throw forbidden(`no rule says who may call ${path}`);
  if (!standingsWith[access].includes(standingOf(principal))) {
    throw forbidden(`${describe(principal)} may not call ${method}`);
  }
  if (principal.kind === 'node') return;
  // A program inside a container runs services; it neither redefines nor enters them.
  const what = principal.containerId === null ? undefined : notFromInside[access];
  if (what !== undefined) throw forbidden(`the token of a container may not ${what}`);
  if (principal.scope !== null && isBeyond(access, principal)) {
    throw forbidden(`token "${principal.name}" is limited to some services or node clusters`);
  }
}

/** Whether a token is let in to what a call amounts to, as `authorize` would. */
export function mayUse(principal: TokenPrincipal, access: Access): boolean {
  return (
    standingsWith[access].includes(standingOf(principal)) &&
    (principal.scope === null || !isBeyond(access, principal))
  );
}

/** Who is limited to node clusters may change those, and each is looked at besides; nothing else of a fleet. */
function isBeyond(access: Access, { clusters }: TokenPrincipal): boolean {
  return access === 'administer' || (access === 'administer-fleet' && clusters === null);
}

function standingOf(principal: Principal): Standing {
  if (principal.kind === 'node') return 'node-identity';
  return principal.certificate === null ? principal.role : 'proxy-identity';
}

function describe(principal: Principal): string {
  if (principal.kind === 'node') return `the certificate of the node ${principal.name}`;
  if (principal.certificate !== null) return `the certificate for token "${principal.name}"`;
  return `token "${principal.name}" of the role ${principal.role}`;
}

/** Whether the caller's token reaches a service. */
export function inScope({ principal }: Pick<Call, 'principal'>, service: ServiceId): boolean {
  return principal.scope === null || principal.scope.has(service);
}

/** Throws 'forbidden' unless the caller's token reaches the service. */
export function requireScope(
  call: Pick<Call, 'principal'>,
  service: { readonly id: ServiceId; readonly name: string },
): void {
  if (inScope(call, service.id)) return;
  throw forbidden(`token "${call.principal.name}" does not reach the service ${service.name}`);
}

/** Whether the caller's token reaches a node cluster, or a node that is in one; null: in none. */
export function inClusters(
  { principal }: Pick<Call, 'principal'>,
  cluster: NodeClusterId | null,
): boolean {
  const { clusters } = principal;
  return clusters === null || (cluster !== null && clusters.has(cluster));
}

/** Throws 'forbidden' unless the caller's token reaches the node cluster that something is in. */
export function requireClusters(
  call: Pick<Call, 'principal'>,
  cluster: NodeClusterId | null,
  what: string,
): void {
  if (inClusters(call, cluster)) return;
  throw forbidden(`token "${call.principal.name}" does not reach ${what}`);
}

/** Whether the caller may know of a certificate: all of them, or those limited to a service in scope. */
export function reachesCertificate(
  call: Pick<Call, 'principal'>,
  { serviceIds }: { readonly serviceIds: readonly ServiceId[] },
): boolean {
  return call.principal.scope === null || serviceIds.some((id) => inScope(call, id));
}

/** Throws 'forbidden' unless the caller reaches everything that a certificate is handed to. */
export function requireCertificateScope(
  call: Pick<Call, 'principal'>,
  { serviceIds }: { readonly serviceIds: readonly ServiceId[] },
): void {
  if (call.principal.scope === null) return;
  if (serviceIds.length > 0 && serviceIds.every((id) => inScope(call, id))) return;
  throw forbidden(
    `token "${call.principal.name}" is limited to some services, and the certificate is not limited to those`,
  );
}

/** Throws 'forbidden' if the caller's token is limited to some services. */
export function requireUnlimited({ principal }: Pick<Call, 'principal'>, what: string): void {
  if (principal.scope === null) return;
  throw forbidden(
    `token "${principal.name}" is limited to some services or node clusters and may not ${what}`,
  );
}

/** Throws 'forbidden' unless the caller may read the metrics, which tell of all that there is. */
export function authorizeMetrics(principal: Principal): void {
  if (principal.kind === 'node' || !mayUse(principal, 'read-fleet')) {
    throw forbidden(`${describe(principal)} may not read metrics`);
  }
  requireUnlimited({ principal }, 'read metrics');
}

function forbidden(message: string): DomainError {
  return new DomainError('forbidden', `${message}; ask an administrator for a token that may`, {
    reason: 'PERMISSION_DENIED',
  });
}
