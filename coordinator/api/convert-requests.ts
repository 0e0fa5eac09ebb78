import { DomainError, type FieldViolation } from '../../shared/errors.ts';
import type { MutationOptions } from '../../shared/gen/fairlead/v1/action.ts';
import type {
  CreateTokenRequest,
  UpdateNodeRequest,
} from '../../shared/gen/fairlead/v1/control_service.ts';
import { Availability as ProtoAvailability } from '../../shared/gen/fairlead/v1/node.ts';
import { Role as ProtoRole } from '../../shared/gen/fairlead/v1/token.ts';
import type { Availability, Role } from '../model.ts';
import { quote, validateRange, validateTags, validateText } from './validate.ts';

const maxRequestIdBytes = 64;
const maxTokenNameBytes = 64;
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

/** What a caller changes of a node; undefined: leave it. */
export interface NodeChange {
  readonly tags: readonly string[] | undefined;
  readonly availability: Availability | undefined;
}

export function nodeChangeFromProto(
  { tags, availability, updateMask }: UpdateNodeRequest,
  into: FieldViolation[],
): NodeChange {
  const mask = updateMask ?? [];
  if (mask.length === 0) into.push({ field: 'update_mask', rule: 'is required' });
  for (const [index, path] of mask.entries()) {
    if (path === 'tags' || path === 'availability') continue;
    into.push({
      field: `update_mask.paths[${index}]`,
      rule: `must be "tags" or "availability", and is ${quote(path)}`,
    });
  }
  if (mask.includes('tags')) validateTags(tags, 'tags', into);
  return {
    tags: mask.includes('tags') ? tags : undefined,
    availability: mask.includes('availability') ? availabilityFromProto(availability) : undefined,
  };
}

function availabilityFromProto(availability: ProtoAvailability): Availability {
  switch (availability) {
    case ProtoAvailability.PAUSED:
      return 'paused';
    case ProtoAvailability.DRAINING:
      throw new DomainError(
        'unimplemented',
        'this version cannot drain a node; pause it and redeploy its containers instead',
        { reason: 'NODE_DRAIN_UNIMPLEMENTED' },
      );
    case ProtoAvailability.ACTIVE:
    case ProtoAvailability.UNSPECIFIED:
    default:
      return 'active';
  }
}

/** A token as a caller asks for it. */
export interface TokenWish {
  readonly name: string;
  readonly role: Role;
  /** Names or ids. */
  readonly services: readonly string[];
  readonly tags: readonly string[];
  /** 0: for ever. */
  readonly lifetimeSeconds: number;
}

export function tokenWishFromProto(
  { name, role: protoRole, services, tags, lifetimeSeconds }: CreateTokenRequest,
  into: FieldViolation[],
): TokenWish {
  if (name === '') into.push({ field: 'name', rule: 'is required' });
  validateText(name, { maxBytes: maxTokenNameBytes, field: 'name', line: true }, into);
  const role = roleFromProto(protoRole);
  if (role === undefined) into.push({ field: 'role', rule: 'is required' });
  if (role === 'proxy' && services.length === 0) {
    into.push({ field: 'services', rule: 'is required for the role PROXY' });
  }
  if (role !== 'node' && tags.length > 0) {
    into.push({ field: 'tags', rule: 'must only be set for the role NODE' });
  }
  validateTags(tags, 'tags', into);
  const lifetime = { min: 0, max: maxUint32, field: 'lifetime_seconds' };
  validateRange(lifetimeSeconds, lifetime, into);
  return { name, role: role ?? 'viewer', services, tags, lifetimeSeconds };
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
