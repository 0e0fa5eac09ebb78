import type { CallContext } from 'nice-grpc';
import type { RenewCertificateRequest } from '../../shared/gen/fairlead/v1/agent_service.ts';
import type { IssuedCertificate } from '../../shared/gen/fairlead/v1/certificate.ts';
import type { EnrolRequest } from '../../shared/gen/fairlead/v1/proxy_service.ts';
import type { AgentIdentity } from '../identity/agent-identity.ts';
import type { PrincipalContext } from './gate.ts';
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

/** The next certificate of a node. */
export async function renewNode(
  deps: EnrolmentDeps,
  { signingRequestPem }: RenewCertificateRequest,
  { principal }: Context,
): Promise<{ certificate: IssuedCertificate }> {
  if (principal.kind !== 'node') throw letIn(principal.kind);
  const key = await deps.authority.keyIn(signingRequestPem);
  const identity = { kind: 'node', id: principal.id } as const;
  return { certificate: await certificateFor(deps, identity, key) };
}

/** A certificate of a proxy, its first or the next. It ends with the proxy's token at the latest. */
export async function enrolProxy(
  deps: EnrolmentDeps,
  { signingRequestPem }: EnrolRequest,
  { principal }: Context,
): Promise<{ certificate: IssuedCertificate }> {
  if (principal.kind !== 'token') throw letIn(principal.kind);
  const key = await deps.authority.keyIn(signingRequestPem);
  const identity = { kind: 'proxy', id: principal.id } as const;
  const untilMs = deps.store.tokens.get(principal.id)?.expiresAtMs ?? undefined;
  return { certificate: await certificateFor(deps, identity, key, untilMs) };
}

function letIn(kind: string): Error {
  return new Error(`the table of who may call what lets ${kind} in`);
}
