import type { CallContext } from 'nice-grpc';
import { ChildController } from '../../shared/abort.ts';
import { DomainError } from '../../shared/errors.ts';
import {
  ControlServiceDefinition,
  type ControlServiceImplementation,
} from '../../shared/gen/fairlead/v1/control_service.ts';
import type { Store } from '../store/store.ts';
import type { Authenticator } from './authentication.ts';
import { authorize, type ControlMethod } from './authorization.ts';
import type { CallRecordContext } from './call-log.ts';
import type { Call } from './call.ts';

/** The API's methods as handlers see them: the caller is known and may call. */
export type Handlers = {
  readonly [Method in ControlMethod]: ControlServiceImplementation[Method] extends (
    request: infer Request,
    context: CallContext,
  ) => infer Response
    ? (request: Request, call: Call) => Answer<Response>
    : never;
};

type Context = CallContext & CallRecordContext;

/** A handler may answer at once. */
type Answer<Response> = Response extends Promise<infer Value> ? Value | Promise<Value> : Response;

/**
 * Puts authentication and authorization before every handler, however the call came in.
 *
 * A stream ends when the token that opened it is revoked or expires.
 */
export function guard(
  handlers: Handlers,
  deps: { readonly authenticator: Authenticator; readonly store: Store },
): ControlServiceImplementation<CallRecordContext> {
  const guarded: Record<string, unknown> = {};
  for (const method of Object.keys(ControlServiceDefinition.methods) as ControlMethod[]) {
    const handler = handlers[method].bind(handlers) as (request: unknown, call: Call) => unknown;
    guarded[method] = ControlServiceDefinition.methods[method].responseStream
      ? (request: unknown, context: Context) =>
          streamWhileValid(method, handler, { request, context, ...deps })
      : async (request: unknown, context: Context) => {
          const call = admit(method, context, deps.authenticator);
          return await handler(request, { ...call, signal: context.signal });
        };
  }
  return guarded as unknown as ControlServiceImplementation<CallRecordContext>;
}

function admit(
  method: ControlMethod,
  context: Context,
  authenticator: Authenticator,
): Omit<Call, 'signal'> {
  const principal = authenticator.authenticate(context.metadata.get('authorization'));
  if (principal.kind === 'node') {
    throw new DomainError('forbidden', 'a node speaks on its own stream only', {
      reason: 'PERMISSION_DENIED',
    });
  }
  context.record.principal = principal.name;
  authorize(method, { principal });
  return { principal, peer: context.peer };
}

async function* streamWhileValid(
  method: ControlMethod,
  handler: (request: unknown, call: Call) => unknown,
  options: {
    readonly request: unknown;
    readonly context: Context;
    readonly authenticator: Authenticator;
    readonly store: Store;
  },
): AsyncGenerator {
  const { request, context, authenticator, store } = options;
  const call = admit(method, context, authenticator);
  using controller = new ChildController(context.signal);
  const { signal } = controller;
  const { id } = call.principal;
  void authenticator.untilInvalid(id, signal).then(() => {
    controller.abort();
  });
  // Links that come and go meanwhile change what a container's token reaches.
  const principal = { ...call.principal };
  using _services = store.subscribe((changes) => {
    if (changes.some(({ table }) => table === 'services'))
      principal.scope = authenticator.scopeOf(id);
  });
  yield* handler(request, { ...call, principal, signal }) as AsyncIterable<unknown>;
  if (signal.aborted && !context.signal.aborted) {
    authenticator.authenticate(context.metadata.get('authorization'));
  }
}
