import { Client, credentials, Metadata, status, type ServiceError } from '@grpc/grpc-js';
import { HealthDefinition } from 'nice-grpc-server-health';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { accessOf } from '../../../../coordinator/api/authorization.ts';
import { contractRegistry } from '../../../../coordinator/api/contract.ts';
import { SealingKey } from '../../../../coordinator/certificates/sealing-key.ts';
import { Authority } from '../../../../coordinator/identity/authority.ts';
import { formatToken, hashSecret } from '../../../../coordinator/identity/tokens.ts';
import type { Role, Token } from '../../../../coordinator/model.ts';
import type { Certificate } from '../../../../coordinator/tls-model.ts';
import { Store } from '../../../../coordinator/store/store.ts';
import { systemClock } from '../../../../shared/clock.ts';
import { AgentServiceDefinition } from '../../../../shared/gen/fairlead/v1/agent_service.ts';
import { ControlServiceDefinition } from '../../../../shared/gen/fairlead/v1/control_service.ts';
import { ProxyServiceDefinition } from '../../../../shared/gen/fairlead/v1/proxy_service.ts';
import type { ActionId, CertificateId, NodeClusterId, TokenId } from '../../../../shared/ids.ts';
import { createLogger } from '../../../../shared/logger.ts';
import { makePrivateKey, signingRequest } from '../../../../shared/rpc/signing-request.ts';
import type { AgentIdentity } from '../../../../coordinator/identity/agent-identity.ts';
import {
  aCertificate,
  aCluster,
  aContainer,
  aNode,
  aService,
  aSpec,
  aToken,
  containerId,
  nodeId,
  serviceId,
  tokenId,
} from '../../../support/builders.ts';
import { CoordinatorInProcess } from '../../../support/coordinator-in-process.ts';
import { TemporaryDirectory } from '../../../support/temporary-directory.ts';
import { TestAuthority } from '../../../support/test-authority.ts';

const secret = 's'.repeat(43);
const never = 'n'.repeat(43);

/**
 * Everybody who may come along. `web` is in the scope of those whose name says so, `other` of others; the node
 * cluster `edge`, with the one node, in that of some, `far` in that of others.
 */
const tokens = {
  viewer: { role: 'viewer' },
  operator: { role: 'operator' },
  admin: { role: 'admin' },
  viewerOfWeb: { role: 'viewer', services: ['web'] },
  operatorOfWeb: { role: 'operator', services: ['web'] },
  adminOfWeb: { role: 'admin', services: ['web'] },
  viewerOfOther: { role: 'viewer', services: ['other'] },
  operatorOfOther: { role: 'operator', services: ['other'] },
  adminOfOther: { role: 'admin', services: ['other'] },
  viewerOfEdge: { role: 'viewer', clusters: ['edge'] },
  operatorOfEdge: { role: 'operator', clusters: ['edge'] },
  adminOfEdge: { role: 'admin', clusters: ['edge'] },
  adminOfFar: { role: 'admin', clusters: ['far'] },
  // Of both: it sees the service, and the nodes of the cluster alone.
  operatorOfWebAtFar: { role: 'operator', services: ['web'], clusters: ['far'] },
  joiner: { role: 'node' },
  // Linked to web.
  proxyOfLb: { role: 'proxy', services: ['lb'] },
  proxyOfOther: { role: 'proxy', services: ['other'] },
  proxyInContainer: { role: 'proxy', services: ['lb'], container: 'lb-1-id' },
  proxyInOtherContainer: { role: 'proxy', services: ['lb'], container: 'lb-2-id' },
  program: { role: 'operator', services: ['lb'], container: 'lb-1-id' },
} as const satisfies Record<
  string,
  {
    role: Role;
    services?: readonly string[];
    clusters?: readonly string[];
    container?: string;
  }
>;

/** Those who show the certificate of an agent; a proxy's has the name of the token that it was made for. */
const certificates = {
  node: `node/${'a'.repeat(32)}`,
  // The same node's, which has renewed it and may still use the one before.
  nodeRenewed: `node/${'a'.repeat(32)}`,
  certOfLb: 'proxyOfLb',
  certOfOther: 'proxyOfOther',
  certInContainer: 'proxyInContainer',
  certInOtherContainer: 'proxyInOtherContainer',
} as const;

type Known = keyof typeof tokens | keyof typeof certificates;

