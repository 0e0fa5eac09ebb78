import { abortable } from '../../shared/abort.ts';
import type { Clock } from '../../shared/clock.ts';
import { DomainError, type FieldViolation } from '../../shared/errors.ts';
import type * as proto from '../../shared/gen/fairlead/v1/control_service.ts';
import type { ActionId, NodeId } from '../../shared/ids.ts';
import type { Random } from '../../shared/random.ts';
import { leaseMs, type Dispatcher } from '../dispatcher/dispatcher.ts';
import type { Container } from '../model.ts';
import type { ObservedState } from '../observed/observed-state.ts';
import { beginAction, endAction } from '../orchestrator/actions.ts';
import type { Store } from '../store/store.ts';
import type { ExecCommand, ExecInput, ExecReport } from '../streams/exec-order.ts';
import type { NodeStreams } from '../streams/node-streams.ts';
import type { Call } from './call.ts';
import { commandFromProto, inputFromProto, outputToProto } from './convert-exec.ts';
import type { Lookup } from './lookup.ts';
import { firstRequest } from './first-request.ts';
import { throwIfInvalid } from './validate.ts';

export interface ExecApiDeps {
  readonly store: Store;
  readonly observed: ObservedState;
  readonly dispatcher: Dispatcher;
  readonly streams: NodeStreams;
  readonly lookup: Lookup;
  readonly clock: Clock;
  readonly random: Random;
}

/** Of a command, in the audit. */
const toldWords = 20;
const programForm = /^[\w./+-]{1,256}$/;
/** An option by itself: no letters that follow it are its value. */
const option = /^(-[A-Za-z0-9]|--[a-z][a-z-]{0,40})$/;

/** How a command came to its end. */
type Outcome = { readonly code: number } | { readonly failure: string };

/** The API's method that runs commands inside of containers. */
export class ExecApi {
  readonly #deps: ExecApiDeps;

  constructor(deps: ExecApiDeps) {
    this.#deps = deps;
  }

  async *execContainer(
    requests: AsyncIterable<proto.ExecContainerRequest>,
    call: Call,
  ): AsyncGenerator<proto.ExecContainerResponse> {
    const iterator = requests[Symbol.asyncIterator]();
    const { container: name, command } = await startOf(iterator, this.#deps, call.signal);
    const { container } = this.#deps.lookup.container(call, name);
    const nodeId = this.#requireRunning(container);
    const actionId = this.#begin(call, container, command);
    let outcome: Outcome | undefined;
    const { signal } = call;
    try {
      const order = { containerId: container.id, command };
      using stream = await this.#deps.streams
        .of(call.principal.id)
        .open(nodeId, { kind: 'exec', order, inputs: inputsOf(iterator) }, signal);
      for (;;) {
        const report = await nextOf(stream.reports, signal);
        if (report.kind === 'started') yield startedOf(actionId, container);
        else if (report.kind === 'exit') {
          outcome = { code: report.code };
          yield { message: { $case: 'output', value: outputToProto(report) } };
          return;
        } else yield { message: { $case: 'output', value: outputToProto(report) } };
      }
    } catch (error) {
      if (error instanceof DomainError) outcome = { failure: error.message };
      throw error;
    } finally {
      this.#end(actionId, outcome ?? this.#cut(call));
    }
  }

  /** Why it was ended before its end. */
  #cut({ principal }: Call): Outcome {
    const isRevoked = this.#deps.store.tokens.get(principal.id) === undefined;
    return {
      failure: isRevoked
        ? 'its token was revoked'
        : 'the caller went away, or the coordinator stopped',
    };
  }

