import type { Clock } from '../../shared/clock.ts';
import { DomainError } from '../../shared/errors.ts';
import type {
  NodeSessionRequest,
  NodeSessionResponse,
} from '../../shared/gen/fairlead/v1/agent_service.ts';
import type { ContainerId } from '../../shared/ids.ts';
import type { Logger } from '../../shared/logger.ts';
import type { Random } from '../../shared/random.ts';
import { pingVerb } from '../../shared/rpc/lease.ts';
import { heartbeatMs, leaseMs, type Dispatcher } from '../dispatcher/dispatcher.ts';
import type { NodeLink } from '../dispatcher/node-link.ts';
import type { Authority } from '../identity/authority.ts';
import type { TokenIssuer } from '../identity/tokens.ts';
import type { Failures } from '../orchestrator/failures.ts';
import type { Placement } from '../orchestrator/placement.ts';
import type { Store } from '../store/store.ts';
import type { NodeUpgrades } from '../upgrades/node-upgrades.ts';
import type { NodeStreams } from '../streams/node-streams.ts';
import { named } from './agent-words.ts';
import { AssignmentParts } from './assignment-parts.ts';
import type { Authenticator } from './authentication.ts';
import type { NodePrincipal, Principal } from './call.ts';
import {
  assignmentsToProto,
  engineFromProto,
  failureFromProto,
  helloFromProto,
  statusFromProto,
  upgradeFailureFromProto,
  upgradeHelloFromProto,
} from './convert-agent.ts';
import type { PrincipalContext } from './gate.ts';
import type { Crowd } from './handshakes.ts';
import type { Leases } from './leases.ts';
import { renewNode } from './enrolment.ts';
import { join } from './join.ts';
import { nodeStream } from './node-stream.ts';
import { requireProtocol } from './protocol.ts';
import {
  agentDefinition,
  answeredBefore,
  pathOf,
  type AgentServiceImplementation,
} from './session-codec.ts';
import { SessionTurns } from './session-turns.ts';
import { cut, type Session, type SessionMethod, type SessionOpening } from './session.ts';
import { TrustNews } from './trust-news.ts';

export interface AgentApiDeps {
  readonly store: Store;
  readonly authenticator: Authenticator;
  readonly authority: Authority;
  readonly dispatcher: Dispatcher;
  readonly leases: Leases;
  /** Of those who dial. */
  readonly crowd: Crowd;
  readonly upgrades: NodeUpgrades;
  readonly streams: NodeStreams;
  readonly failures: Failures;
  readonly tokens: TokenIssuer;
  readonly placement: Placement;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

/** Complete sets that are on their way at a time. */
const setsAtOnce = 2;

/** Answers node agents, but for their sessions. */
export function agentService(deps: AgentApiDeps): AgentServiceImplementation<PrincipalContext> {
  return {
    join: (request, context) => join(deps, request, context),
    renewCertificate: (request, context) => renewNode(deps, request, context),
    nodeSession: answeredBefore,
    nodeStream: (requests, context) => nodeStream(deps, requests, context),
  };
}

/** Answers the sessions of node agents. */
export function nodeSessions(
  deps: AgentApiDeps,
): SessionMethod<NodeSessionRequest, NodeSessionResponse> {
  return {
    path: pathOf(agentDefinition, 'nodeSession'),
    turns: new SessionTurns({ ...deps, atOnce: setsAtOnce }),
    heartbeat: () => ({ message: { $case: 'heartbeat', value: {} } }),
    open: (first, opening) => openSession(deps, first, opening),
  };
}

/** Takes in what the agent says first, and nothing of it is held for as long as the session lasts. */
function openSession(
  deps: AgentApiDeps,
  first: NodeSessionRequest | undefined,
  { principal: caller, peer, line }: SessionOpening,
): NodeSession {
  const { store, dispatcher, upgrades, leases } = deps;
  const principal = requireNode(caller);
  const hello = helloIn(first);
  requireKnown(principal, store);
  const said = helloFromProto(hello, principal.certificate);
  const link = dispatcher.attach(principal.id, said, line);
  upgrades.attached(link, upgradeHelloFromProto(hello), said.description.agentVersion);
  const isHeardByPings = hello.verbs.includes(pingVerb) && leases.follow(peer);
  const { authority } = principal.certificate;
  const trust = new TrustNews(deps, { authority, line });
  return new NodeSession(deps, { link, trust, heartbeatMs: isHeardByPings ? 0 : heartbeatMs });
}

/** The coordinator's side of one session of one node. */
class NodeSession implements Session<NodeSessionRequest, NodeSessionResponse> {
  readonly heartbeatMs: number;
  readonly #deps: AgentApiDeps;
  readonly #link: NodeLink;
  readonly #trust: TrustNews;
  readonly #parts: AssignmentParts;