const pin = 'p'.repeat(43);
const strangers = {
  nobody: undefined,
  garbage: 'Bearer 0xdeadbeef',
  otherScheme: `Basic ${Buffer.from('admin:admin').toString('base64')}`,
  unknownToken: `Bearer ${formatToken(tokenId('ffffffffffffffff'), secret, pin)}`,
  wrongSecret: `Bearer ${formatToken(idOf('admin'), never, pin)}`,
  expired: `Bearer ${formatToken(tokenId('eeeeeeeeeeeeeeee'), secret, pin)}`,
  revoked: `Bearer ${formatToken(tokenId('dddddddddddddddd'), secret, pin)}`,
} as const;

/** Those whose certificate is good for nothing. */
const badCertificates = [
  ...(['removedNode', 'revokedProxy', 'expiredNode', 'selfMadeNode', 'otherInstallation'] as const),
];

const anyToken = Object.keys(tokens) as readonly Known[];
const anybody: readonly Known[] = [...anyToken, ...(Object.keys(certificates) as Known[])];
const people: readonly Known[] = ['viewer', 'operator', 'admin'];
const limited: readonly Known[] = [
  ...(['viewerOfWeb', 'operatorOfWeb', 'adminOfWeb', 'program'] as const),
  ...(['viewerOfOther', 'operatorOfOther', 'adminOfOther'] as const),
];
const nodes: readonly Known[] = ['node', 'nodeRenewed'];
const proxies: readonly Known[] = [
  ...(['proxyOfLb', 'proxyOfOther', 'proxyInContainer', 'proxyInOtherContainer'] as const),
];
const ofEdge: readonly Known[] = ['viewerOfEdge', 'operatorOfEdge', 'adminOfEdge'];
const ofFar: readonly Known[] = ['adminOfFar', 'operatorOfWebAtFar'];
const whoReads: readonly Known[] = [...people, ...limited, ...ofEdge, ...ofFar, ...proxies];
const noneOfWeb: readonly Known[] = [...ofEdge, 'adminOfFar'];
const whoReadsWeb: readonly Known[] = whoReads.filter(
  (who) => !who.endsWith('OfOther') && !noneOfWeb.includes(who),
);
/** Of this cluster and its node. */
const whoReadsEdge: readonly Known[] = [...people, ...limited, ...ofEdge];
const whoReadsNodes: readonly Known[] = [...whoReadsEdge, ...ofFar];
const whoReadsLogsOfWeb = whoReadsWeb.filter((who) => !proxies.includes(who));
const whoRunsWeb: readonly Known[] = [
  ...(['operator', 'admin', 'operatorOfWeb', 'adminOfWeb', 'program'] as const),
  'operatorOfWebAtFar',
];
const whoDefinesWeb = whoRunsWeb.filter((who) => who !== 'program');

/** Something; what, is looked at besides. */
const whoDefines: readonly Known[] = [
  ...whoDefinesWeb,
  ...(['operatorOfOther', 'adminOfOther', 'operatorOfEdge', 'adminOfEdge', 'adminOfFar'] as const),
];

const options = { dryRun: true };
const web = { service: 'web' };
const spec = { image: 'hello:1' };
const hello = { protocolVersion: 1, proxyId: 'lb-1-id', name: 'lb-1', service: 'lb' };

