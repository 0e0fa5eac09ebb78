import type { NodeIdentity } from '../support/simulated-node.ts';

/** What the benchmark tells a process of its crowd. `first`: the number of its first member among all. */
export type CrowdOrder =
  /** Members of the crowd, by certificates that somebody else made. */
  | { readonly kind: 'take'; readonly first: number; readonly identities: readonly NodeIdentity[] }
  /** Members of the crowd, as any host joins, so many at a time. */
  | {
      readonly kind: 'join';
      readonly coordinator: string;
      readonly token: string;
      readonly first: number;
      readonly count: number;
      readonly atOnce: number;
    }
  /**
   * Members open their sessions, so many at a time, until `total` have; from then on they dial again whenever
   * they must.
   */
  | {
      readonly kind: 'open';
      readonly coordinator: string;
      readonly total: number;
      readonly atOnce: number;
    }
  /** From now on every member is to be welcomed once more. */
  | { readonly kind: 'await-return' }
  /** Every member hangs up, dials again and is welcomed. */
  | { readonly kind: 'redial' }
  /** Nothing but to say what has changed. */
  | { readonly kind: 'count' };

/** What a process of the crowd answers to each order, once it is carried out. */
export interface CrowdAnswer {
  /** Containers that were started or stopped since the return was awaited last. */
  readonly changes: number;
  /** Why it could not be carried out; empty if it could. */
  readonly failure: string;
}
