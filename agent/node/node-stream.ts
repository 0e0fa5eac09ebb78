import { createClient, type Channel } from 'nice-grpc';
import { abortable, ChildController } from '../../shared/abort.ts';
import { messageOf } from '../../shared/errors.ts';
import {
  AgentServiceDefinition,
  NodeStreamFailureKind,
  type LogsOrder as ProtoLogsOrder,
  type NodeStreamRequest,
  type NodeStreamResponse,
} from '../../shared/gen/fairlead/v1/agent_service.ts';
import { LogStream } from '../../shared/gen/fairlead/v1/log.ts';
import type { ContainerId } from '../../shared/ids.ts';
import { EngineRefusedError, EngineUnreachableError } from './docker/engine.ts';
import { readLog, type LogEngine, type LogNews, type LogsOrder } from './read-log.ts';

export interface NodeStreamDeps {
  readonly engine: LogEngine;
  readonly channel: Channel;
  readonly ticket: string;
  /** Told of each message that the connection took. */
  readonly onSent: () => void;
}

type Order = NodeStreamResponse['message'];
type Report = NonNullable<NodeStreamRequest['message']>;

/**
 * Dials one stream, learns what is to be done, and does it until either side ends it. What is sent is made
 * when the connection can take it, so whoever reads slowly slows the engine down.
 */
export async function serveStream(
  { engine, channel, ticket, onSent }: NodeStreamDeps,
  signal: AbortSignal,
): Promise<void> {
  using life = new ChildController(signal);
  let learn!: (order: Order) => void;
  const learned = new Promise<Order>((resolve) => {
    learn = resolve;
  });
  async function* requests(): AsyncGenerator<NodeStreamRequest> {
    yield { message: { $case: 'hello', value: { ticket } } };
    const order = await abortable(learned, life.signal);
    for await (const message of carryOut(engine, order, life.signal)) {
      yield { message };
      onSent();
    }
  }
  const client = createClient(AgentServiceDefinition, channel);
  for await (const { message } of client.nodeStream(requests(), { signal: life.signal })) {
    learn(message);
  }
}

async function* carryOut(
  engine: LogEngine,
  order: Order,
  signal: AbortSignal,
): AsyncGenerator<Report> {
  try {
    if (order === undefined)
      throw new EngineRefusedError('refused', 'this agent does not know how');
    for await (const news of readLog(engine, logsOrderOf(order.value), signal)) {
      yield reportOf(news);
    }
    yield { $case: 'end', value: {} };
  } catch (error) {
    if (signal.aborted) return;
    yield { $case: 'failure', value: { kind: kindOf(error), message: messageOf(error) } };
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

function reportOf(news: LogNews): Report {
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
      return {
        $case: 'failure',
        value: {
          kind: NodeStreamFailureKind.MISSING,
          message: 'the engine has no such container',
        },
      };
  }
}

const streams = { stdout: LogStream.STDOUT, stderr: LogStream.STDERR } as const;

function kindOf(error: unknown): NodeStreamFailureKind {
  if (error instanceof EngineUnreachableError) return NodeStreamFailureKind.ENGINE_AWAY;
  // A conflict: it is being removed.
  const isMissing = error instanceof EngineRefusedError && error.kind !== 'refused';
  return isMissing ? NodeStreamFailureKind.MISSING : NodeStreamFailureKind.REFUSED;
}