/** What a call asks, and who is to be let in. Everybody else is to be refused. */
const rules: Readonly<Record<string, readonly [request: object, who: readonly Known[]]>> = {
  '/fairlead.v1.ControlService/GetInfo': [{}, anyToken],
  '/fairlead.v1.ControlService/CreateService': [
    { name: 'new', spec, options },
    ['operator', 'admin'],
  ],
  '/fairlead.v1.ControlService/GetService': [web, whoReadsWeb],
  '/fairlead.v1.ControlService/ListServices': [{ services: ['web'] }, whoReadsWeb],
  '/fairlead.v1.ControlService/WatchServices': [{ services: ['web'] }, whoReadsWeb],
  '/fairlead.v1.ControlService/UpdateService': [{ ...web, spec, options }, whoDefinesWeb],
  '/fairlead.v1.ControlService/ScaleService': [{ ...web, replicas: 2, options }, whoRunsWeb],
  '/fairlead.v1.ControlService/StartService': [{ ...web, options }, whoRunsWeb],
  '/fairlead.v1.ControlService/StopService': [{ ...web, options }, whoRunsWeb],
  '/fairlead.v1.ControlService/RedeployService': [{ ...web, options }, whoRunsWeb],
  '/fairlead.v1.ControlService/RebalanceServices': [{ services: ['web'], options }, whoRunsWeb],
  '/fairlead.v1.ControlService/RemoveService': [{ ...web, options }, whoDefinesWeb],
  '/fairlead.v1.ControlService/ListRevisions': [web, whoReadsWeb],
  '/fairlead.v1.ControlService/DiffRevisions': [
    { ...web, fromRevision: 1, toRevision: 1 },
    whoReadsWeb,
  ],
  '/fairlead.v1.ControlService/RollbackService': [{ ...web, revision: 1, options }, whoDefinesWeb],
  '/fairlead.v1.ControlService/PauseService': [{ ...web, options }, whoRunsWeb],
  '/fairlead.v1.ControlService/ResumeService': [{ ...web, options }, whoRunsWeb],
  '/fairlead.v1.ControlService/PromoteService': [{ ...web, options }, whoRunsWeb],
  '/fairlead.v1.ControlService/AddLink': [
    { ...web, link: { service: 'other', alias: 'x' }, options },
    whoDefinesWeb,
  ],
  '/fairlead.v1.ControlService/RemoveLink': [{ ...web, alias: 'x', options }, whoDefinesWeb],
  '/fairlead.v1.ControlService/GetContainer': [{ container: 'web-1' }, whoReadsWeb],
  '/fairlead.v1.ControlService/ListContainers': [{ services: ['web'] }, whoReadsWeb],
  '/fairlead.v1.ControlService/WatchContainers': [{ services: ['web'] }, whoReadsWeb],
  '/fairlead.v1.ControlService/StartContainer': [{ container: 'web-1', options }, whoRunsWeb],
  '/fairlead.v1.ControlService/StopContainer': [{ container: 'web-1', options }, whoRunsWeb],
  '/fairlead.v1.ControlService/RedeployContainer': [{ container: 'web-1', options }, whoRunsWeb],
  '/fairlead.v1.ControlService/RemoveContainer': [{ container: 'web-1', options }, whoRunsWeb],
  '/fairlead.v1.ControlService/ContainerLogs': [{ container: 'web-1' }, whoReadsLogsOfWeb],
  '/fairlead.v1.ControlService/ServiceLogs': [{ service: 'web' }, whoReadsLogsOfWeb],
  '/fairlead.v1.ControlService/ExecContainer': [
    { message: { $case: 'start', value: { container: 'web-1', command: { command: ['true'] } } } },
    whoDefinesWeb,
  ],
  '/fairlead.v1.ControlService/GetNode': [{ node: 'node-1' }, whoReadsEdge],
  '/fairlead.v1.ControlService/ListNodes': [{}, whoReadsNodes],
  '/fairlead.v1.ControlService/WatchNodes': [{}, whoReadsNodes],
  '/fairlead.v1.ControlService/UpdateNode': [
    { node: 'node-1', updateMask: ['tags'], options },
    ['admin', 'adminOfEdge'],
  ],
  '/fairlead.v1.ControlService/DrainNode': [{ node: 'node-1', options }, ['admin', 'adminOfEdge']],
  '/fairlead.v1.ControlService/RemoveNode': [{ node: 'node-1', options }, ['admin', 'adminOfEdge']],
  '/fairlead.v1.ControlService/UpgradeNodes': [{ nodes: ['node-1'], options }, ['admin']],
  '/fairlead.v1.ControlService/AdoptOrphan': [{ node: 'node-1', orphan: 'x', options }, ['admin']],
  '/fairlead.v1.ControlService/DiscardOrphan': [
    { node: 'node-1', orphan: 'x', options },
    ['admin'],
  ],
  '/fairlead.v1.ControlService/CreateNodeCluster': [{ name: 'new', options }, ['admin']],
  '/fairlead.v1.ControlService/GetNodeCluster': [{ nodeCluster: 'edge' }, whoReadsEdge],
  '/fairlead.v1.ControlService/ListNodeClusters': [{}, whoReadsNodes],
  '/fairlead.v1.ControlService/WatchNodeClusters': [{}, whoReadsNodes],
  '/fairlead.v1.ControlService/UpdateNodeCluster': [
    { nodeCluster: 'edge', updateMask: ['tags'], options },
    ['admin', 'adminOfEdge'],
  ],
  '/fairlead.v1.ControlService/RemoveNodeCluster': [{ nodeCluster: 'edge', options }, ['admin']],
  '/fairlead.v1.ControlService/ListEndpoints': [{ services: ['web'] }, whoReadsWeb],
  '/fairlead.v1.ControlService/WatchEndpoints': [{ services: ['web'] }, whoReadsWeb],
  '/fairlead.v1.ControlService/ListProxies': [{ services: ['web'] }, whoReadsWeb],
  '/fairlead.v1.ControlService/WatchProxies': [{ services: ['web'] }, whoReadsWeb],
  // There is none: who may remove one is told so.
  '/fairlead.v1.ControlService/RemoveProxy': [{ proxy: 'nobody', options }, whoDefines],
  '/fairlead.v1.ControlService/GetAction': [{ action: 'action-on-web' }, whoReadsWeb],
  '/fairlead.v1.ControlService/CancelAction': [{ action: 'action-on-web', options }, whoRunsWeb],
  // These leave out what is not in scope.
  '/fairlead.v1.ControlService/ListActions': [{ target: 'web' }, whoReads],
  '/fairlead.v1.ControlService/WatchActions': [{ target: 'web' }, whoReads],
  '/fairlead.v1.ControlService/Explain': [
    { subject: { $case: 'service', value: 'web' } },
    whoReadsWeb,
  ],
  '/fairlead.v1.ControlService/ListEvents': [{ objectId: 'web-id' }, whoReadsWeb],
  '/fairlead.v1.ControlService/WatchEvents': [{ objectId: 'web-id' }, whoReadsWeb],
  '/fairlead.v1.ControlService/CreateToken': [{ name: 'new', role: 10, options }, ['admin']],
  '/fairlead.v1.ControlService/ListTokens': [{}, ['admin']],
  '/fairlead.v1.ControlService/WatchTokens': [{}, ['admin']],
  '/fairlead.v1.ControlService/RevokeToken': [{ token: 'viewer', options }, ['admin']],
  '/fairlead.v1.ControlService/PutCertificate': [
    { name: 'new', services: ['web'], options },
    whoDefinesWeb,
  ],
  '/fairlead.v1.ControlService/GetCertificate': [{ certificate: 'for-web' }, whoReadsLogsOfWeb],
  '/fairlead.v1.ControlService/ListCertificates': [{}, whoReadsNodes],
  '/fairlead.v1.ControlService/WatchCertificates': [{}, whoReadsNodes],
  '/fairlead.v1.ControlService/RemoveCertificate': [
    { certificate: 'for-web', options },
    whoDefinesWeb,
  ],
  '/fairlead.v1.ControlService/GetTrust': [{}, ['admin']],
  '/fairlead.v1.ControlService/RotateAuthority': [{ options }, ['admin']],
  '/fairlead.v1.ControlService/FinishRotation': [{ options }, ['admin']],
  // Let in, and then refused for the name.
  '/fairlead.v1.AgentService/Join': [{ name: '' }, ['joiner']],
  '/fairlead.v1.AgentService/RenewCertificate': [{}, nodes],
  '/fairlead.v1.AgentService/NodeSession': [{}, nodes],
  // Let in, and then refused for the ticket.
  '/fairlead.v1.AgentService/NodeStream': [
    { message: { $case: 'hello', value: { ticket: 'none' } } },
    nodes,
  ],
  '/fairlead.v1.ProxyService/Enrol': [{}, proxies],
  '/fairlead.v1.ProxyService/RenewProxyCertificate': [
    {},
    ['certOfLb', 'certOfOther', 'certInContainer', 'certInOtherContainer'],
  ],
  '/fairlead.v1.ProxyService/ProxySession': [
    { message: { $case: 'hello', value: hello } },
    ['certOfLb', 'certInContainer'],
  ],
  '/grpc.health.v1.Health/Check': [{}, anybody],
  '/grpc.health.v1.Health/Watch': [{}, anybody],
  '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo': [{}, anybody],
  '/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo': [{}, anybody],
};

