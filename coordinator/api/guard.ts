import type { CallContext } from 'nice-grpc';
import {
  ControlServiceDefinition,
  type ControlServiceImplementation,
} from '../../shared/gen/fairlead/v1/control_service.ts';
import type { Store } from '../store/store.ts';
import type { Authenticator } from './authentication.ts';
import type { CallRecordContext } from './call-log.ts';
import type { Call } from './call.ts';
import type { PrincipalContext } from './gate.ts';

export type ControlMethod = keyof typeof ControlServiceDefinition.methods;

/** The API's methods as handlers see them: the caller is known and may call. */
export type Handlers = {
  readonly [Method in ControlMethod]: ControlServiceImplementation[Method] extends (
    request: infer Request,
    context: CallContext,
  ) => infer Response
    ? (request: Request, call: Call) => Answer<Response>
    : never;
};

type Context = CallContext & CallRecordContext & PrincipalContext;

/** A handler may answer at once. */
type Answer<Response> = Response extends Promise<infer Value> ? Value | Promise<Value> : Response;

/** Tells handlers who calls, as the gate found out; over a stream, what they reach as it changes. */
export function guard(
  handlers: Handlers,
  deps: { readonly authenticator: Authenticator; readonly store: Store },
): ControlServiceImplementation<CallRecordContext & PrincipalContext> {
  const guarded: Record<string, unknown> = {};
  for (const method of Object.keys(ControlServiceDefinition.methods) as ControlMethod[]) {
    const handler = handlers[method].bind(handlers) as (request: unknown, call: Call) => unknown;
    guarded[method] = ControlServiceDefinition.methods[method].responseStream
      ? (request: unknown, context: Context) => stream(handler, { request, context, ...deps })
      : async (request: unknown, context: Context) => await handler(request, callOf(context));
  }
  return guarded as unknown as ControlServiceImplementation<CallRecordContext & PrincipalContext>;
}

function callOf({ principal, peer, signal }: Context): Call {
  if (principal.kind === 'token') return { principal, peer, signal };
  throw new Error(`the table of who may call what lets ${principal.kind} in`);
}

async function* stream(
  handler: (request: unknown, call: Call) => unknown,
  options: {
    readonly request: unknown;
    readonly context: Context;
    readonly authenticator: Authenticator;
    readonly store: Store;
  },
): AsyncGenerator {
  const { request, context, authenticator, store } = options;
  const call = callOf(context);
  // Links that come and go meanwhile change what a container's token reaches.
  const principal = { ...call.principal };
  using _services = store.subscribe((changes) => {
    if (changes.some(({ table }) => table === 'services'))
      principal.scope = authenticator.scopeOf(principal.id);
  });
  yield* handler(request, { ...call, principal }) as AsyncIterable<unknown>;
}
