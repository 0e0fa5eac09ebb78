import type { ContainerId } from '../../shared/ids.ts';
import type { NodeDescription, Observed, ShownCertificate } from '../model.ts';
import type { ReportedContainer } from '../observed/observed-state.ts';

/** Whether the node's engine answers, and what is wrong if it does not. */
export interface EngineReport {
  readonly reachable: boolean;
  readonly message: string;
}

/** What an agent says first. */
export interface NodeHello {
  /** What the agent can do beyond the first version. */
  readonly verbs: readonly string[];
  readonly bootId: string;
  readonly sequence: number;
  readonly description: NodeDescription;
  readonly advertiseAddress: string;
  readonly publicAddress: string;
  readonly engine: EngineReport;
  readonly inventory: readonly InventoryEntry[];
  /** The host's time; null from an agent that does not tell. */
  readonly clockMs: number | null;
  readonly certificate: ShownCertificate;
}

/** One of the engine containers that are the node's. */
export interface InventoryEntry {
  readonly containerId: ContainerId;
  readonly name: string;
  readonly reported: ReportedContainer;
}

/** What a container is whose engine container is not among those of its node; null: as it was. */
export function whenMissing(before: Observed): ReportedContainer | null {
  if (before.phase !== 'running' && before.phase !== 'starting') return null;
  return {
    ...before,
    phase: 'starting',
    ready: false,
    ports: [],
    engineId: '',
    message: 'its engine container is gone; it is made again',
  };
}
