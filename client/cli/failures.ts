import { Status } from 'nice-grpc-common';
import { ActionState } from '../../shared/gen/fairlead/v1/action.ts';
import { FairleadError } from '../fairlead-error.ts';
import { ActionError } from '../wait-for-action.ts';
import { DomainError } from '../../shared/errors.ts';
import { CommandFailure, exitStatus, type ExitStatus } from './exit-status.ts';

/** What anything that was thrown means for the exit status and stderr; a bug shows where it is. */
export function toCommandFailure(error: unknown): CommandFailure {
  if (error instanceof CommandFailure) return error;
  if (error instanceof ActionError) return ofAction(error);
  if (error instanceof FairleadError) return ofCall(error);
  if (error instanceof DomainError) return new CommandFailure(exitStatus.failed, error.message);
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return new CommandFailure(exitStatus.failed, `internal error: ${stack}`);
}

function ofAction({ message, action }: ActionError): CommandFailure {
  // Somebody else had other plans.
  const isConflict = [ActionState.SUPERSEDED, ActionState.CANCELLED].some(
    (s) => s === action.state,
  );
  const hints = [`see: fairlead action inspect ${action.id}`];
  if (action.targetKind === 'service' || action.targetKind === 'container') {
    hints.unshift(`see: fairlead explain ${action.targetName}`);
  }
  return new CommandFailure(isConflict ? exitStatus.conflict : exitStatus.failed, message, hints);
}

function ofCall({ code, message, reason, violations }: FairleadError): CommandFailure {
  const isTold = violations.length > 0 && violations.every(({ rule }) => message.includes(rule));
  const fields = violations.map(({ field, rule }) => `${field} ${rule}`);
  const lines = isTold ? ['the request is wrong:', ...fields] : [message, ...fields];
  const status =
    reason === 'WAIT_TIMED_OUT' ? exitStatus.timedOut : (statuses.get(code) ?? exitStatus.failed);
  return new CommandFailure(status, lines.join('\n'));
}

/** What is not here is a failure like any other. */
const statuses: ReadonlyMap<Status, ExitStatus> = new Map([
  [Status.INVALID_ARGUMENT, exitStatus.usage],
  [Status.NOT_FOUND, exitStatus.notFound],
  [Status.UNAUTHENTICATED, exitStatus.notAllowed],
  [Status.PERMISSION_DENIED, exitStatus.notAllowed],
  [Status.ALREADY_EXISTS, exitStatus.conflict],
  [Status.ABORTED, exitStatus.conflict],
  [Status.FAILED_PRECONDITION, exitStatus.conflict],
  [Status.UNAVAILABLE, exitStatus.unreachable],
  [Status.DEADLINE_EXCEEDED, exitStatus.unreachable],
]);
