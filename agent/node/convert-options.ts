import type { ContainerOptions } from '../../shared/container-options.ts';
import {
  ContainerOptions as ProtoOptions,
  LogConfig,
  NetworkMode,
  PidMode,
  ResourceLimits,
} from '../../shared/gen/fairlead/v1/container_options.ts';

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
