/**
 * The published client of Fairlead: `connect()`, the whole typed API, and helpers that wait and watch.
 * It needs nothing but gRPC; the CLI and the dashboard use it and nothing else.
 */
export { connect, FairleadClient, type ConnectOptions } from './fairlead-client.ts';
export type { CallExtras, Control } from './connection.ts';
export { FairleadError, type FairleadErrorOptions } from './fairlead-error.ts';
export { ActionError, type WaitOptions } from './wait-for-action.ts';
export type { LogMessage } from './log-reader.ts';
export type { View } from './watch.ts';
export type { Address } from '../shared/rpc/client.ts';
export type { FieldViolation } from '../shared/errors.ts';
export { Status } from 'nice-grpc-common';

export * from '../shared/gen/fairlead/v1/control_service.ts';
export {
  Action,
  ActionState,
  MutationOptions,
  Plan,
  PlanStep,
  PlanStepKind,
  TimelineEntry,
} from '../shared/gen/fairlead/v1/action.ts';
export { Authority, AuthorityState, Trust } from '../shared/gen/fairlead/v1/authority.ts';
export {
  Container,
  ContainerPhase,
  Drain,
  PortBinding,
} from '../shared/gen/fairlead/v1/container.ts';
export {
  ContainerOptions,
  Device,
  ExtraHost,
  LogConfig,
  NetworkMode,
  PidMode,
  ResourceLimits,
  Ulimit,
} from '../shared/gen/fairlead/v1/container_options.ts';
export { Endpoint, EndpointKind, Event } from '../shared/gen/fairlead/v1/event.ts';
export {
  Proxy,
  ProxyHistory,
  ProxyLoading,
  ProxyLoadingKind,
  ProxyServer,
  TargetHealth,
  TargetMode,
} from '../shared/gen/fairlead/v1/load_balancer.ts';
export {
  ExecCommand,
  ExecExit,
  ExecInput,
  ExecOutput,
  TerminalSize,
} from '../shared/gen/fairlead/v1/exec.ts';
export { RolloutStep, RolloutStepState, Wait } from '../shared/gen/fairlead/v1/explanation.ts';
export {
  LogEntry,
  LogPosition,
  LogSource,
  LogSourceState,
  LogStream,
} from '../shared/gen/fairlead/v1/log.ts';
export {
  Availability,
  Node,
  NodeDescription,
  NodeReason,
  NodeState,
} from '../shared/gen/fairlead/v1/node.ts';
export { NodeCluster, NodeClusterState } from '../shared/gen/fairlead/v1/node_cluster.ts';
export {
  ApiRole,
  Autodestroy,
  BindMount,
  CommandCheck,
  GrpcCheck,
  HttpCheck,
  Link,
  Liveness,
  NamedVolume,
  NoCheck,
  PlacementStrategy,
  PortProtocol,
  PortSpec,
  Readiness,
  Reservation,
  RestartPolicy,
  Service,
  ServiceSpec,
  ServiceState,
  TcpCheck,
  TmpfsMount,
  UpdateOrder,
  UpdatePolicy,
  Volume,
} from '../shared/gen/fairlead/v1/service.ts';
export { Certificate, CertificateSource } from '../shared/gen/fairlead/v1/tls.ts';
export { Role, Token } from '../shared/gen/fairlead/v1/token.ts';
