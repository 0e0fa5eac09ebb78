import { DomainError, type FieldViolation } from '../../shared/errors.ts';
import type { RemoveProxyRequest } from '../../shared/gen/fairlead/v1/control_service.ts';
import { withoutHost } from '../routing/host-proxies.ts';
import type { ProxyRecord } from '../routing/proxy-record.ts';
import type { Routing } from '../routing/routing.ts';
import { inScope } from './authorization.ts';
import type { Call } from './call.ts';
import { actionToProto } from './convert.ts';
import { optionsFromProto } from './convert-requests.ts';
import { required } from './lookup.ts';
import type { Mutations } from './mutations.ts';
import type { Presenter } from './present.ts';
import { throwIfInvalid } from './validate.ts';

export interface ProxyApiDeps {
  readonly routing: Routing;
  readonly mutations: Mutations;
  readonly presenter: Presenter;
}

/** The API's changes of proxies: they come by themselves, and may have to be told that they are gone. */
export class ProxyApi {
  readonly #deps: ProxyApiDeps;

  constructor(deps: ProxyApiDeps) {
    this.#deps = deps;
  }

  removeProxy(request: RemoveProxyRequest, call: Call) {
    const { routing, mutations, presenter } = this.#deps;
    const violations: FieldViolation[] = [];
    const options = optionsFromProto(request.options, violations);
    throwIfInvalid(violations);
    const replayed = mutations.replayed('RemoveProxy', call, options);
    if (replayed !== undefined) {
      return { proxy: undefined, action: actionToProto(replayed), plan: undefined };
    }
    const record = this.#find(call, request.proxy);
    requireGone(record);
    const proxy = presenter.proxy(record);
    if (options.dryRun) return { proxy, action: undefined, plan: { steps: [] } };
    const { id, name } = record.identity;
    const { action } = mutations.perform(
      call,
      options,
      {
        method: 'RemoveProxy',
        target: { kind: 'proxy', id, name },
        serviceId: null,
        event: 'proxy.removed',
      },
      (tx) => {
        for (const token of [...tx.tokens.values()]) {
          const without = withoutHost(token, id);
          if (without !== null) tx.tokens.put(without);
        }
      },
    );
    routing.forgetProxy(record);
    return { proxy, action: actionToProto(action), plan: undefined };
  }

  /** By id, or by a name that only one has; of what the caller may see. */
  #find(call: Call, nameOrId: string): ProxyRecord {
    required(nameOrId, 'proxy');
    const known = [...this.#deps.routing.proxies()].filter(
      ({ identity: { id, name } }) => id === nameOrId || name === nameOrId,
    );
    const all = known.filter(({ identity }) => inScope(call, identity.serviceId));
    if (all.length === 0 && known.length > 0) throw beyond(call, nameOrId);
    const byId = all.find(({ identity }) => identity.id === nameOrId);
    const [found, ...others] = byId === undefined ? all : [byId];
    if (found === undefined) {
      const message = `no proxy is called "${nameOrId}" or has that id`;
      throw new DomainError('not-found', message, { reason: 'PROXY_NOT_FOUND' });
    }
    if (others.length === 0) return found;
    const ids = all.map(({ identity }) => identity.id).join(', ');
    throw new DomainError(
      'precondition',
      `${all.length} proxies are called "${nameOrId}": say which by its id, one of ${ids}`,
      { reason: 'PROXY_NAME_SHARED' },
    );
  }
}

function beyond({ principal }: Call, nameOrId: string): DomainError {
  const message = `token "${principal.name}" does not reach the proxy ${nameOrId}`;
  return new DomainError('forbidden', message, { reason: 'PERMISSION_DENIED' });
}

function requireGone({ identity: { name }, place, session }: ProxyRecord): void {
  if (place === 'container') {
    throw new DomainError(
      'precondition',
      `${name} is the proxy of a container, and goes with it; remove that, or scale its service`,
      { reason: 'PROXY_IN_CONTAINER' },
    );
  }
  if (session === null) return;
  throw new DomainError(
    'precondition',
    `${name} is connected; stop its agent, or revoke its token, first`,
    { reason: 'PROXY_CONNECTED' },
  );
}
