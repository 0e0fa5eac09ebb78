import type { Volume, VolumeSource } from '../../shared/container-options.ts';
import type { FieldViolation } from '../../shared/errors.ts';
import { maxNameLength } from '../../shared/ids.ts';
import {
  PlacementStrategy,
  Reservation as ProtoReservation,
  type ServiceSpec as ProtoServiceSpec,
  type Volume as ProtoVolume,
} from '../../shared/gen/fairlead/v1/service.ts';
import type { Reservation } from '../model.ts';
import { expandTemplates, templateRule, volumeTemplates } from '../orchestrator/templates.ts';
import { pathRule } from './option-rules.ts';
import { quote, validateCount, validateName, validateRange, validateUnique } from './validate.ts';

const maxVolumes = 100;
/** Docker keeps a volume in a directory of its name. */
const maxVolumeName = 255;
const maxSources = 20;
const maxPlatforms = 20;
const maxSpread = 5;
const pebibyte = 1024 ** 5;
const namePattern = /^[A-Za-z0-9][A-Za-z0-9_.-]*$/;
const keyPattern = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$/;
const platformPattern = /^[a-z0-9]+\/[a-z0-9]+$/;

/** The volumes of a spec, each at a path of its own. */
export function volumesFromProto(
  volumes: readonly ProtoVolume[],
  field: string,
  into: FieldViolation[],
): readonly Volume[] {
  validateCount(volumes.length, { max: maxVolumes, field }, into);
  const converted = volumes.map(({ containerPath, source, readOnly }, index) => {
    const at = `${field}[${index}]`;
    validatePath(containerPath, `${at}.container_path`, into);
    return { containerPath, source: sourceFromProto(source, at, into), readOnly };
  });
  const paths = converted.map(({ containerPath }) => containerPath.replace(/(?<=.)\/+$/, ''));
  validateUnique(paths, { field, what: 'container path' }, into);
  return converted;
}

function sourceFromProto(
  source: ProtoVolume['source'],
  field: string,
  into: FieldViolation[],
): VolumeSource {
  switch (source?.$case) {
    case undefined:
      return { kind: 'anonymous' };
    case 'named': {
      const { name, external } = source.value;
      const rule = volumeNameRule(name);
      if (rule !== undefined) into.push({ field: `${field}.named.name`, rule });
      return { kind: 'named', name, external };
    }
    case 'bind':
      validatePath(source.value.path, `${field}.bind.path`, into);
      return { kind: 'bind', path: source.value.path };
    case 'tmpfs': {
      const { sizeBytes, mode } = source.value;
      const size = { min: 4096, max: pebibyte, field: `${field}.tmpfs.size_bytes` };
      if (sizeBytes !== 0) validateRange(sizeBytes, size, into);
      validateRange(mode, { min: 0, max: 0o7777, field: `${field}.tmpfs.mode` }, into);
      return { kind: 'tmpfs', sizeBytes, mode };
    }
  }
}

/** Docker tells the parts of a mount apart by colons. */
function validatePath(path: string, field: string, into: FieldViolation[]): void {
  const rule = pathRule(path);
  if (path === '') into.push({ field, rule: 'is required' });
  else if (rule !== undefined) into.push({ field, rule: `${rule}, and is ${quote(path)}` });
  else if (path.includes(':')) into.push({ field, rule: 'must have no ":"' });
  else if (/^\/+$/.test(path)) into.push({ field, rule: 'must not be the root' });
}

/** What templates in names of volumes are filled in with at the most: the name of its service may yet be any. */
const longest = {
  serviceId: 'x'.repeat(32),
  serviceName: 'x'.repeat(maxNameLength),
  containerName: `${'x'.repeat(maxNameLength)}-99999`,
  slot: 99_999,
};

function volumeNameRule(name: string): string | undefined {
  if (name === '') return 'is required';
  if (name.length > 100) return 'must have at most 100 characters';
  const wrong = templateRule(name, volumeTemplates);
  if (wrong !== undefined) return wrong;
  const { length } = expandTemplates(name, longest);
  if (length > maxVolumeName) {
    return `must have at most ${maxVolumeName} characters when its templates are filled in, and may have ${length}`;
  }
  if (namePattern.test(name.replaceAll(/\{\{.*?\}\}/g, 'x'))) return undefined;
  return `must be letters, digits, "_", "." and "-" with a letter or digit first, and is ${quote(name)}`;
}

export function volumeToProto({ containerPath, source, readOnly }: Volume): ProtoVolume {
  return { containerPath, readOnly, source: sourceToProto(source) };
}

function sourceToProto(source: VolumeSource): ProtoVolume['source'] {
  switch (source.kind) {
    case 'anonymous':
      return undefined;
    case 'named':
      return { $case: 'named', value: { name: source.name, external: source.external } };
    case 'bind':
      return { $case: 'bind', value: { path: source.path } };
    case 'tmpfs':
      return { $case: 'tmpfs', value: { sizeBytes: source.sizeBytes, mode: source.mode } };
  }
}

/** Names of services whose volumes are mounted too. */
export function volumesFromFromProto(
  names: readonly string[],
  field: string,
  into: FieldViolation[],
): readonly string[] {
  validateCount(names.length, { max: maxSources, field }, into);
  validateUnique(names, { field, what: 'service' }, into);
  for (const [index, name] of names.entries()) validateName(name, `${field}[${index}]`, into);
  return [...names];
}

/** What a container needs free on its node. */
export function reservationFromProto(
  { cpuMillis, memoryBytes }: ProtoReservation = ProtoReservation.create(),
  field: string,
  into: FieldViolation[],
): Reservation {
  validateRange(cpuMillis, { min: 0, max: 10_000_000, field: `${field}.cpu_millis` }, into);
  validateRange(memoryBytes, { min: 0, max: pebibyte, field: `${field}.memory_bytes` }, into);
  return { cpuMillis, memoryBytes };
}

/** Platforms in Docker's words. */
export function platformsFromProto(
  platforms: readonly string[],
  field: string,
  into: FieldViolation[],
): readonly string[] {
  validateCount(platforms.length, { max: maxPlatforms, field }, into);
  validateUnique(platforms, { field, what: 'platform' }, into);
  for (const [index, platform] of platforms.entries()) {
    if (platform.length <= 64 && platformPattern.test(platform)) continue;
    const rule = `must be an operating system and an architecture like linux/amd64, and is ${quote(platform)}`;
    into.push({ field: `${field}[${index}]`, rule });
  }
  return [...platforms];
}

/** Keys of tags, over whose values containers are spread. */
export function spreadFromProto(
  { spreadOver, strategy }: Pick<ProtoServiceSpec, 'spreadOver' | 'strategy'>,
  field: string,
  into: FieldViolation[],
): readonly string[] {
  validateCount(spreadOver.length, { max: maxSpread, field }, into);
  validateUnique(spreadOver, { field, what: 'key' }, into);
  for (const [index, key] of spreadOver.entries()) {
    if (keyPattern.test(key)) continue;
    const rule = `must be the key of a tag, like "zone" of zone=a: at most 63 letters, digits, "_", "." and "-", with a letter or digit first, and is ${quote(key)}`;
    into.push({ field: `${field}[${index}]`, rule });
  }
  if (spreadOver.length > 0 && strategy === PlacementStrategy.EVERY_NODE) {
    into.push({ field, rule: 'must be empty with the strategy EVERY_NODE' });
  }
  return [...spreadOver];
}