function idOf(name: string) {
  const number = Object.keys(tokens).indexOf(name);
  return tokenId(number.toString(16).padStart(16, '0'));
}

function authorizationOf(who: string): string | undefined {
  if (who in tokens) return `Bearer ${formatToken(idOf(who), secret, pin)}`;
  return strangers[who as keyof typeof strangers];
}

/** A certificate that is limited to `web`, with a key that can be opened. */
function certificateForWeb(stateDir: string): Certificate {
  const id = 'for-web-id' as CertificateId;
  const sealedKey = SealingKey.open(stateDir, []).seal({ id, text: 'key' });
  return aCertificate({ id, name: 'for-web', serviceIds: [serviceId('web-id')], sealedKey });
}

/** What there is before the coordinator starts; returns the id of the installation. */
function furnish(stateDir: string): string {
  using store = new Store(`${stateDir}/fairlead.db`, { clock: systemClock });
  store.transact((tx) => {
    for (const { id } of store.tokens.values()) tx.tokens.delete(id);
    const links = [{ service: 'web', alias: 'web' }];
    tx.services.put(aService());
    tx.services.put(aService({ name: 'other' }));
    tx.services.put(aService({ name: 'lb', spec: aSpec({ apiRole: 'proxy', links }) }));
    tx.clusters.put(aCluster({ id: clusterId('edge') }));
    tx.clusters.put(aCluster({ id: clusterId('far'), name: 'far' }));
    tx.nodes.put(aNode({ id: nodeId('a'.repeat(32)), clusterId: clusterId('edge') }));
    tx.containers.put(aContainer({ nodeId: nodeId('a'.repeat(32)) }));
    for (const slot of [1, 2]) {
      const id = containerId(`lb-${slot}-id`);
      const rest = { serviceId: serviceId('lb-id'), nodeId: nodeId('a'.repeat(32)) };
      tx.containers.put(aContainer({ ...rest, id, name: `lb-${slot}`, slot }));
    }
    tx.certificates.put(certificateForWeb(stateDir));
    tx.actions.put({
      ...{ id: 'action-on-web' as ActionId, method: 'ScaleService', targetKind: 'service' },
      ...{ targetId: 'web-id', targetName: 'web', serviceId: serviceId('web-id'), roll: null },
      before: null,
      moves: null,
      ...{ state: 'succeeded', message: '', principal: 'admin', peer: '', requestId: '' },
      ...{ timeline: [], startedAtMs: 0, endedAtMs: 0 },
    });
    const ended = {
      ...({
        roll: null,
        before: null,
        state: 'succeeded',
        message: '',
        principal: 'admin',
      } as const),
      ...{ peer: '', requestId: '', serviceId: null, timeline: [], startedAtMs: 0, endedAtMs: 0 },
    };
    tx.actions.put({
      ...{ ...ended, id: 'drain' as ActionId, method: 'DrainNode', targetKind: 'node' },
      ...{ targetId: 'a'.repeat(32), targetName: 'node-1' },
      moves: { kind: 'drain', parallelism: 1, members: [] },
    });
    tx.actions.put({
      ...{ ...ended, id: 'rebalance' as ActionId, method: 'RebalanceServices' },
      ...{ targetKind: 'service', targetId: 'web-id', targetName: 'web' },
      moves: { kind: 'rebalance', parallelism: 1, members: [] },
    });
    const put = (name: string, token: Partial<Token>) => {
      tx.tokens.put(aToken({ id: idOf(name), name, hash: hashSecret(secret), ...token }));
    };
    for (const [name, token] of Object.entries(tokens)) {
      const services: readonly string[] = 'services' in token ? token.services : [];
      put(name, {
        role: token.role,
        serviceIds: services.map((service) => serviceId(`${service}-id`)),
        clusterIds: 'clusters' in token ? token.clusters.map(clusterId) : [],
        containerId: 'container' in token ? containerId(token.container) : null,
      });
    }
    put('expired', { id: tokenId('eeeeeeeeeeeeeeee'), role: 'admin', expiresAtMs: 1 });
  });
  return store.installationId(() => {
    throw new Error('it has none yet');
  });
}

