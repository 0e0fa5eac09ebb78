import type { ContainerOptions, Volume, VolumeSource } from '../../shared/container-options.ts';
import {
  ContainerOptions as ProtoOptions,
  LogConfig,
  NetworkMode,
  PidMode,
  ResourceLimits,
} from '../../shared/gen/fairlead/v1/container_options.ts';
import type { Volume as ProtoVolume } from '../../shared/gen/fairlead/v1/service.ts';

/** How to run a container, in the agent's words; the coordinator has checked it. */
export function optionsOf(proto: ProtoOptions = ProtoOptions.create()): ContainerOptions {
  return {
    ...proto,
    ulimits: proto.ulimits.map(({ name, soft, hard = soft }) => ({ name, soft, hard })),
    network: proto.network === NetworkMode.HOST ? 'host' : 'bridge',
    pid: proto.pid === PidMode.HOST ? 'host' : 'private',
    log: proto.log ?? LogConfig.create(),
    limits: proto.limits ?? ResourceLimits.create(),
  };
}

/** A volume in the agent's words. */
export function volumeOf({ containerPath, readOnly, source }: ProtoVolume): Volume {
  return { containerPath, readOnly, source: sourceOf(source) };
}

function sourceOf(source: ProtoVolume['source']): VolumeSource {
  switch (source?.$case) {
    case undefined:
      return { kind: 'anonymous' };
    case 'named':
      return { kind: 'named', ...source.value };
    case 'bind':
      return { kind: 'bind', ...source.value };
    case 'tmpfs':
      return { kind: 'tmpfs', ...source.value };
  }
}