  #requireRunning({ id, name, nodeId }: Container): NodeId {
    const { observed, dispatcher } = this.#deps;
    const phase = observed.container(id)?.phase ?? 'pending';
    if (nodeId === null || phase !== 'running') {
      throw new DomainError('precondition', `${name} is ${phase}: nothing can run inside of it`, {
        reason: 'CONTAINER_NOT_RUNNING',
      });
    }
    dispatcher.requireConnected(nodeId);
    return nodeId;
  }

  /** Written down before anything is done: what cannot be told is not done. */
  #begin({ principal, peer }: Call, { id, name }: Container, { command }: ExecCommand): ActionId {
    const { store, random } = this.#deps;
    return store.transact((tx) => {
      const action = beginAction(tx, {
        id: random.id() as ActionId,
        ...{ method: 'ExecContainer', targetKind: 'container', targetId: id, targetName: name },
        ...{ serviceId: null, lasts: true, requestId: '' },
        caller: { principal: principal.name, peer },
      });
      const message = `runs ${told(command)}`;
      tx.actions.put({ ...action, timeline: [{ timeMs: tx.nowMs, container: name, message }] });
      tx.event({
        ...{ type: 'container.exec', objectId: id, objectName: name, actionId: action.id },
        message: `ExecContainer by ${principal.name}`,
      });
      return action.id;
    });
  }

  #end(id: ActionId, outcome: Outcome): void {
    this.#deps.store.transact((tx) => {
      const action = tx.actions.get(id);
      if (action === undefined) return;
      if ('failure' in outcome) endAction(tx, action, 'failed', outcome.failure);
      else endAction(tx, action, 'succeeded', `exit status ${outcome.code}`);
    });
  }
}

async function startOf(
  iterator: AsyncIterator<proto.ExecContainerRequest>,
  { clock }: { readonly clock: Clock },
  signal: AbortSignal,
): Promise<{ readonly container: string; readonly command: ExecCommand }> {
  const first = await firstRequest(iterator, { clock, leaseMs }, signal);
  signal.throwIfAborted();
  const message = first?.message;
  const violations: FieldViolation[] = [];
  if (message?.$case !== 'start') {
    violations.push({ field: 'start', rule: 'must be the first message' });
  }
  const { container = '', command } = message?.$case === 'start' ? message.value : {};
  const read = commandFromProto(command, violations);
  throwIfInvalid(violations);
  return { container, command: read };
}

/** What the caller sends; that it sends no more is the end of the input. */
async function* inputsOf(
  iterator: AsyncIterator<proto.ExecContainerRequest>,
): AsyncGenerator<ExecInput> {
  for (;;) {
    const next = await iterator.next();
    if (next.done === true) {
      yield { kind: 'stdin-end' };
      return;
    }
    const { message } = next.value;
    const input = message?.$case === 'input' ? inputFromProto(message.value) : undefined;
    if (input !== undefined) yield input;
  }
}

async function nextOf(
  reports: AsyncIterator<unknown>,
  signal: AbortSignal,
): Promise<Exclude<ExecReport, { kind: 'failure' }>> {
  let next: IteratorResult<unknown>;
  try {
    next = await abortable(reports.next(), signal);
  } catch (error) {
    signal.throwIfAborted();
    throw lost(error);
  }
  if (next.done === true) throw lost(undefined);
  const report = next.value as ExecReport;
  if (report.kind !== 'failure') return report;
  if (report.failure === 'engine-away') throw lost(undefined, report.message);
  throw new DomainError('precondition', report.message, { reason: 'EXEC_REFUSED' });
}

function startedOf(actionId: ActionId, { id }: Container): proto.ExecContainerResponse {
  return { message: { $case: 'started', value: { action: actionId, containerId: id } } };
}

/** A command as the audit has it: its program and options. Any other word may be a secret, or hold one. */
function told([program = '', ...words]: readonly string[]): string {
  const shown = words.slice(0, toldWords).map((word) => (option.test(word) ? word : '…'));
  const rest = words.length > toldWords ? ['…'] : [];
  const name = programForm.test(program) ? program : '…';
  return [name, ...shown, ...rest].join(' ');
}

function lost(
  cause: unknown,
  why = 'the connection to the node broke while the command ran; the node ends it',
): DomainError {
  return new DomainError('unavailable', why, { reason: 'NODE_LOST', cause });
}
