import type { ServerMiddleware } from 'nice-grpc-common';
import { ChildController } from '../../shared/abort.ts';
import type { Authenticator } from './authentication.ts';
import { authorize } from './authorization.ts';
import type { CallRecordContext } from './call-log.ts';
import type { Principal } from './call.ts';

/** Given to every handler behind the gate. */
export interface PrincipalContext {
  readonly principal: Principal;
}

/** What stands before every method, at every door. */
export type Gate = ServerMiddleware<PrincipalContext, CallRecordContext>;

/**
 * Finds out who calls and whether they may, before anything is answered.
 *
 * A stream ends when the token that opened it is revoked or expires.
 */
export function gateOf(authenticator: Authenticator): Gate {
  return async function* (call, context) {
    const principal = authenticator.authenticate(context.metadata.get('authorization'));
    context.record.principal = principal.name;
    authorize(call.method.path, principal);
    const isStream = call.requestStream || call.responseStream;
    if (!isStream || principal.kind === 'node') {
      return yield* call.next(call.request, { ...context, principal });
    }
    using controller = new ChildController(context.signal);
    const { signal } = controller;
    void authenticator.untilInvalid(principal.id, signal).then(() => {
      controller.abort();
    });
    const isCut = () => signal.aborted && !context.signal.aborted;
    try {
      const response = yield* call.next(call.request, { ...context, principal, signal });
      if (!isCut()) return response;
    } catch (error) {
      if (!isCut()) throw error;
    }
    throw authenticator.invalid();
  };
}
