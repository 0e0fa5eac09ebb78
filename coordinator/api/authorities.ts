import type { Clock } from '../../shared/clock.ts';
import { DomainError, type FieldViolation } from '../../shared/errors.ts';
import { AuthorityState, type Trust } from '../../shared/gen/fairlead/v1/authority.ts';
import type {
  FinishRotationRequest,
  RotateAuthorityRequest,
} from '../../shared/gen/fairlead/v1/control_service.ts';
import type { MutationOptions } from '../../shared/gen/fairlead/v1/action.ts';
import type { ActionId } from '../../shared/ids.ts';
import type { Authority } from '../identity/authority.ts';
import { dependentsOf, type Dependents } from '../identity/dependents.ts';
import { Turns } from '../identity/turns.ts';
import { endAction } from '../orchestrator/actions.ts';
import type { Routing } from '../routing/routing.ts';
import type { Store } from '../store/store.ts';
import type { Call } from './call.ts';
import { actionToProto, dateOf } from './convert.ts';
import { optionsFromProto, type Options } from './convert-requests.ts';
import { requireVersion, type Mutations } from './mutations.ts';
import { throwIfInvalid } from './validate.ts';

/** An authority as it is looked at and replaced. */
export type ReplaceableAuthority = Pick<
  Authority,
  'trusted' | 'version' | 'lastActionId' | 'requireRoom' | 'rotate' | 'finish'
>;

export interface AuthorityApiDeps {
  readonly store: Store;
  readonly routing: Routing;
  readonly authority: ReplaceableAuthority;
  readonly mutations: Mutations;
  readonly clock: Clock;
  readonly installationId: string;
}

const rotations = ['RotateAuthority', 'FinishRotation'] as const;
type Rotation = (typeof rotations)[number];

const eventsOf = {
  RotateAuthority: 'authority.rotated',
  FinishRotation: 'authority.rotation-finished',
} as const satisfies Record<Rotation, string>;

/** How many users of an authority are named: in an answer, and in a refusal. */
const namesKept = 100;
const namesTold = 5;

/** The API's methods on the certificate authority. One change at a time. */
export class AuthorityApi {
  readonly #deps: AuthorityApiDeps;
  readonly #turns = new Turns();

  constructor(deps: AuthorityApiDeps) {
    this.#deps = deps;
  }

  getTrust() {
    return { trust: this.#trust() };
  }

  async rotateAuthority({ options }: RotateAuthorityRequest, call: Call) {
    const { authority } = this.#deps;
    return await this.#change(
      'RotateAuthority',
      { options, call },
      {
        check: () => {
          authority.requireRoom();
        },
        act: (id) => authority.rotate(id),
      },
    );
  }

  async finishRotation({ options, force }: FinishRotationRequest, call: Call) {
    const { authority } = this.#deps;
    return await this.#change(
      'FinishRotation',
      { options, call },
      {
        check: () => {
          this.#requireUnused(force);
        },
        act: (id) => authority.finish(id),
      },
    );
  }

  async #change(
    method: Rotation,
    {
      options: given,
      call,
    }: { readonly options: MutationOptions | undefined; readonly call: Call },
    { check, act }: { readonly check: () => void; readonly act: (id: ActionId) => Promise<void> },
  ) {
    const violations: FieldViolation[] = [];
    const options = optionsFromProto(given, violations);
    throwIfInvalid(violations);
    return await this.#turns.take(async () => {
      const { mutations, authority } = this.#deps;
      settleRotations(this.#deps);
      const replayed = mutations.replayed(method, call, options);
      if (replayed !== undefined) {
        return { trust: this.#trust(), action: actionToProto(replayed), plan: undefined };
      }
      requireVersion(options, { name: 'the trust', version: authority.version });
      check();
      if (options.dryRun) {
        return { trust: this.#trust(), action: undefined, plan: { steps: [] } };
      }
      const action = await this.#carryOut(method, { options, call }, act);
      return { trust: this.#trust(), action: actionToProto(action), plan: undefined };
    });
  }

  async #carryOut(
    method: Rotation,
    { options, call }: { readonly options: Options; readonly call: Call },
    act: (id: ActionId) => Promise<void>,
  ) {
    const { mutations, installationId } = this.#deps;
    const target = { kind: 'authority', id: installationId, name: 'authority' } as const;
    const mutation = { method, target, serviceId: null, event: eventsOf[method] };
    return await mutations.performElsewhere(call, options, { mutation, act });
  }

  #requireUnused(force: boolean): void {
    const { authority } = this.#deps;
    const [, ...earlier] = authority.trusted;
    if (earlier.length === 0) {
      throw new DomainError(
        'precondition',
        'there is nothing to finish: one authority is trusted, the one that signs',
        { reason: 'NO_ROTATION' },
      );
    }
    const dependents = dependentsOf(this.#deps);
    const users = earlier.flatMap(({ pin }) => namesOf(dependents.get(pin)));
    if (force || users.length === 0) return;
    const more = users.length - namesTold;
    const named = users.slice(0, namesTold).join(', ') + (more > 0 ? ` and ${more} more` : '');
    throw new DomainError(
      'precondition',
      `certificates of an authority that was replaced are in use by ${named}; those that are connected renew theirs by themselves, so wait, or start those that are away; --force cuts them, and they have to join or enrol anew`,
      { reason: 'AUTHORITY_IN_USE' },
    );
  }

  #trust(): Trust {
    const { authority } = this.#deps;
    const dependents = dependentsOf(this.#deps);
    return {
      version: authority.version,
      authorities: authority.trusted.map(
        ({ pin, certificate, sinceMs, replacedAtMs, trustedUntilMs }) => {
          const uses = dependents.get(pin);
          return {
            pin,
            state: replacedAtMs === null ? AuthorityState.SIGNING : AuthorityState.REPLACED,
            signsSince: new Date(sinceMs),
            replacedAt: dateOf(replacedAtMs),
            trustedUntil: dateOf(trustedUntilMs),
            nodes: uses?.nodes.length ?? 0,
            proxies: uses?.proxies.length ?? 0,
            users: namesOf(uses).slice(0, namesKept),
            tokens: uses?.tokens ?? 0,
            certificatePem: certificate,
          };
        },
      ),
    };
  }
}

function namesOf(dependents: Dependents | undefined): string[] {
  const { nodes = [], proxies = [] } = dependents ?? {};
  return [...nodes.map((name) => `node ${name}`), ...proxies.map((name) => `proxy ${name}`)];
}

/**
 * Ends actions on the authority that a coordinator which stopped in the middle left open. The authority's
 * own file says whether what they asked for was done.
 */
export function settleRotations({
  store,
  authority,
}: Pick<AuthorityApiDeps, 'store' | 'authority'>): void {
  const open = [...store.actions.values()].filter(
    ({ state, method }) => state === 'in-progress' && rotations.some((each) => each === method),
  );
  if (open.length === 0) return;
  store.transact((tx) => {
    for (const action of open) {
      if (action.id === authority.lastActionId) endAction(tx, action, 'succeeded', '');
      else endAction(tx, action, 'failed', 'the coordinator was stopped before it was done');
    }
  });
}