function clusterId(name: string): NodeClusterId {
  return `${name}-cluster-id` as NodeClusterId;
}

interface Method {
  readonly requestType: {
    readonly fromPartial: (partial: object) => unknown;
    readonly encode: (message: unknown) => { readonly finish: () => Uint8Array };
    readonly toJSON: (message: unknown) => unknown;
  };
}

const ours = [ControlServiceDefinition, AgentServiceDefinition, ProxyServiceDefinition] as const;

/** The type of what a method is asked. Health and reflection: nothing in particular. */
function typeOf(path: string): Method['requestType'] | undefined {
  const [, service, method = ''] = path.split('/');
  const definition = ours.find(({ fullName }) => fullName === service);
  const key = method[0]!.toLowerCase() + method.slice(1);
  const methods = definition?.methods as Readonly<Record<string, Method>> | undefined;
  return methods?.[key]?.requestType;
}

/** The request of a rule in its binary form. */
function encode(path: string, request: object): Buffer {
  const type = typeOf(path);
  if (type === undefined) return Buffer.alloc(0);
  return Buffer.from(type.encode(type.fromPartial(request)).finish());
}

const directory = new TemporaryDirectory();
let coordinator: CoordinatorInProcess;
/** By whoever shows a certificate; all others share the one of ''. */
const clients = new Map<string, Client>();

