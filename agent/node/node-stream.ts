import { createClient, type Channel } from 'nice-grpc';
import { abortable, ChildController } from '../../shared/abort.ts';
import { messageOf } from '../../shared/errors.ts';
import {
  AgentServiceDefinition,
  NodeStreamFailureKind,
  type ExecOrder as ProtoExecOrder,
  type LogsOrder as ProtoLogsOrder,
  type NodeStreamRequest,
  type NodeStreamResponse,
} from '../../shared/gen/fairlead/v1/agent_service.ts';
import { ExecCommand, type ExecOutput } from '../../shared/gen/fairlead/v1/exec.ts';
import { LogStream } from '../../shared/gen/fairlead/v1/log.ts';
import type { ContainerId } from '../../shared/ids.ts';
import type { Random } from '../../shared/random.ts';
import { EngineRefusedError, EngineUnreachableError } from './docker/engine.ts';
import { Handover } from './handover.ts';
import { readLog, type LogEngine, type LogNews, type LogsOrder } from './read-log.ts';
import { runExec, type ExecEngine, type ExecInput, type ExecNews } from './run-exec.ts';

export interface NodeStreamDeps {
  readonly engine: LogEngine & ExecEngine;
  readonly random: Random;
  readonly channel: Channel;
  readonly ticket: string;
  /** Told of each message that the connection took. */
  readonly onSent: () => void;
}

type Answer = NonNullable<NodeStreamResponse['message']>;
type Report = NonNullable<NodeStreamRequest['message']>;

/**
 * Dials one stream, learns what is to be done, and does it until either side ends it. What is sent is made
 * when the connection can take it, so whoever reads slowly slows the engine down; and the other way.
 */
export async function serveStream(deps: NodeStreamDeps, signal: AbortSignal): Promise<void> {
  const { channel, ticket, onSent } = deps;
  using life = new ChildController(signal);
  const answers = new Handover<Answer>();
  let isDone!: () => void;
  const done = new Promise<void>((resolve) => {
    isDone = resolve;
  });
  let hasBegun = false;
  async function* requests(): AsyncGenerator<NodeStreamRequest> {
    hasBegun = true;
    try {
      yield { message: { $case: 'hello', value: { ticket } } };
      for await (const message of carryOut(deps, answers, life.signal)) {
        yield { message };
        onSent();
      }
    } finally {
      answers.close();
      isDone();
    }
  }
  const client = createClient(AgentServiceDefinition, channel);
  try {
    for await (const { message } of client.nodeStream(requests(), { signal: life.signal })) {
      if (message !== undefined) await answers.give(message);
    }
  } finally {
    life.abort();
    answers.close();
    // What was begun is ended before the stream counts as ended.
    if (hasBegun) await done;
  }
}

async function* carryOut(
  deps: NodeStreamDeps,
  answers: AsyncIterable<Answer>,
  signal: AbortSignal,
): AsyncGenerator<Report> {
  try {
    yield* follow(deps, answers[Symbol.asyncIterator](), signal);
  } catch (error) {
    if (signal.aborted) return;
    yield { $case: 'failure', value: { kind: kindOf(error), message: messageOf(error) } };
  }
}

async function* follow(
  { engine, random }: NodeStreamDeps,
  answers: AsyncIterator<Answer>,
  signal: AbortSignal,
): AsyncGenerator<Report> {
  const first = await abortable(answers.next(), signal);
  const order = first.done === true ? undefined : first.value;
  switch (order?.$case) {
    case 'logs':
      for await (const news of readLog(engine, logsOrderOf(order.value), signal)) {
        yield reportOfLog(news);
      }
      yield { $case: 'end', value: {} };
      return;
    case 'exec': {
      const wish = { ...execOrderOf(order.value), mark: random.id() };
      for await (const news of runExec(engine, wish, inputsOf(answers), signal)) {
        yield reportOfExec(news);
      }
      return;
    }
    case 'execInput':
    case undefined:
      throw new EngineRefusedError('refused', 'this agent does not know how to do that');
  }
}

function logsOrderOf(order: ProtoLogsOrder): LogsOrder {
  return {
    containerId: order.containerId as ContainerId,
    follow: order.follow,
    tail: order.tail,
    sinceMs: order.since?.getTime(),
    untilMs: order.until?.getTime(),
    after: order.after,
  };
}

function execOrderOf({ containerId, command }: ProtoExecOrder) {
  return {
    containerId: containerId as ContainerId,
    command: command ?? ExecCommand.create(),
  };
}

async function* inputsOf(answers: AsyncIterator<Answer>): AsyncGenerator<ExecInput> {
  for (;;) {
    const next = await answers.next();
    if (next.done === true) return;
    const { $case, value } = next.value;
    const input = $case === 'execInput' ? value.input : undefined;
    switch (input?.$case) {
      case 'stdin':
        yield { kind: 'stdin', data: input.value };
        break;
      case 'stdinEnd':
        yield { kind: 'stdin-end' };
        break;
      case 'resize':
        yield { kind: 'resize', size: input.value };
        break;
      case 'signal':
        yield { kind: 'signal', name: input.value };
        break;
      case undefined:
        break;
    }
  }
}

function reportOfLog(news: LogNews): Report {
  switch (news.kind) {
    case 'lines':
      return {
        $case: 'lines',
        value: {
          lines: news.lines.map(({ stream, ...line }) => ({ ...line, stream: streams[stream] })),
        },
      };
    case 'caught-up':
      return { $case: 'caughtUp', value: { position: { ...news.position, containerId: '' } } };
    case 'missing':
      return missing;
  }
}

function reportOfExec(news: ExecNews): Report {
  const tell = (output: ExecOutput['output']): Report => ({
    $case: 'execOutput',
    value: { output },
  });
  switch (news.kind) {
    case 'started':
      return { $case: 'execStart', value: {} };
    case 'stdout':
    case 'stderr':
      return tell({ $case: news.kind, value: news.data });
    case 'exit':
      return tell({ $case: 'exit', value: { code: news.code } });
    case 'missing':
      return missing;
  }
}

const missing: Report = {
  $case: 'failure',
  value: { kind: NodeStreamFailureKind.MISSING, message: 'the engine has no such container' },
};

const streams = { stdout: LogStream.STDOUT, stderr: LogStream.STDERR } as const;

function kindOf(error: unknown): NodeStreamFailureKind {
  if (error instanceof EngineUnreachableError) return NodeStreamFailureKind.ENGINE_AWAY;
  // A conflict: it is being removed.
  const isMissing = error instanceof EngineRefusedError && error.kind !== 'refused';
  return isMissing ? NodeStreamFailureKind.MISSING : NodeStreamFailureKind.REFUSED;
}
