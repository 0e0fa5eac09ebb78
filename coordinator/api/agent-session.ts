import type { CallContext } from 'nice-grpc';
import { ChildController } from '../../shared/abort.ts';
import type { Clock } from '../../shared/clock.ts';
import { DomainError, type FieldViolation } from '../../shared/errors.ts';
import type {
  AgentServiceImplementation,
  JoinRequest,
  NodeSessionRequest,
  NodeSessionResponse,
} from '../../shared/gen/fairlead/v1/agent_service.ts';
import type { NodeId } from '../../shared/ids.ts';
import type { Logger } from '../../shared/logger.ts';
import type { Random } from '../../shared/random.ts';
import { pingVerb } from '../../shared/rpc/lease.ts';
import { heartbeatMs, leaseMs, type Dispatcher } from '../dispatcher/dispatcher.ts';
import type { NodeLink } from '../dispatcher/node-link.ts';
import type { Authority } from '../identity/authority.ts';
import { hashSecret, type TokenIssuer } from '../identity/tokens.ts';
import type { Node, Token } from '../model.ts';
import type { Store } from '../store/store.ts';
import type { NodeUpgrades } from '../upgrades/node-upgrades.ts';
import type { Authenticator } from './authentication.ts';
import type { Principal } from './call.ts';
import {
  assignmentsToProto,
  helloFromProto,
  statusFromProto,
  upgradeFailureFromProto,
  upgradeHelloFromProto,
} from './convert-agent.ts';
import type { PrincipalContext } from './gate.ts';
import type { Leases } from './leases.ts';
import { certificateFor, renewNode } from './enrolment.ts';
import { countUse, requireTagsAllowed, requireUsesLeft } from './join.ts';
import { cut, sessionLoop } from './session-loop.ts';
import { TrustNews } from './trust-news.ts';
import { throwIfInvalid, validateGivenTags, validateName } from './validate.ts';

/** Version of the protocol that agents and proxies speak. */
export const protocolVersion = 1;

