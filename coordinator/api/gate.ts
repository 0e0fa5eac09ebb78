import {
  composeServerMiddleware,
  type Metadata,
  type MethodDescriptor,
  type ServerMiddleware,
} from 'nice-grpc-common';
import { ChildController } from '../../shared/abort.ts';
import { DomainError } from '../../shared/errors.ts';
import type { Authenticator, Credentials } from './authentication.ts';
import { authorize, authorizeMetrics } from './authorization.ts';
import type { CallRecord, CallRecordContext } from './call-log.ts';
import type { Principal } from './call.ts';
import type { LoginLimiter } from './login-limiter.ts';
import { peerOf } from './peer.ts';
import type { Refusals } from './refusals.ts';

/** Given to every handler behind the gate. */
export interface PrincipalContext {
  readonly principal: Principal;
}

/** What stands before every method, at every door. */
export type Gate = ServerMiddleware<PrincipalContext, CallRecordContext>;

/** The same for sessions, which no middleware stands before. */
export interface SessionGate {
  /** Who calls; throws if they may not. What the log says of them is noted. */
  admit(caller: Caller, record: CallRecord): Principal;
  /** Calls `end` when what the caller showed is good no more; null: that cannot be while the node is known. */
  follow(principal: Principal, end: (error: DomainError) => void): Disposable | null;
}

/** Who calls what, as they say. */
export interface Caller {
  readonly path: string;
  /** Address of the caller. */
  readonly peer: string;
  readonly credentials: Credentials;
}

export interface GateDeps {
  readonly authenticator: Authenticator;
  readonly logins: LoginLimiter;
  readonly refusals: Refusals;
}

/**
 * Finds out who calls and whether they may, before anything is answered.
 *
 * A stream ends when the token that opened it is revoked or expires. A change that is refused for want of
 * rights, here or by its handler, is noted.
 */
export function gateOf(deps: GateDeps): Gate {
  const ending = endingWithToken(deps.authenticator);
  return composeServerMiddleware<PrincipalContext, object, CallRecordContext>(
    admission(deps),
    ending,
  );
}

/** What stands before sessions. */
export function sessionGateOf(deps: Omit<GateDeps, 'refusals'>): SessionGate {
  const { authenticator } = deps;
  return {
    admit: (caller, record) => {
      const principal = recognize(deps, caller, record);
      authorize(caller.path, principal);
      return principal;
    },
    follow: (principal, end) => {
      if (principal.kind === 'node') return null;
      const life = new AbortController();
      void authenticator.untilInvalid(principal.id, life.signal).then(() => {
        if (!life.signal.aborted) end(authenticator.invalid());
      });
      return {
        [Symbol.dispose]: () => {
          life.abort();
        },
      };
    },
  };
}

function recognize(
  { authenticator, logins }: Omit<GateDeps, 'refusals'>,
  { peer, credentials }: Caller,
  record: CallRecord,
): Principal {
  const principal = logins.guard(peer, () => authenticator.identify(credentials));
  record.principal = principal.name;
  return principal;
}

/** Lets those in who may read metrics, by an Authorization header; wrong tokens are limited as at the gate. */
export function metricsGate({ authenticator, logins }: Omit<GateDeps, 'refusals'>) {
  return (authorization: string | undefined, peer: string): void => {
    const credentials = { authorization, peer: null };
    authorizeMetrics(logins.guard(peer, () => authenticator.identify(credentials)));
  };
}

function admission(deps: GateDeps): Gate {
  return async function* (call, context) {
    const { record, peer, metadata } = context;
    const { path } = call.method;
    const principal = recognize(deps, { path, peer, credentials: credentialsIn(metadata) }, record);
    try {
      authorize(path, principal);
      return yield* call.next(call.request, { ...context, principal });
    } catch (error) {
      if (error instanceof DomainError && error.kind === 'forbidden' && isChange(call.method)) {
        deps.refusals.note({ principal, path, peer, message: error.message });
      }
      throw error;
    }
  };
}

function credentialsIn(metadata: Metadata): Credentials {
  return { authorization: metadata.get('authorization'), peer: peerOf(metadata) };
}

/** Of streams only one that people call takes requests as well: it runs commands. */
function isChange({ path, requestStream, responseStream, options }: MethodDescriptor): boolean {
  if (requestStream) return path.startsWith('/fairlead.v1.ControlService/');
  return !responseStream && options.idempotencyLevel === undefined;
}

function endingWithToken(
  authenticator: Authenticator,
): ServerMiddleware<object, CallRecordContext & PrincipalContext> {
  return async function* (call, context) {
    const { principal } = context;
    const isStream = call.requestStream || call.responseStream;
    if (!isStream || principal.kind === 'node') return yield* call.next(call.request, context);
    using controller = new ChildController(context.signal);
    const { signal } = controller;
    void authenticator.untilInvalid(principal.id, signal).then(() => {
      controller.abort();
    });
    const isCut = () => signal.aborted && !context.signal.aborted;
    try {
      const response = yield* call.next(call.request, { ...context, signal });
      if (!isCut()) return response;
    } catch (error) {
      if (!isCut()) throw error;
    }
    throw authenticator.invalid();
  };
}
