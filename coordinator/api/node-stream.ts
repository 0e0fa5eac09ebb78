import type { CallContext } from 'nice-grpc';
import { abortable, ChildController, onAbort } from '../../shared/abort.ts';
import type { Clock } from '../../shared/clock.ts';
import { DomainError } from '../../shared/errors.ts';
import {
  NodeStreamFailureKind,
  type LogCaughtUp,
  type NodeStreamRequest,
  type NodeStreamResponse,
} from '../../shared/gen/fairlead/v1/agent_service.ts';
import type { ExecOutput } from '../../shared/gen/fairlead/v1/exec.ts';
import { LogStream } from '../../shared/gen/fairlead/v1/log.ts';
import type { LogPosition } from '../../shared/log-place.ts';
import { leaseMs } from '../dispatcher/dispatcher.ts';
import type { ExecInput, ExecReport } from '../streams/exec-order.ts';
import type { LogsOrder } from '../streams/log-line.ts';
import type { NodeStreams, StreamOrder, StreamReport } from '../streams/node-streams.ts';
import type { Store } from '../store/store.ts';
import type { Authenticator } from './authentication.ts';
import { dateOf } from './convert.ts';
import { execOrderToProto, inputToProto } from './convert-exec.ts';
import type { PrincipalContext } from './gate.ts';
import { firstRequest } from './first-request.ts';

export interface NodeStreamDeps {
  readonly store: Store;
  readonly authenticator: Authenticator;
  readonly streams: NodeStreams;
  readonly clock: Clock;
}

/**
 * The coordinator's side of a stream that it asked a node for: tells what is to be done, and hands what
 * comes to whoever waits for it. Nothing is read before that one asks, so a slow reader slows the node down.
 */
export async function* nodeStream(
  { store, authenticator, streams, clock }: NodeStreamDeps,
  requests: AsyncIterable<NodeStreamRequest>,
  { principal, signal }: CallContext & PrincipalContext,
): AsyncGenerator<NodeStreamResponse> {
  if (principal.kind !== 'node') {
    throw new Error(`the table of who may call what lets ${principal.kind} in`);
  }
  const iterator = requests[Symbol.asyncIterator]();
  const ticket = ticketIn(await firstRequest(iterator, { clock, leaseMs }, signal));
  using life = new ChildController(signal);
  using _removal = store.subscribe((changes) => {
    const isGone = changes.some(({ id }) => id === principal.id) && !store.nodes.get(principal.id);
    if (isGone) life.abort();
  });
  void authenticator.untilExpired(principal.certificate, life.signal).then(() => {
    life.abort();
  });
  const order = streams.take(principal.id, ticket, {
    reports: reportsOf(iterator),
    close: () => {
      life.abort();
    },
  });
  yield orderToProto(order);
  if (order.kind === 'exec') yield* inputsFor(order.inputs, life.signal);
  await new Promise<void>((resolve) => {
    onAbort(life.signal, resolve);
  });
}

/** Hands on what a command is sent, until either side has enough. */
async function* inputsFor(
  inputs: AsyncIterator<ExecInput>,
  signal: AbortSignal,
): AsyncGenerator<NodeStreamResponse> {
  try {
    for (;;) {
      const next = await abortable(inputs.next(), signal);
      if (next.done === true) return;
      yield { message: { $case: 'execInput', value: inputToProto(next.value) } };
    }
  } catch {
    // The caller went away, or the command ended: whoever waits for its output sees to it.
  }
}

function ticketIn(first: NodeStreamRequest | undefined): string {
  const message = first?.message;
  if (message?.$case === 'hello') return message.value.ticket;
  throw new DomainError('precondition', 'the first message of a stream must be a hello', {
    reason: 'HELLO_EXPECTED',
  });
}

async function* reportsOf(
  iterator: AsyncIterator<NodeStreamRequest>,
): AsyncGenerator<StreamReport> {
  for (;;) {
    const next = await iterator.next();
    if (next.done === true) return;
    const report = reportFromProto(next.value);
    if (report !== undefined) yield report;
  }
}

/** Undefined for what this version does not know. */
function reportFromProto({ message }: NodeStreamRequest): StreamReport | undefined {
  switch (message?.$case) {
    case 'lines': {
      const lines = message.value.lines.map(({ stream, ...line }) => ({
        ...line,
        stream: stream === LogStream.STDERR ? ('stderr' as const) : ('stdout' as const),
      }));
      return { kind: 'lines', lines };
    }
    case 'caughtUp':
      return { kind: 'caught-up', position: positionOf(message.value) };
    case 'end':
      return { kind: 'end' };
    case 'failure':
      return {
        kind: 'failure',
        failure: failures.get(message.value.kind) ?? 'refused',
        message: message.value.message,
      };
    case 'execStart':
      return { kind: 'started' };
    case 'execOutput':
      return outputFromProto(message.value);
    case 'hello':
    case undefined:
      return undefined;
  }
}

function positionOf({ position }: LogCaughtUp): LogPosition {
  return { time: position?.time ?? '', lines: position?.lines ?? 0 };
}

function outputFromProto({ output }: ExecOutput): ExecReport | undefined {
  switch (output?.$case) {
    case 'stdout':
    case 'stderr':
      return { kind: output.$case, data: output.value };
    case 'exit':
      return { kind: 'exit', code: output.value.code };
    case undefined:
      return undefined;
  }
}

const failures = new Map<NodeStreamFailureKind, 'engine-away' | 'missing'>([
  [NodeStreamFailureKind.ENGINE_AWAY, 'engine-away'],
  [NodeStreamFailureKind.MISSING, 'missing'],
]);

function orderToProto(asked: StreamOrder): NodeStreamResponse {
  return asked.kind === 'logs'
    ? logsOrderToProto(asked.order)
    : { message: { $case: 'exec', value: execOrderToProto(asked.order) } };
}

function logsOrderToProto(order: LogsOrder): NodeStreamResponse {
  const { containerId, follow, tail, sinceMs, untilMs, after } = order;
  return {
    message: {
      $case: 'logs',
      value: {
        containerId,
        follow,
        since: dateOf(sinceMs),
        until: dateOf(untilMs),
        after: after === null ? undefined : { ...after, containerId },
        ...(tail !== null && { tail }),
      },
    },
  };
}
