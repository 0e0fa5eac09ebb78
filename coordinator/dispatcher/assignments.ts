import type { ContainerId } from '../../shared/ids.ts';
import type { Container, ContainerDefinition, Observed } from '../model.ts';

/** The wanted state of one container on one node. */
export interface Assignment {
  readonly containerId: ContainerId;
  readonly wanted: 'running' | 'stopped' | 'removed';
  readonly container: Container;
  readonly definition: ContainerDefinition;
  /** It awaits its drain to be restarted, and no load balancer uses it any more. */
  readonly drained: boolean;
}

/**
 * What a node is to do with a container; null: nothing.
 *
 * A container that ended is not started again: it is one attempt, and its successor is another container.
 * While it drains it runs on.
 */
export function assignmentOf(
  container: Container,
  observed: Observed | undefined,
  isDrained: (container: Container) => boolean,
): Assignment | null {
  const { id: containerId, definition, nodeId } = container;
  if (definition === null || nodeId === null) return null;
  switch (container.wanted) {
    case 'running':
    case 'draining':
      if (hasEnded(observed)) return null;
      return {
        ...{ containerId, wanted: 'running', container, definition },
        drained: observed?.awaitsDrain === true && isDrained(container),
      };
    case 'stopped':
      return { containerId, wanted: 'stopped', container, definition, drained: false };
    case 'removed':
      return { containerId, wanted: 'removed', container, definition, drained: false };
  }
}

function hasEnded(observed: Observed | undefined): boolean {
  switch (observed?.phase) {
    case 'stopped':
    case 'failed':
    case 'removed':
      return true;
    case 'pulling':
    case 'starting':
    case 'running':
    case 'stopping':
    case undefined:
      return false;
  }
}
