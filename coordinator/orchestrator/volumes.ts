import type { Volume } from '../../shared/container-options.ts';
import type { Service } from '../model.ts';
import { expandTemplates } from './templates.ts';

/** A container's place within its service, as far as names of volumes depend on it. */
export interface VolumePlace {
  readonly slot: number;
  /** The service of a name; undefined if there is none any more. */
  readonly serviceNamed: (name: string) => Service | undefined;
}

/**
 * The volumes of a container: its service's own, then those of the services that it has volumes from, each
 * path once, with the templates in their names filled in.
 */
export function volumesOf(service: Service, { slot, serviceNamed }: VolumePlace): Volume[] {
  const { volumes, volumesFrom } = service.spec;
  const sources = volumesFrom.flatMap((name) => serviceNamed(name) ?? []);
  const all = [
    ...volumes.map((volume) => named(volume, service, slot)),
    ...sources.flatMap((source) =>
      source.spec.volumes
        .filter(({ source: { kind } }) => kind === 'named' || kind === 'bind')
        .map((volume) => named(volume, source, slot)),
    ),
  ];
  const byPath = new Map<string, Volume>();
  for (const volume of all) {
    if (!byPath.has(volume.containerPath)) byPath.set(volume.containerPath, volume);
  }
  return [...byPath.values()];
}

function named(volume: Volume, { id, name }: Service, slot: number): Volume {
  const { source } = volume;
  if (source.kind !== 'named') return volume;
  const values = { serviceId: id, serviceName: name, containerName: `${name}-${slot}`, slot };
  return { ...volume, source: { ...source, name: expandTemplates(source.name, values) } };
}

/** Whether what containers of the service write would be written to by two of them at a time. */
export function writesVolumes({ spec }: Service): boolean {
  return spec.volumesFrom.length > 0 || areWritten(spec.volumes);
}

/** Whether two containers that have these volumes would write to the same one. */
export function areWritten(volumes: readonly Volume[]): boolean {
  return volumes.some(
    ({ source, readOnly }) => !readOnly && (source.kind === 'named' || source.kind === 'bind'),
  );
}
