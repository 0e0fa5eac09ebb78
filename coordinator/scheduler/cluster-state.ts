import type { NodeCluster } from '../model.ts';

export type NodeClusterState = 'empty' | 'waiting' | 'complete';

/** How far a node cluster is, and what it waits for in words; empty if it waits for nothing. */
export function clusterState(
  { targetNodes }: Pick<NodeCluster, 'targetNodes'>,
  members: number,
): { readonly state: NodeClusterState; readonly message: string } {
  const missing = targetNodes - members;
  const message =
    missing > 0
      ? `waiting for ${hosts(missing)}`
      : targetNodes > 0 && missing < 0
        ? `${hosts(-missing)} than its target`
        : '';
  if (members === 0) return { state: 'empty', message };
  return { state: missing > 0 ? 'waiting' : 'complete', message };
}

function hosts(count: number): string {
  return count === 1 ? '1 more host' : `${count} more hosts`;
}
