import type { Volume } from '../../../shared/container-options.ts';

/** The volumes of a container in Docker's create request; those that are not here have no name. */
export interface DockerMountOptions {
  readonly Binds: string[];
  readonly Tmpfs: Record<string, string>;
}

/** Named and bound volumes as Docker's command line asks for them: a directory that lacks is made. */
export function mountOptionsOf(volumes: readonly Volume[]): DockerMountOptions {
  return {
    Binds: volumes.flatMap(({ containerPath, source, readOnly }) => {
      const mode = readOnly ? ':ro' : '';
      if (source.kind === 'named') return [`${source.name}:${containerPath}${mode}`];
      return source.kind === 'bind' ? [`${source.path}:${containerPath}${mode}`] : [];
    }),
    Tmpfs: Object.fromEntries(
      volumes.flatMap((volume) => {
        const options = tmpfsOptions(volume);
        return options === undefined ? [] : [[volume.containerPath, options]];
      }),
    ),
  };
}

/** Volumes that the engine makes anew for each container. */
export function anonymousVolumesOf(volumes: readonly Volume[]): Record<string, object> {
  const own = volumes.filter(({ source }) => source.kind === 'anonymous');
  return Object.fromEntries(own.map(({ containerPath }) => [containerPath, {}]));
}

function tmpfsOptions({ source, readOnly }: Volume): string | undefined {
  if (source.kind !== 'tmpfs') return undefined;
  return [
    ...(readOnly ? ['ro'] : []),
    ...(source.sizeBytes > 0 ? [`size=${source.sizeBytes}`] : []),
    ...(source.mode > 0 ? [`mode=${source.mode.toString(8)}`] : []),
  ].join(',');
}