export interface AgentApiDeps {
  readonly store: Store;
  readonly authenticator: Authenticator;
  readonly authority: Authority;
  readonly dispatcher: Dispatcher;
  readonly leases: Leases;
  readonly upgrades: NodeUpgrades;
  readonly tokens: TokenIssuer;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

type Context = CallContext & PrincipalContext;

/** Answers node agents. */
export function agentService(deps: AgentApiDeps): AgentServiceImplementation<PrincipalContext> {
  return {
    join: (request, context) => join(deps, request, context),
    renewCertificate: (request, context) => renewNode(deps, request, context),
    nodeSession: (requests, context) => nodeSession(deps, requests, context),
  };
}

async function join(deps: AgentApiDeps, request: JoinRequest, { principal }: Context) {
  const { store, authority, random, log } = deps;
  const { name, tags } = request;
  const key = await authority.keyIn(request.signingRequestPem);
  const token = requireToken(principal, store);
  const joinKeyHash = hashSecret(key.toString('base64'));
  const known = [...store.nodes.values()].find(
    (node) => node.joinKeyHash === joinKeyHash && node.joinTokenId === token.id,
  );
  // The answer to the same request before this one was lost.
  if (known !== undefined) return await certify(deps, known.id, key);
  requireUsesLeft(token);
  const violations: FieldViolation[] = [];
  validateName(name, 'name', violations);
  validateGivenTags(tags, 'tags', violations);
  throwIfInvalid(violations);
  requireTagsAllowed(token, tags);
  if (store.nodeNamed(name) !== undefined) {
    throw new DomainError(
      'already-exists',
      `a node is already called ${name}; choose another name, or remove that node`,
      { reason: 'NODE_NAME_TAKEN' },
    );
  }
  const id = random.id() as NodeId;
  store.transact((tx) => {
    const node: Node = {
      id,
      name,
      clusterId: token.clusterId,
      tags: [...new Set(tags)],
      availability: 'active',
      version: 1,
      joinTokenId: token.id,
      joinKeyHash,
      description: null,
      advertiseAddress: '',
      publicAddress: '',
      volumes: [],
      certificate: { authority: authority.pin, untilMs: authority.issuedUntilMs },
      joinedAtMs: tx.nowMs,
    };
    tx.nodes.put(node);
    countUse(tx, token);
    tx.event({
      type: 'node.joined',
      objectId: id,
      objectName: name,
      actionId: '',
      message: `with the token ${token.name}`,
    });
  });
  log.info({ node: name, tags }, 'node joined');
  return await certify(deps, id, key);
}

async function certify(deps: AgentApiDeps, id: NodeId, key: Buffer) {
  return { nodeId: id, certificate: await certificateFor(deps, { kind: 'node', id }, key) };
}

function requireToken(principal: Principal, store: Store): Token {
  const token = principal.kind === 'token' ? store.tokens.get(principal.id) : undefined;
  if (token !== undefined) return token;
  throw new Error(`the table of who may call what lets ${principal.kind} in`);
}

async function* nodeSession(
  deps: AgentApiDeps,
  requests: AsyncIterable<NodeSessionRequest>,
  { principal, peer, signal }: Context,
): AsyncGenerator<NodeSessionResponse> {
  const { authenticator, dispatcher, upgrades, tokens, leases, clock } = deps;
  if (principal.kind !== 'node') {
    throw new Error(`the table of who may call what lets ${principal.kind} in`);
  }
  const iterator = requests[Symbol.asyncIterator]();
  const hello = await firstMessage(iterator);
  using controller = new ChildController(signal);
  let reason: string | undefined;
  const cutWith = (why: string) => {
    reason ??= why;
    controller.abort();
  };
  const { certificate } = principal;
  const said = helloFromProto(hello, certificate);
  const link = dispatcher.attach(principal.id, said, cutWith);
  upgrades.attached(link, upgradeHelloFromProto(hello), said.description.agentVersion);
  void authenticator.untilExpired(certificate, controller.signal).then(() => {
    if (!controller.signal.aborted) cutWith('CERTIFICATE_EXPIRED');
  });
  const { wakeup, sessionId } = link;
  const trust = new TrustNews(deps, { wakeup, authority: certificate.authority, cut: cutWith });
  try {
    const pace = hello.verbs.includes(pingVerb) && leases.follow(peer) ? 0 : heartbeatMs;
    const welcome = { sessionId, leaseMs, heartbeatMs: pace, trust: trust.told() };
    yield { message: { $case: 'welcome', value: welcome } };
    yield* sessionLoop<NodeSessionRequest, NodeSessionResponse>(
      {
        requests: iterator,
        ...{ wakeup, leases, leaseMs, peer, clock },
        heartbeatMs: pace,
        onHeard: (atMs) => {
          dispatcher.heard(link, atMs);
        },
        next: () => nextMessage(link, trust, tokens),
        heartbeat: () => ({ message: { $case: 'heartbeat', value: {} } }),
        receive: (request) => {
          dispatcher.heard(link);
          receive(deps, link, request);
        },
      },
      controller,
    );
  } finally {
    trust[Symbol.dispose]();
    upgrades.detached(link);
    dispatcher.detach(link);
  }
  if (reason !== undefined) throw cut(reason);
}

/** What the coordinator has to say next; null: nothing. */
function nextMessage(
  link: NodeLink,
  trust: TrustNews,
  tokens: TokenIssuer,
): NodeSessionResponse | null {
  const news = trust.next();
  if (news !== null) return { message: { $case: 'trust', value: news } };
  const upgrade = link.nextUpgrade();
  if (upgrade !== null) return { message: { $case: 'upgrade', value: upgrade } };
  const set = link.nextMessage();
  if (set === null) return null;
  return { message: { $case: 'assignments', value: assignmentsToProto(set, tokens) } };
}

async function firstMessage(iterator: AsyncIterator<NodeSessionRequest>) {
  const first = await iterator.next();
  const message = first.done === true ? undefined : first.value.message;
  if (message?.$case !== 'hello') {
    throw new DomainError('precondition', 'the first message of a session must be a hello', {
      reason: 'HELLO_EXPECTED',
    });
  }
  if (message.value.protocolVersion !== protocolVersion) {
    throw new DomainError(
      'precondition',
      `this coordinator speaks protocol ${protocolVersion}, the agent ${message.value.protocolVersion}; install the same version on both`,
      { reason: 'PROTOCOL_UNKNOWN' },
    );
  }
  return message.value;
}

function receive(
  { dispatcher, upgrades }: AgentApiDeps,
  link: NodeLink,
  { message }: NodeSessionRequest,
): void {
  switch (message?.$case) {
    case 'report': {
      const { sequence, containers, engine } = message.value;
      dispatcher.report(link, sequence, containers.flatMap(statusFromProto), engine ?? null);
      return;
    }
    case 'volumes':
      dispatcher.volumes(link, message.value.names);
      return;
    case 'assignmentsRequest':
      link.resync();
      return;
    case 'upgradeFailure':
      upgrades.failed(link, upgradeFailureFromProto(message.value));
      return;
    case 'hello':
    case 'heartbeat':
    case undefined:
      return;
  }
}
