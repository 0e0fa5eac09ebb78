import type { CallContext } from 'nice-grpc';
import type { Clock } from '../../shared/clock.ts';
import { DomainError } from '../../shared/errors.ts';
import type { RenewCertificateRequest } from '../../shared/gen/fairlead/v1/agent_service.ts';
import type { IssuedCertificate } from '../../shared/gen/fairlead/v1/certificate.ts';
import type { EnrolRequest } from '../../shared/gen/fairlead/v1/proxy_service.ts';
import type { ActionId, TokenId } from '../../shared/ids.ts';
import type { Random } from '../../shared/random.ts';
import type { Dispatcher } from '../dispatcher/dispatcher.ts';
import type { AgentIdentity } from '../identity/agent-identity.ts';
import { beginAction } from '../orchestrator/actions.ts';
import type { TokenPrincipal } from './call.ts';
import type { PrincipalContext } from './gate.ts';
import { cut } from './session.ts';
import { trustBundleOf, type TrustDeps } from './trust-news.ts';

export type EnrolmentDeps = TrustDeps;

type Context = CallContext & PrincipalContext;

/** A certificate as agents are given it, for a key; valid until `untilMs` at the latest. */
export async function certificateFor(
  deps: EnrolmentDeps,
  identity: AgentIdentity,
  key: Buffer,
  untilMs?: number,
): Promise<IssuedCertificate> {
  const issued = await deps.authority.issue(identity, key, untilMs);
  return { ...issued, trust: trustBundleOf(deps) };
}

/** The next certificate of a node; not for a copy of its disk whose sessions are refused. */
export async function renewNode(
  deps: EnrolmentDeps & { readonly dispatcher: Dispatcher },
  { signingRequestPem, bootId }: RenewCertificateRequest,
  { principal }: Context,
): Promise<{ certificate: IssuedCertificate }> {
  if (principal.kind !== 'node') throw letIn(principal.kind);
  const key = await deps.authority.keyIn(signingRequestPem);
  if (deps.store.nodes.get(principal.id) === undefined) throw cut('NODE_REMOVED');
  deps.dispatcher.requireHolder(principal.id, bootId);
  const identity = { kind: 'node', id: principal.id } as const;
  return { certificate: await certificateFor(deps, identity, key) };
}

/** Between two actions on one token whose proxy enrols from one address: a proxy that starts over and over. */
const enrolmentIntervalMs = 60_000;
const maxRemembered = 1_000;

export interface ProxyEnrolmentDeps extends EnrolmentDeps {
  readonly clock: Clock;
  readonly random: Random;
}

/** Gives proxies their certificates. */
export class ProxyEnrolment {
  readonly #deps: ProxyEnrolmentDeps;
  /** When the last action was made, by token and address; the oldest first. */
  readonly #recorded = new Map<string, number>();

  constructor(deps: ProxyEnrolmentDeps) {
    this.#deps = deps;
  }

  /** The first certificate of a run of a proxy, by its token. */
  async enrol(
    request: EnrolRequest,
    { principal, peer }: Context,
  ): Promise<{ certificate: IssuedCertificate }> {
    if (principal.kind !== 'token') throw letIn(principal.kind);
    const answer = await this.#issue(request, principal);
    this.#record(principal, peer);
    return answer;
  }

  /** The next one, by the one that it has. */
  async renew(
    request: EnrolRequest,
    { principal }: Context,
  ): Promise<{ certificate: IssuedCertificate }> {
    if (principal.kind !== 'token') throw letIn(principal.kind);
    return await this.#issue(request, principal);
  }

  /** A certificate that ends with the proxy's token at the latest. */
  async #issue({ signingRequestPem }: EnrolRequest, { id }: TokenPrincipal) {
    const key = await this.#deps.authority.keyIn(signingRequestPem);
    const token = this.#deps.store.tokens.get(id);
    if (token === undefined) throw revoked();
    const identity = { kind: 'proxy', id } as const;
    const untilMs = token.expiresAtMs ?? undefined;
    return { certificate: await certificateFor(this.#deps, identity, key, untilMs) };
  }

  #record({ id, name }: TokenPrincipal, peer: string): void {
    const { store, clock, random } = this.#deps;
    if (!this.#isNews(id, peer, clock.monotonic())) return;
    store.transact((tx) => {
      const action = beginAction(tx, {
        id: random.id() as ActionId,
        method: 'Enrol',
        ...{ targetKind: 'token', targetId: id, targetName: name, serviceId: null },
        caller: { principal: name, peer },
        requestId: '',
      });
      tx.event({
        ...{ type: 'proxy.enrolled', objectId: id, objectName: name, actionId: action.id },
        message: `with the token ${name}`,
      });
    });
  }

  #isNews(id: TokenId, peer: string, nowMs: number): boolean {
    const key = `${id} ${peer.replace(/:\d+$/, '')}`;
    const before = this.#recorded.get(key);
    if (before !== undefined && nowMs - before < enrolmentIntervalMs) return false;
    this.#recorded.delete(key);
    this.#recorded.set(key, nowMs);
    const [oldest] = this.#recorded.keys();
    if (this.#recorded.size > maxRemembered && oldest !== undefined) this.#recorded.delete(oldest);
    return true;
  }
}

function revoked(): DomainError {
  const message = 'the token of this proxy was revoked meanwhile';
  return new DomainError('unauthenticated', message, { reason: 'TOKEN_INVALID' });
}

function letIn(kind: string): Error {
  return new Error(`the table of who may call what lets ${kind} in`);
}