/** Opens a connection for everybody who has one of their own. */
async function openClients(stateDir: string, installationId: string): Promise<void> {
  const deps = { clock: systemClock, log: createLogger({ level: 'silent', process: 'test' }) };
  const options = { stateDir, names: [], certificateLifeMs: 3_600_000 };
  const authority = await Authority.open(deps, { ...options, installationId });
  const other = await Authority.open(deps, { ...options, installationId: 'ef'.repeat(16) });
  const stranger = await TestAuthority.make();
  const node = (id: string) => ({ kind: 'node', id: nodeId(id.repeat(32)) }) as const;
  const proxy = (id: TokenId) => ({ kind: 'proxy', id }) as const;
  const open = async (who: string, issue: (request: string) => Promise<string>) => {
    const privateKeyPem = makePrivateKey();
    const certificatePem = await issue(signingRequest(privateKeyPem));
    const tls = credentials.createSsl(
      Buffer.from(coordinator.authorities),
      Buffer.from(privateKeyPem),
      Buffer.from(certificatePem),
    );
    clients.set(who, new Client(coordinator.address, tls, channelOptions));
  };
  const by =
    (issuer: Authority, identity: AgentIdentity, untilMs?: number) => async (request: string) =>
      (await issuer.issue(identity, await issuer.keyIn(request), untilMs)).certificatePem;
  clients.set(
    '',
    new Client(
      coordinator.address,
      credentials.createSsl(Buffer.from(coordinator.authorities)),
      channelOptions,
    ),
  );
  for (const [who, name] of Object.entries(certificates)) {
    const identity = nodes.includes(who as Known) ? node('a') : proxy(idOf(name));
    await open(who, by(authority, identity));
  }
  await open('removedNode', by(authority, node('d')));
  await open('revokedProxy', by(authority, proxy(tokenId('dddddddddddddddd'))));
  await open('expiredNode', by(authority, node('a'), Date.now() - 1_000));
  await open('otherInstallation', by(other, node('a')));
  await open('selfMadeNode', async (request) => {
    const { certificatePem } = await stranger.issue(request, `node/${'a'.repeat(32)}`);
    return certificatePem;
  });
}

const channelOptions = { 'grpc.use_local_subchannel_pool': 1 };

beforeAll(async () => {
  const stateDir = directory.join('state');
  // It makes its keys before it knows anybody.
  await (await CoordinatorInProcess.start(stateDir))[Symbol.asyncDispose]();
  const installationId = furnish(stateDir);
  coordinator = await CoordinatorInProcess.start(stateDir);
  await openClients(stateDir, installationId);
});

afterAll(async () => {
  for (const client of clients.values()) client.close();
  await coordinator[Symbol.asyncDispose]();
  await directory[Symbol.asyncDispose]();
});

type Outcome = 'let in' | 'UNAUTHENTICATED' | 'PERMISSION_DENIED';

