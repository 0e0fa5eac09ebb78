import {
  composeServerMiddleware,
  Metadata,
  type MethodDescriptor,
  type ServerMiddleware,
} from 'nice-grpc-common';
import { ChildController } from '../../shared/abort.ts';
import { DomainError } from '../../shared/errors.ts';
import type { Authenticator } from './authentication.ts';
import { authorize, authorizeMetrics } from './authorization.ts';
import type { CallRecordContext } from './call-log.ts';
import type { Principal } from './call.ts';
import type { LoginLimiter } from './login-limiter.ts';
import type { Refusals } from './refusals.ts';

/** Given to every handler behind the gate. */
export interface PrincipalContext {
  readonly principal: Principal;
}

/** What stands before every method, at every door. */
export type Gate = ServerMiddleware<PrincipalContext, CallRecordContext>;

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

/** Lets those in who may read metrics, by an Authorization header; wrong tokens are limited as at the gate. */
export function metricsGate({ authenticator, logins }: Omit<GateDeps, 'refusals'>) {
  return (authorization: string | undefined, peer: string): void => {
    const metadata = Metadata(authorization === undefined ? {} : { authorization });
    authorizeMetrics(logins.guard(peer, () => authenticator.authenticate(metadata)));
  };
}

function admission({ authenticator, logins, refusals }: GateDeps): Gate {
  return async function* (call, context) {
    const { record, peer, metadata } = context;
    const principal = logins.guard(peer, () => authenticator.authenticate(metadata));
    record.principal = principal.name;
    const { path } = call.method;
    try {
      authorize(path, principal);
      return yield* call.next(call.request, { ...context, principal });
    } catch (error) {
      if (error instanceof DomainError && error.kind === 'forbidden' && isChange(call.method)) {
        refusals.note({ principal, path, peer, message: error.message });
      }
      throw error;
    }
  };
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
