import { DomainError } from '../../shared/errors.ts';

/** The agent of a node is away. */
export function notConnected(node: string): DomainError {
  return new DomainError(
    'precondition',
    `the agent of ${node} is not connected; try again when the node is ready`,
    { reason: 'NODE_NOT_CONNECTED' },
  );
}

/** The agent of a node never said that it can do this. */
export function tooOld(node: string, verb: string): DomainError {
  return new DomainError(
    'precondition',
    `the agent of ${node} is older than this coordinator and does not know "${verb}"; install the newer one there`,
    { reason: 'AGENT_TOO_OLD' },
  );
}

/** Two hosts speak with one identity, as of a disk that was cloned: both are named. */
export function identityShared(holder: string, other: string): DomainError {
  return new DomainError(
    'conflict',
    `another host, ${holder}, speaks with this node's identity; if the disk of this host, ${other}, is a copy of that one's, stop the agent here, move its state directory away and let it join as a node of its own`,
    { reason: 'IDENTITY_SHARED' },
  );
}
