import type { CallContext } from 'nice-grpc';
import { ChildController } from '../../shared/abort.ts';
import type { Clock } from '../../shared/clock.ts';
import { DomainError } from '../../shared/errors.ts';
import type {
  NodeSessionRequest,
  NodeSessionResponse,
} from '../../shared/gen/fairlead/v1/agent_service.ts';
import type { ContainerId } from '../../shared/ids.ts';
import { Limiter } from '../../shared/limiter.ts';
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
import { AssignmentParts } from './assignment-parts.ts';
import type { Authenticator } from './authentication.ts';
import type { NodePrincipal, Principal } from './call.ts';
import {
  assignmentsToProto,
  failureFromProto,
  helloFromProto,
  statusFromProto,
  upgradeFailureFromProto,
  upgradeHelloFromProto,
} from './convert-agent.ts';
import type { PrincipalContext } from './gate.ts';
import type { Leases } from './leases.ts';
import { renewNode } from './enrolment.ts';
import { join } from './join.ts';
import { nodeStream } from './node-stream.ts';
import { requireProtocol } from './protocol.ts';
import { letGo, type AgentServiceImplementation } from './session-codec.ts';
import { cut, firstRequest, sessionLoop } from './session-loop.ts';
import { TrustNews } from './trust-news.ts';

export interface AgentApiDeps {
  readonly store: Store;
  readonly authenticator: Authenticator;
  readonly authority: Authority;
  readonly dispatcher: Dispatcher;
  readonly leases: Leases;
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

type Context = CallContext & PrincipalContext;

/** Answers node agents. */
export function agentService(deps: AgentApiDeps): AgentServiceImplementation<PrincipalContext> {
  const turns = new Limiter(setsAtOnce);
  return {
    join: (request, context) => join(deps, request, context),
    renewCertificate: (request, context) => renewNode(deps, request, context),
    nodeSession: (requests, context) => nodeSession({ ...deps, turns }, requests, context),
    nodeStream: (requests, context) => nodeStream(deps, requests, context),
  };
}

async function* nodeSession(
  deps: AgentApiDeps & { readonly turns: Limiter },
  requests: AsyncIterable<NodeSessionRequest>,
  { principal: caller, peer, signal }: Context,
): AsyncGenerator<NodeSessionResponse> {
  const { authenticator, dispatcher, upgrades, leases, turns, clock } = deps;
  const principal = requireNode(caller);
  const iterator = requests[Symbol.asyncIterator]();
  const first = await firstRequest(iterator, { clock, leaseMs }, signal);
  using controller = new ChildController(signal);
  let reason: string | undefined;
  const cutWith = (why: string) => {
    reason ??= why;
    controller.abort();
  };
  const { certificate } = principal;
  const { link, pings } = attach(deps, principal, first, cutWith);
  void authenticator.untilExpired(certificate, controller.signal).then(() => {
    if (!controller.signal.aborted) cutWith('CERTIFICATE_EXPIRED');
  });
  const { wakeup, sessionId } = link;
  const parts = new AssignmentParts(link);
  const trust = new TrustNews(deps, { wakeup, authority: certificate.authority, cut: cutWith });
  try {
    const pace = pings && leases.follow(peer) ? 0 : heartbeatMs;
    const welcome = { sessionId, leaseMs, heartbeatMs: pace, trust: trust.told() };
    yield { message: { $case: 'welcome', value: welcome } };
    yield* sessionLoop<NodeSessionRequest, NodeSessionResponse>(
      {
        requests: iterator,
        ...{ wakeup, leases, leaseMs, peer, clock, turns },
        heartbeatMs: pace,
        onHeard: (atMs) => {
          dispatcher.heard(link, atMs);
        },
        next: () => nextMessage({ link, parts, trust }, deps),
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

/** Takes in what the agent says first, and nothing of it is held for as long as the session lasts. */
function attach(
  { store, dispatcher, upgrades }: AgentApiDeps,
  principal: NodePrincipal,
  first: NodeSessionRequest | undefined,
  cutWith: (reason: string) => void,
) {
  const hello = helloIn(first);
  requireKnown(principal, store);
  const said = helloFromProto(hello, principal.certificate);
  const link = dispatcher.attach(principal.id, said, cutWith);
  upgrades.attached(link, upgradeHelloFromProto(hello), said.description.agentVersion);
  if (first !== undefined) letGo(first);
  return { link, pings: hello.verbs.includes(pingVerb) };
}

/** What the coordinator has to say next; null: nothing. */
function nextMessage(
  {
    link,
    parts,
    trust,
  }: { readonly link: NodeLink; readonly parts: AssignmentParts; readonly trust: TrustNews },
  deps: AgentApiDeps,
): NodeSessionResponse | null {
  const news = trust.next();
  if (news !== null) return { message: { $case: 'trust', value: news } };
  const upgrade = link.nextUpgrade();
  if (upgrade !== null) return { message: { $case: 'upgrade', value: upgrade } };
  const part = parts.next();
  if (part !== null) {
    return { message: { $case: 'assignments', value: assignmentsToProto(part, deps) } };
  }
  const stream = link.nextStreamNews();
  if (stream === undefined) return null;
  const { kind, ticket } = stream;
  const $case = kind === 'offer' ? 'streamOffer' : 'streamClosed';
  return { message: { $case, value: { ticket } } };
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
      dispatcher.report(link, sequence, containers.flatMap(statusFromProto), engine ?? null);
      return;
    }
    case 'volumes':
      dispatcher.volumes(link, message.value.names);
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
