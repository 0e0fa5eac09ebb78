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
