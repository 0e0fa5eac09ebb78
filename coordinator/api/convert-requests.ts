import type { FieldViolation } from '../../shared/errors.ts';
import type { MutationOptions } from '../../shared/gen/fairlead/v1/action.ts';
import type { CreateTokenRequest } from '../../shared/gen/fairlead/v1/control_service.ts';
import { Role as ProtoRole } from '../../shared/gen/fairlead/v1/token.ts';
import type { Role } from '../model.ts';
import { validateGivenTags, validateRange, validateText } from './validate.ts';

const maxRequestIdBytes = 64;
const maxTokenNameBytes = 64;
const maxJoins = 10_000;
const maxUint32 = 2 ** 32 - 1;
const defaultLimit = 100;
const maxLimit = 1_000;

/** What every mutation takes besides its own fields. */
export interface Options {
  /** 0: whatever it is now. */
  readonly version: number;
  /** Empty: none. */
  readonly requestId: string;
  readonly dryRun: boolean;
}

export function optionsFromProto(
  options: MutationOptions | undefined,
  into: FieldViolation[],
): Options {
  const { version = 0, requestId = '', dryRun = false } = options ?? {};
  validateRange(version, { min: 0, max: maxUint32, field: 'options.version' }, into);
  const rules = { maxBytes: maxRequestIdBytes, field: 'options.request_id', line: true };
  validateText(requestId, rules, into);
  return { version, requestId, dryRun };
}

/** At most so many; 0 is the default of 100. */
export function limitFromProto(limit: number, into: FieldViolation[]): number {
  validateRange(limit, { min: 0, max: maxLimit, field: 'limit' }, into);
  return limit === 0 ? defaultLimit : limit;
}

/** A token as a caller asks for it. */
export interface TokenWish {
  readonly name: string;
  readonly role: Role;
  /** Names or ids. */
  readonly services: readonly string[];
  /** Node clusters that it is limited to, by name or id. */
  readonly clusters: readonly string[];
  readonly tags: readonly string[];
  /** Name or id of the cluster that a host joins with it; empty: none. */
  readonly cluster: string;
  /** 0: any number. */
  readonly maxUses: number;
  /** 0: for ever. */
  readonly lifetimeSeconds: number;
}

export function tokenWishFromProto(request: CreateTokenRequest, into: FieldViolation[]): TokenWish {
  const { name, role: protoRole, services, clusters, tags } = request;
  const { cluster, maxUses, lifetimeSeconds } = request;
  if (name === '') into.push({ field: 'name', rule: 'is required' });
  validateText(name, { maxBytes: maxTokenNameBytes, field: 'name', line: true }, into);
  const role = roleFromProto(protoRole);
  if (role === undefined) into.push({ field: 'role', rule: 'is required' });
  if (role === 'proxy' && services.length === 0) {
    into.push({ field: 'services', rule: 'is required for the role PROXY' });
  }
  if (role !== 'node') refuseJoinFields(request, into);
  if (clusters.length > 0 && (role === 'node' || role === 'proxy')) {
    into.push({ field: 'clusters', rule: 'must not be set for the roles NODE and PROXY' });
  }
  validateGivenTags(tags, 'tags', into);
  validateRange(maxUses, { min: 0, max: maxJoins, field: 'max_uses' }, into);
  const lifetime = { min: 0, max: maxUint32, field: 'lifetime_seconds' };
  validateRange(lifetimeSeconds, lifetime, into);
  const scope = { services, clusters };
  return { name, role: role ?? 'viewer', ...scope, tags, cluster, maxUses, lifetimeSeconds };
}

/** What only a token has that hosts join with. */
function refuseJoinFields(
  { tags, cluster, maxUses }: CreateTokenRequest,
  into: FieldViolation[],
): void {
  const rule = 'must only be set for the role NODE';
  if (tags.length > 0) into.push({ field: 'tags', rule });
  if (cluster !== '') into.push({ field: 'cluster', rule });
  if (maxUses > 0) into.push({ field: 'max_uses', rule });
}

/** Undefined where it is not set, or not known to this version. */
export function roleFromProto(role: ProtoRole): Role | undefined {
  switch (role) {
    case ProtoRole.VIEWER:
      return 'viewer';
    case ProtoRole.OPERATOR:
      return 'operator';
    case ProtoRole.ADMIN:
      return 'admin';
    case ProtoRole.NODE:
      return 'node';
    case ProtoRole.PROXY:
      return 'proxy';
    case ProtoRole.UNSPECIFIED:
    default:
      return undefined;
  }
}
