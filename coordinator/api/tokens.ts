import type {
  CreateTokenRequest,
  RevokeTokenRequest,
} from '../../shared/gen/fairlead/v1/control_service.ts';
import type { Clock } from '../../shared/clock.ts';
import { DomainError, type FieldViolation } from '../../shared/errors.ts';
import type { TokenId } from '../../shared/ids.ts';
import type { Random } from '../../shared/random.ts';
import { hashSecret, type TokenIssuer } from '../identity/tokens.ts';
import type { Action, Token } from '../model.ts';
import type { Store } from '../store/store.ts';
import type { Authenticator } from './authentication.ts';
import type { Call } from './call.ts';
import { actionToProto, tokenToProto } from './convert.ts';
import { optionsFromProto, tokenWishFromProto } from './convert-requests.ts';
import type { Lookup } from './lookup.ts';
import type { Mutations } from './mutations.ts';
import { throwIfInvalid } from './validate.ts';

export interface TokenApiDeps {
  readonly store: Store;
  readonly authenticator: Authenticator;
  readonly lookup: Lookup;
  readonly mutations: Mutations;
  readonly tokens: TokenIssuer;
  readonly random: Random;
  readonly clock: Clock;
}

/** The API's methods on tokens. A secret is in one answer, once, and nowhere else. */
export class TokenApi {
  readonly #deps: TokenApiDeps;

  constructor(deps: TokenApiDeps) {
    this.#deps = deps;
  }

  createToken(request: CreateTokenRequest, call: Call) {
    const { store, lookup, mutations, tokens, random, clock } = this.#deps;
    const violations: FieldViolation[] = [];
    const options = optionsFromProto(request.options, violations);
    const wish = tokenWishFromProto(request, violations);
    throwIfInvalid(violations);
    const replayed = mutations.replayed('CreateToken', call, options);
    if (replayed !== undefined) return { ...this.#replay(replayed), secret: '' };
    if (store.tokenNamed(wish.name) !== undefined) {
      throw new DomainError('already-exists', `a token is already called "${wish.name}"`, {
        reason: 'TOKEN_NAME_TAKEN',
      });
    }
    const secret = random.secret();
    const nowMs = clock.now();
    const token: Token = {
      id: random.id().slice(0, 16) as TokenId,
      name: wish.name,
      role: wish.role,
      serviceIds: wish.services.map((service) => lookup.service(call, service).id),
      clusterIds: wish.clusters.map((cluster) => lookup.cluster(call, cluster, 'clusters').id),
      tags: wish.tags,
      clusterId: wish.cluster === '' ? null : lookup.cluster(call, wish.cluster, 'cluster').id,
      maxUses: wish.maxUses,
      uses: 0,
      hash: hashSecret(secret),
      containerId: null,
      createdAtMs: nowMs,
      expiresAtMs: wish.lifetimeSeconds === 0 ? null : nowMs + wish.lifetimeSeconds * 1_000,
    };
    if (options.dryRun) {
      return {
        token: tokenToProto(store, token, null),
        secret: '',
        action: undefined,
        plan: { steps: [] },
      };
    }
    const { action } = mutations.perform(
      call,
      options,
      {
        method: 'CreateToken',
        target: { kind: 'token', id: token.id, name: token.name },
        serviceId: null,
        event: 'token.created',
      },
      (tx) => {
        tx.tokens.put(token);
      },
    );
    return {
      token: tokenToProto(store, token, null),
      secret: tokens.format(token.id, secret),
      action: actionToProto(action),
      plan: undefined,
    };
  }

  revokeToken(request: RevokeTokenRequest, call: Call) {
    const { lookup, mutations } = this.#deps;
    const violations: FieldViolation[] = [];
    const options = optionsFromProto(request.options, violations);
    throwIfInvalid(violations);
    const replayed = mutations.replayed('RevokeToken', call, options);
    if (replayed !== undefined) return this.#replay(replayed);
    const token = lookup.token(request.token);
    if (options.dryRun) {
      return { token: this.#present(token), action: undefined, plan: { steps: [] } };
    }
    const { action } = mutations.perform(
      call,
      options,
      {
        method: 'RevokeToken',
        target: { kind: 'token', id: token.id, name: token.name },
        serviceId: null,
        event: 'token.revoked',
      },
      (tx) => {
        tx.tokens.delete(token.id);
      },
    );
    return { token: this.#present(token), action: actionToProto(action), plan: undefined };
  }

  #present(token: Token) {
    const { store, authenticator } = this.#deps;
    return tokenToProto(
      store,
      token,
      authenticator.lastUsedAtMs(token.id),
      authenticator.expiresAtMs(token),
    );
  }

  #replay(action: Action) {
    const token = this.#deps.store.tokens.get(action.targetId as TokenId);
    return {
      token: token === undefined ? undefined : this.#present(token),
      action: actionToProto(action),
      plan: undefined,
    };
  }
}