/** How a call over gRPC fares; a stream as well as any other. */
async function outcomeOf(path: string, request: object, who: string): Promise<Outcome> {
  const metadata = new Metadata();
  const authorization = authorizationOf(who);
  if (authorization !== undefined) metadata.set('authorization', authorization);
  const identity = (bytes: Buffer) => bytes;
  return await new Promise<Outcome>((resolve) => {
    const client = clients.get(who) ?? clients.get('');
    const call = client!.makeBidiStreamRequest(path, identity, identity, metadata);
    call.on('data', () => {
      resolve('let in');
      call.cancel();
    });
    call.on('error', ({ code, metadata: trailer }: Partial<ServiceError>) => {
      const isStranger = trailer?.get('error-reason')[0] === 'TOO_MANY_FAILED_LOGINS';
      if (code === status.UNAUTHENTICATED || isStranger) resolve('UNAUTHENTICATED');
      else if (code === status.PERMISSION_DENIED) resolve('PERMISSION_DENIED');
      else resolve('let in');
    });
    call.on('end', () => {
      resolve('let in');
    });
    call.write(encode(path, request));
    // A session that is let in says so; one that ended would end with it.
    if (!path.endsWith('Session')) call.end();
  });
}

/** The same over HTTP, where the public API is served alone. */
async function httpOutcomeOf(path: string, request: object, who: string): Promise<Outcome> {
  const authorization = authorizationOf(who);
  const isWatch = path.includes('/Watch') || path.endsWith('Logs');
  const type = typeOf(path);
  const response = await coordinator.fetch(path, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      ...(isWatch && { accept: 'application/x-ndjson' }),
      ...(authorization !== undefined && { authorization }),
    },
    body: JSON.stringify(type?.toJSON(type.fromPartial(request))),
  });
  response.cancel();
  // 429: a stranger who knocks too often.
  if (response.status === 401 || response.status === 429) return 'UNAUTHENTICATED';
  return response.status === 403 ? 'PERMISSION_DENIED' : 'let in';
}

function expected(who: readonly Known[]): Readonly<Record<string, Outcome>> {
  return Object.fromEntries([
    ...anybody.map((each) => [each, who.includes(each) ? 'let in' : 'PERMISSION_DENIED']),
    ...[...Object.keys(strangers), ...badCertificates].map((each) => [each, 'UNAUTHENTICATED']),
  ]) as Record<string, Outcome>;
}

const everyCaller = [...anybody, ...Object.keys(strangers), ...badCertificates];

/** The methods of all services that the coordinator serves. */
function everyMethod(): string[] {
  const contract = [...contractRegistry()].flatMap((type) =>
    type.kind === 'service' ? type.methods.map((method) => `/${type.typeName}/${method.name}`) : [],
  );
  const health = Object.values(HealthDefinition.methods).map(
    ({ name }) => `/${HealthDefinition.fullName}/${name}`,
  );
  const reflection = ['v1', 'v1alpha'].map(
    (version) => `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`,
  );
  return [...contract, ...health, ...reflection].sort();
}

test('the table names every method of every service, and no other', () => {
  const named = Object.entries(accessOf).flatMap(([service, methods]) =>
    Object.keys(methods).map((method) => `/${service}/${method}`),
  );
  expect(named.sort()).toEqual(everyMethod());
  expect(Object.keys(rules).sort(), 'and this test tries each').toEqual(everyMethod());
});

test('an administrator of a node cluster takes no node out of it, nor puts it elsewhere', async () => {
  const update = async (who: string, cluster: string) => {
    const path = '/fairlead.v1.ControlService/UpdateNode';
    const request = { node: 'node-1', cluster, updateMask: ['cluster'], options };
    return await httpOutcomeOf(path, request, who);
  };
  for (const cluster of ['far', '']) {
    expect(await update('adminOfEdge', cluster), cluster).toBe('PERMISSION_DENIED');
    expect(await update('admin', cluster), cluster).toBe('let in');
  }
  expect(await update('adminOfEdge', 'edge')).toBe('let in');
});

test('what moves containers is seen by those who reach all that it is about', async () => {
  const path = '/fairlead.v1.ControlService/GetAction';
  const seenBy = async (action: string) => {
    const callers = [...people, ...limited, ...ofEdge, ...ofFar];
    const outcomes = callers.map(async (who) => [who, await httpOutcomeOf(path, { action }, who)]);
    return (await Promise.all(outcomes))
      .filter(([, outcome]) => outcome === 'let in')
      .map(([who]) => who);
  };
  expect(await seenBy('drain')).toEqual([...people, ...ofEdge]);
  const ofWeb = whoReadsWeb.filter((who) => !proxies.includes(who));
  expect((await seenBy('rebalance')).sort()).toEqual([...ofWeb].sort());
});

