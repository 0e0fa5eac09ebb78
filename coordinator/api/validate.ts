import { DomainError, type FieldViolation } from '../../shared/errors.ts';
import {
  automaticTagKeys,
  isAutomaticTag,
  maxNameLength,
  maxTagLength,
  namePattern,
  tagPattern,
} from '../../shared/ids.ts';

// Each rule is written as what follows the name of the field: `is required`, `must be …`.

/** How many violations a message names; all of them are in the details. */
const violationsInMessage = 8;
/** How much of a wrong value is repeated to the caller. */
const quotedLength = 40;
const maxReplicas = 1000;
const maxTags = 100;

const maxImageLength = 255;
const registryHost = /^(?:\[[0-9A-Fa-f:]+\]|[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*)(?::[0-9]{1,5})?$/;
const repository = /^[a-z0-9]+(?:(?:\.|_{1,2}|-+|\/)[a-z0-9]+)*$/;
const imageTag = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;
const imageId = /^[0-9a-f]{64}$/;
const imageDigest = /^(?:sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128})$/;

/** NUL ends a string for the kernel, and a lone surrogate has no bytes. */
const unstorable = /\0|\p{Surrogate}/u;
const control = /\p{Cc}/u;
/** What the system calls objects; a name of this form could stand for another one's id. */
const idPattern = /^[0-9a-f]{32}$/;

/** Throws one error that names every field and its rule, if there is anything to name. */
export function throwIfInvalid(violations: readonly FieldViolation[]): void {
  if (violations.length === 0) return;
  const shown = violations
    .slice(0, violationsInMessage)
    .map(({ field, rule }) => `${field} ${rule}`);
  const more = violations.length - shown.length;
  throw new DomainError('invalid', `${shown.join('; ')}${more > 0 ? `; and ${more} more` : ''}`, {
    reason: 'INVALID_REQUEST',
    violations,
  });
}

/** A wrong value as it is repeated to the caller. */
export function quote(value: string): string {
  return JSON.stringify(value.length > quotedLength ? `${value.slice(0, quotedLength)}…` : value);
}

/** The name of a service, a node or a link: part of host names, HAProxy names and engine names. */
export function validateName(value: string, field: string, into: FieldViolation[]): void {
  if (value === '') {
    into.push({ field, rule: 'is required' });
  } else if (value.length > maxNameLength) {
    into.push({ field, rule: `must have at most ${maxNameLength} characters` });
  } else if (!namePattern.test(value)) {
    into.push({
      field,
      rule: `must be lower-case letters, digits and dashes, with no dash at either end, and is ${quote(value)}`,
    });
  } else if (idPattern.test(value)) {
    into.push({ field, rule: 'must not have the form of an id' });
  }
}

/** What a request calls an object by, name or id; whether it exists is for the handler to say. */
export function validateReference(value: string, field: string, into: FieldViolation[]): void {
  if (value === '') into.push({ field, rule: 'is required' });
}

/** Placement tags, each once. */
export function validateTags(tags: readonly string[], field: string, into: FieldViolation[]): void {
  validateCount(tags.length, { max: maxTags, field }, into);
  validateUnique(tags, { field, what: 'tag' }, into);
  for (const [index, tag] of tags.entries()) {
    if (tag.length <= maxTagLength && tagPattern.test(tag)) continue;
    into.push({
      field: `${field}[${index}]`,
      rule: `must be at most ${maxTagLength} letters, digits, "_", ".", "=" and "-", with a letter or digit first, and is ${quote(tag)}`,
    });
  }
}

/** Tags that somebody gives to nodes; automatic ones cannot be given. */
export function validateGivenTags(
  tags: readonly string[],
  field: string,
  into: FieldViolation[],
): void {
  validateTags(tags, field, into);
  for (const [index, tag] of tags.entries()) {
    if (!isAutomaticTag(tag)) continue;
    into.push({
      field: `${field}[${index}]`,
      rule: `must not begin with ${automaticTagKeys.map((key) => `"${key}="`).join(', ')}: nodes have such tags by themselves, and is ${quote(tag)}`,
    });
  }
}

/** A number of containers. */
export function validateReplicas(value: number, field: string, into: FieldViolation[]): void {
  validateRange(value, { min: 0, max: maxReplicas, field }, into);
}

/** A whole number within bounds. */
export function validateRange(
  value: number,
  { min, max, field }: { readonly min: number; readonly max: number; readonly field: string },
  into: FieldViolation[],
): void {
  if (Number.isInteger(value) && value >= min && value <= max) return;
  into.push({ field, rule: `must be a whole number from ${min} to ${max}, and is ${value}` });
}