  constructor(
    deps: AgentApiDeps,
    about: { readonly link: NodeLink; readonly trust: TrustNews; readonly heartbeatMs: number },
  ) {
    this.heartbeatMs = about.heartbeatMs;
    this.#deps = deps;
    this.#link = about.link;
    this.#trust = about.trust;
    this.#parts = new AssignmentParts(about.link);
  }

  welcome(): NodeSessionResponse {
    const { sessionId } = this.#link;
    const trust = this.#trust.told();
    const { heartbeatMs: pace } = this;
    const clock = new Date(this.#deps.clock.now());
    return {
      message: { $case: 'welcome', value: { sessionId, leaseMs, heartbeatMs: pace, trust, clock } },
    };
  }

  next(): NodeSessionResponse | null {
    const news = this.#trust.next();
    if (news !== null) return { message: { $case: 'trust', value: news } };
    const upgrade = this.#link.nextUpgrade();
    if (upgrade !== null) return { message: { $case: 'upgrade', value: upgrade } };
    const part = this.#parts.next();
    if (part !== null) {
      return { message: { $case: 'assignments', value: assignmentsToProto(part, this.#deps) } };
    }
    const stream = this.#link.nextStreamNews();
    if (stream === undefined) return null;
    const { kind, ticket } = stream;
    const $case = kind === 'offer' ? 'streamOffer' : 'streamClosed';
    return { message: { $case, value: { ticket } } };
  }

  receive(request: NodeSessionRequest): void {
    this.#deps.dispatcher.heard(this.#link);
    receive(this.#deps, this.#link, request);
  }

  heard(atMs: number): void {
    this.#deps.dispatcher.heard(this.#link, atMs);
  }

  [Symbol.dispose](): void {
    this.#trust[Symbol.dispose]();
    this.#deps.upgrades.detached(this.#link);
    this.#deps.dispatcher.detach(this.#link);
  }
}

function requireNode(principal: Principal): NodePrincipal {
  if (principal.kind === 'node') return principal;
  throw new Error(`the table of who may call what lets ${principal.kind} in`);
}

/** The node may have been removed between the opening of its stream and its hello. */
function requireKnown({ id }: NodePrincipal, store: Store): void {
  if (store.nodes.get(id) === undefined) throw cut('NODE_REMOVED');
}

function helloIn(first: NodeSessionRequest | undefined) {
  const message = first?.message;
  if (message?.$case !== 'hello') {
    throw new DomainError('precondition', 'the first message of a session must be a hello', {
      reason: 'HELLO_EXPECTED',
    });
  }
  const { protocolVersion, description } = message.value;
  requireProtocol({ what: 'agent', version: description?.agentVersion ?? '', protocolVersion });
  return message.value;
}

function receive(
  { dispatcher, upgrades, failures }: AgentApiDeps,
  link: NodeLink,
  { message }: NodeSessionRequest,
): void {
  switch (message?.$case) {
    case 'report': {
      const { sequence, containers, engine } = message.value;
      const health = engine === undefined ? null : engineFromProto(engine);
      dispatcher.report(link, sequence, containers.flatMap(statusFromProto), health);
      return;
    }
    case 'volumes':
      dispatcher.volumes(link, message.value.names.map(named));
      return;
    case 'assignmentsRequest':
      link.resync();
      return;
    case 'containerFailure': {
      const { containerId, failure } = message.value;
      failures.heard(link.nodeId, containerId as ContainerId, failureFromProto(failure));
      return;
    }
    case 'upgradeFailure':
      upgrades.failed(link, upgradeFailureFromProto(message.value));
      return;
    case 'upgradeStands':
      upgrades.stands(link);
      return;
    case 'hello':
    case 'heartbeat':
    case undefined:
      return;
  }
}
