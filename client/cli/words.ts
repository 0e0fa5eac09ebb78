import { ActionState, PlanStepKind } from '../../shared/gen/fairlead/v1/action.ts';
import { AuthorityState } from '../../shared/gen/fairlead/v1/authority.ts';
import { ContainerPhase } from '../../shared/gen/fairlead/v1/container.ts';
import {
  ProxyLoadingKind,
  TargetHealth,
  TargetMode,
} from '../../shared/gen/fairlead/v1/load_balancer.ts';
import { Availability, NodeState } from '../../shared/gen/fairlead/v1/node.ts';
import { NodeClusterState } from '../../shared/gen/fairlead/v1/node_cluster.ts';
import { PortProtocol, RolloutState, ServiceState } from '../../shared/gen/fairlead/v1/service.ts';
import { Role } from '../../shared/gen/fairlead/v1/token.ts';
import type { Tone, TonedCell } from './table.ts';

type Numbered = Readonly<Record<string, number>>;

/** Makes `PARTLY_RUNNING` of the contract `partly running`; a newer coordinator's values stay numbers. */
function wordsFor(values: Numbered): (value: number) => string {
  const words = new Map(
    Object.entries(values).map(([name, value]) => [
      value,
      value === 0 ? '' : name.toLowerCase().replaceAll('_', ' '),
    ]),
  );
  return (value) => words.get(value) ?? `unknown (${value})`;
}

export const actionStateWords = wordsFor(ActionState);
export const authorityStateWords = wordsFor(AuthorityState);
export const containerPhaseWords = wordsFor(ContainerPhase);
export const nodeStateWords = wordsFor(NodeState);
export const nodeClusterStateWords = wordsFor(NodeClusterState);
export const availabilityWords = wordsFor(Availability);
export const rolloutStateWords = wordsFor(RolloutState);
export const serviceStateWords = wordsFor(ServiceState);
export const roleWords = wordsFor(Role);
export const targetModeWords = wordsFor(TargetMode);
export const proxyLoadingWords = wordsFor(ProxyLoadingKind);
export const targetHealthWords = wordsFor(TargetHealth);
export const planStepWords = wordsFor(PlanStepKind);

/** `tcp` or `udp`; a port without a protocol is TCP. */
export function protocolWords(protocol: PortProtocol): string {
  return protocol === PortProtocol.UDP ? 'udp' : 'tcp';
}

const tones: Readonly<Record<string, Tone>> = {
  running: 'good',
  ready: 'good',
  succeeded: 'good',
  complete: 'good',
  signing: 'good',
  up: 'good',
  active: 'good',
  drained: 'good',
  failed: 'bad',
  down: 'bad',
  unreachable: 'bad',
  'engine away': 'bad',
  'partly running': 'bad',
  superseded: 'bad',
  cancelled: 'bad',
  unplaceable: 'bad',
  stopped: 'dim',
  removed: 'dim',
  empty: 'dim',
  'not running': 'dim',
};

/** A state as a cell; what is on its way, or not known yet, is in between. */
export function stateCell(words: string): TonedCell {
  return { text: words, tone: tones[words] ?? 'busy' };
}