/** How many entries a list or a map has. */
export function validateCount(
  count: number,
  { max, field }: { readonly max: number; readonly field: string },
  into: FieldViolation[],
): void {
  if (count > max) into.push({ field, rule: `must have at most ${max} entries, and has ${count}` });
}

/** Names the second of two equal keys; entries without a key are passed over. */
export function validateUnique(
  keys: readonly (string | undefined)[],
  { field, what }: { readonly field: string; readonly what: string },
  into: FieldViolation[],
): void {
  const seen = new Map<string, number>();
  for (const [index, key] of keys.entries()) {
    if (key === undefined) continue;
    const first = seen.get(key);
    if (first === undefined) seen.set(key, index);
    else {
      into.push({
        field: `${field}[${index}]`,
        rule: `has the same ${what} as ${field}[${first}]: ${quote(key)}`,
      });
    }
  }
}

/** A string that a process can be given; with `line`, one that also fits on a line. */
export function validateText(
  value: string,
  {
    maxBytes,
    field,
    line,
  }: { readonly maxBytes: number; readonly field: string; readonly line: boolean },
  into: FieldViolation[],
): void {
  if (Buffer.byteLength(value) > maxBytes) {
    into.push({ field, rule: `must have at most ${maxBytes} bytes` });
  } else if (unstorable.test(value)) {
    into.push({ field, rule: 'must be valid Unicode without NUL' });
  } else if (line && control.test(value)) {
    into.push({ field, rule: `must have no control character, and is ${quote(value)}` });
  }
}

/** An image reference as engines read it: `[registry/]repository[:tag][@digest]`. */
export function validateImage(value: string, field: string, into: FieldViolation[]): void {
  if (value === '') {
    into.push({ field, rule: 'is required' });
  } else if (value.length > maxImageLength) {
    into.push({ field, rule: `must have at most ${maxImageLength} characters` });
  } else {
    const parts = splitImage(value);
    const wrong = imageRules.find(({ holds }) => !holds(parts));
    if (wrong !== undefined) into.push({ field, rule: `${wrong.rule}, and is ${quote(value)}` });
  }
}

interface ImageParts {
  readonly registry: string | undefined;
  readonly repository: string;
  readonly tag: string | undefined;
  readonly digest: string | undefined;
}

/** In the order in which they are asked: the first that does not hold is told. */
const imageRules: readonly { holds: (image: ImageParts) => boolean; rule: string }[] = [
  {
    holds: ({ digest }) => digest === undefined || imageDigest.test(digest),
    rule: 'must have a digest like sha256:<64 hexadecimal digits> after the "@"',
  },
  {
    holds: ({ tag }) => tag === undefined || imageTag.test(tag),
    rule: 'must have a tag of at most 128 letters, digits, "_", "." and "-" after the ":"',
  },
  {
    holds: ({ registry }) => registry === undefined || registryHost.test(registry),
    rule: 'must have a registry like host:port before the first "/"',
  },
  {
    holds: ({ repository: path }) => !/[A-Z]/.test(path),
    rule: 'must have its repository in lower case',
  },
  {
    holds: ({ repository: path }) => repository.test(path),
    rule: 'must be an image reference like "registry/repository:tag"',
  },
  {
    holds: ({ registry, repository: path }) => registry !== undefined || !imageId.test(path),
    rule: 'must be the name of an image, not its id',
  },
];

function splitImage(value: string): ImageParts {
  const [named, digest] = splitAt(value, value.indexOf('@'));
  // A colon before the last slash belongs to the registry's port.
  const [path, tag] = splitAt(named, named.indexOf(':', named.lastIndexOf('/') + 1));
  const [first, rest] = splitAt(path, path.indexOf('/'));
  // As engines have it: only what looks like a host is one.
  return rest !== undefined && (/[.:]/.test(first) || first === 'localhost')
    ? { registry: first, repository: rest, tag, digest }
    : { registry: undefined, repository: path, tag, digest };
}

function splitAt(text: string, at: number): readonly [string, string | undefined] {
  return at === -1 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)];
}

/** What a Timestamp may be. */
const firstMs = Date.parse('0001-01-01T00:00:00Z');
const lastMs = Date.parse('9999-12-31T23:59:59.999Z');

/** A time, if there is one: what comes over the wire may lie outside of all that dates can say. */
export function validateTime(time: Date | undefined, field: string, into: FieldViolation[]): void {
  const ms = time?.getTime() ?? 0;
  if (ms >= firstMs && ms <= lastMs) return;
  into.push({ field, rule: 'must be a time between the years 1 and 9999' });
}
