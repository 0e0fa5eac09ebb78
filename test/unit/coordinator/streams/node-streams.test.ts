import { expect, test } from 'vitest';
import { NodeStreams, type DialledStream } from '../../../../coordinator/streams/node-streams.ts';
import type { LogsOrder } from '../../../../coordinator/streams/log-line.ts';
import { nodeId } from '../../../support/builders.ts';
import { FakeClock } from '../../../support/fake-clock.ts';

const { signal } = new AbortController();
const node = nodeId('node-1');
const order = { kind: 'logs', order: {} as LogsOrder } as const;

/** Streams to a node whose agent comes at once. */
function start() {
  let tickets = 0;
  const closed: string[] = [];
  const nothing: DialledStream = {
    reports: { next: () => Promise.resolve({ done: true, value: undefined }) },
    close: () => undefined,
  };
  const streams: NodeStreams = new NodeStreams({
    dispatcher: {
      offerStream: (_node, _verb, ticket) => {
        queueMicrotask(() => streams.take(node, ticket, nothing));
      },
      closeStream: (_node, ticket) => {
        closed.push(ticket);
      },
    },
    clock: new FakeClock(),
    random: { fraction: () => 0, id: () => '', secret: () => `ticket-${++tickets}` },
  });
  return { streams, closed };
}

test('the agent is told that nobody wants a stream any more', async () => {
  const { streams, closed } = start();
  const stream = await streams.of('a').open(node, order, signal);
  expect(closed).toEqual([]);
  stream[Symbol.dispose]();
  expect(closed).toEqual(['ticket-1']);
});

test('one caller takes half of the streams at most, and all callers what there is', async () => {
  const { streams } = start();
  const open = (caller: string) => streams.of(caller).open(node, order, signal);
  const [first] = await Promise.all(Array.from({ length: 512 }, () => open('a')));
  await expect(open('a')).rejects.toMatchObject({
    ...{ kind: 'exhausted', reason: 'TOO_MANY_STREAMS' },
    message: expect.stringContaining('512 streams of this token are open already') as string,
  });
  await Promise.all(Array.from({ length: 512 }, () => open('b')));
  await expect(open('c')).rejects.toThrow('1024 streams are open already');
  first?.[Symbol.dispose]();
  await expect(open('c')).resolves.toBeDefined();
});