// Strangers of every kind and certificates that say nothing here are refused on each method.
describe('N4: over gRPC', () => {
  test.each(Object.entries(rules))('%s lets in whom it should', async (path, [request, who]) => {
    const outcomes = everyCaller.map(async (caller) => [
      caller,
      await outcomeOf(path, request, caller),
    ]);
    expect(Object.fromEntries(await Promise.all(outcomes))).toEqual(expected(who));
  });
});

describe('over HTTP', () => {
  // HTTP/1.1 has no streams in both directions: nobody gets that far.
  const served = Object.entries(rules).filter(
    ([path]) => path.includes('.ControlService/') && !path.endsWith('/ExecContainer'),
  );
  test('ExecContainer lets in nobody, and does nothing', async () => {
    const path = '/fairlead.v1.ControlService/ExecContainer';
    const [request] = rules[path]!;
    const type = typeOf(path)!;
    for (const caller of [...anyToken, ...Object.keys(strangers)]) {
      const authorization = authorizationOf(caller);
      for (const contentType of [
        'application/json',
        'application/connect+json',
        'application/proto',
      ]) {
        const response = await coordinator.fetch(path, {
          method: 'POST',
          headers: {
            'content-type': contentType,
            ...(authorization !== undefined && { authorization }),
          },
          body: JSON.stringify(type.toJSON(type.fromPartial(request))),
        });
        const text = await response.text();
        expect([caller, contentType, response.status], text).toEqual([caller, contentType, 501]);
      }
    }
  });
  test.each(served)('%s lets in whom it should', async (path, [request, who]) => {
    // Certificates are asked for on the other port alone.
    const callers = [...anyToken, ...Object.keys(strangers)];
    const outcomes = callers.map(async (caller) => [
      caller,
      await httpOutcomeOf(path, request, caller),
    ]);
    const wanted = Object.entries(expected(who)).filter(([caller]) => callers.includes(caller));
    expect(Object.fromEntries(await Promise.all(outcomes))).toEqual(Object.fromEntries(wanted));
  });
});

test('metrics, which tell of everything, are for people whose tokens reach everything', async () => {
  const callers = [...anyToken, ...Object.keys(strangers)];
  const outcomes = callers.map(async (caller) => {
    const authorization = authorizationOf(caller);
    const headers = authorization === undefined ? {} : { authorization };
    const response = await coordinator.fetch('/metrics', { headers });
    response.cancel();
    if (response.status === 401 || response.status === 429) return [caller, 'UNAUTHENTICATED'];
    return [caller, response.status === 200 ? 'let in' : 'PERMISSION_DENIED'];
  });
  const wanted = Object.entries(expected(people)).filter(([caller]) => callers.includes(caller));
  expect(Object.fromEntries(await Promise.all(outcomes))).toEqual(Object.fromEntries(wanted));
});

test('of other services and node clusters nothing is told in a list', async () => {
  const list = async (method: string, who: string, request: object = {}) => {
    const response = await coordinator.fetch(`/fairlead.v1.ControlService/${method}`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        authorization: authorizationOf(who) ?? '',
      },
      body: JSON.stringify(request),
    });
    return await response.text();
  };
  for (const method of ['ListServices', 'ListContainers', 'ListActions']) {
    expect(await list(method, 'viewer'), method).toContain('web');
    expect(await list(method, 'viewerOfOther'), method).not.toContain('web');
    expect(await list(method, 'viewerOfEdge'), method).not.toContain('web');
  }
  const byNode = { nodes: ['node-1'] };
  expect(await list('ListServices', 'viewer', byNode)).toContain('web');
  expect(await list('ListServices', 'viewerOfOther', byNode)).not.toContain('web');
  expect(await list('ListServices', 'viewerOfEdge', byNode)).not.toContain('web');
  expect(await list('ListServices', 'operatorOfWebAtFar', byNode)).toContain('PERMISSION_DENIED');
  for (const [method, name] of [
    ['ListNodes', 'node-1'],
    ['ListNodeClusters', 'edge'],
  ] as const) {
    expect(await list(method, 'viewerOfEdge'), method).toContain(name);
    expect(await list(method, 'adminOfFar'), method).not.toContain(name);
  }
  expect(await list('ListNodeClusters', 'viewerOfEdge')).not.toContain('far');
});
