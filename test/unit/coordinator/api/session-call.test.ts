import { constants } from 'node:http2';
import { Metadata, status, type ServerInterceptingCallInterface } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { SessionGate } from '../../../../coordinator/api/gate.ts';
import { Leases } from '../../../../coordinator/api/leases.ts';
import { SessionCalls } from '../../../../coordinator/api/session-calls.ts';
import { SessionTurns } from '../../../../coordinator/api/session-turns.ts';
import type {
  SessionLine,
  SessionMessage,
  SessionMethod,
} from '../../../../coordinator/api/session.ts';
import { DomainError } from '../../../../shared/errors.ts';
import { nodeId } from '../../../support/builders.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { FakeCrowd } from './fake-crowd.ts';
import { collectLog } from '../../../integration/coordinator/tiny-control.ts';

const path = '/fairlead.v1.AgentService/NodeSession';
const leaseMs = 3_000;

type CallListener = Parameters<ServerInterceptingCallInterface['start']>[0];

/** A call of grpc-js, its peer, and what is said on it. */
class FakeCall {
  readonly said: unknown[] = [];
  /** Status and words that it ended with. */
  end: { readonly code: unknown; readonly details: unknown; readonly reason: unknown } | undefined;
  /** Messages that were asked for and not given. */
  reads = 0;
  #listener: CallListener | undefined;
  #taken: (() => void)[] = [];
  /** Whether it takes what is said at once. */
  takes = true;
  /** How its stream was reset, if it was. */
  resetWith: number | undefined;
  /** What grpc-js has it on. */
  readonly stream = {
    close: (code: number) => {
      this.resetWith = code;
    },
    once: () => undefined,
  };

  /** Has it answered, from its metadata on. */
  open(calls: SessionCalls): this {
    calls.take(path, this as unknown as ServerInterceptingCallInterface);
    return this;
  }

  start(listener: CallListener): void {
    this.#listener = listener;
    listener.onReceiveMetadata(new Metadata());
  }

  startRead(): void {
    this.reads++;
  }

  sendMessage({ message }: SessionMessage, taken: () => void): void {
    this.said.push(message);
    this.#taken.push(taken);
    if (this.takes)
      queueMicrotask(() => {
        this.takeAll();
      });
  }

  sendStatus({
    code,
    details,
    metadata,
  }: Parameters<ServerInterceptingCallInterface['sendStatus']>[0]): void {
    this.end = { code, details, reason: metadata?.get('error-reason')[0] };
  }

  getPeer(): string {
    return '192.0.2.1:40000';
  }

  getAuthContext() {
    return {};
  }

  /** The peer takes what is on the way. */
  takeAll(): void {
    for (const taken of this.#taken.splice(0)) taken();
  }

  /** The peer says something. */
  say(message: unknown): void {
    this.reads--;
    this.#listener?.onReceiveMessage({ message });
  }

  halfClose(): void {
    this.#listener?.onReceiveHalfClose();
  }

  leave(): void {
    this.#listener?.onCancel();
  }
}

let clock: FakeClock;
let leases: Leases;
let stop: AbortController;
let running: Promise<void>;
let calls: SessionCalls;
let collected: ReturnType<typeof collectLog>;
/** What is still to be said, by who said hello. */
let news: Map<string, unknown[]>;
let lines: Map<string, SessionLine>;
let heard: unknown[];
let over: string[];
let heartbeatMs: number;
let turns: SessionTurns | undefined;
let endToken: ((error: DomainError) => void) | undefined;
let admit: SessionGate['admit'];

beforeEach(() => {
  clock = new FakeClock();
  leases = new Leases({ connections: { of: () => undefined }, clock });
  stop = new AbortController();
  running = leases.run(stop.signal);
  collected = collectLog();
  news = new Map();
  lines = new Map();
  heard = [];
  over = [];
  heartbeatMs = 0;
  turns = undefined;
  endToken = undefined;
  const certificate = { uri: '', validToMs: clock.now() + 3_600_000, authority: '' };
  admit = (_caller, record) => {
    record.principal = 'node-1';
    return { kind: 'node', id: nodeId('node-1'), name: 'node-1', certificate };
  };
  calls = new SessionCalls(
    {
      ...{ leases, leaseMs, clock, log: collected.log },
      signers: { signerOf: () => null, remembered: () => null },
      gate: {
        admit: (...args) => admit(...args),
        follow: (_principal, end) => {
          endToken = end;
          return null;
        },
      },
      methods: [method()],
    },
    stop.signal,
  );
});

afterEach(async () => {
  stop.abort();
  await running;
});

function method(): SessionMethod {
  return {
    path,
    get turns() {
      return turns;
    },
    heartbeat: () => ({ message: 'heartbeat' }),
    open: (first, { line }) => {
      if (first === undefined) throw new DomainError('precondition', 'no hello', { reason: 'NO' });
      const name = String(first.message);
      lines.set(name, line);
      const queue = news.get(name) ?? [];
      news.set(name, queue);
      return {
        heartbeatMs,
        welcome: () => ({ message: `welcome ${name}` }),
        next: () => (queue.length === 0 ? null : { message: queue.shift() }),
        receive: ({ message }) => {
          if (message === 'bug') throw new Error('a bug');
          heard.push(message);
        },
        [Symbol.dispose]: () => {
          over.push(name);
        },
      };
    },
  } as SessionMethod;
}

/** Something new is to be said to a session. */
function tell(name: string, ...messages: unknown[]): void {
  news.get(name)?.push(...messages);
  lines.get(name)?.wake();
}

async function opened(name = 'one'): Promise<FakeCall> {
  const call = new FakeCall().open(calls);
  call.say(name);
  await clock.settle();
  return call;
}

describe('a session', () => {
  test('is welcomed, told what there is, and what is new from then on', async () => {
    news.set('one', ['a', 'b']);
    const call = await opened();
    expect(call.said).toEqual(['welcome one', 'a', 'b']);
    tell('one', 'c');
    tell('one', 'd');
    await clock.settle();
    expect(call.said.slice(3)).toEqual(['c', 'd']);
  });

  test('is told no more than it takes, and then the latest', async () => {
    const call = new FakeCall().open(calls);
    call.takes = false;
    call.say('one');
    await clock.settle();
    tell('one', 'old');
    await clock.settle();
    expect(call.said).toEqual(['welcome one']);
    news.set('one', news.get('one')!);
    news.get('one')!.splice(0, 1, 'new');
    call.takeAll();
    await clock.settle();
    expect(call.said).toEqual(['welcome one', 'new']);
    tell('one', 'newer');
    await clock.settle();
    expect(call.said).toEqual(['welcome one', 'new']);
  });

  test('is heard message by message, each asked for when the one before was taken in', async () => {
    const call = await opened();
    expect(call.reads).toBe(1);
    call.say('a');
    expect(heard).toEqual(['a']);
    expect(call.reads).toBe(1);
  });

  test('ends with its peer, and is in the log', async () => {
    const call = await opened();
    call.halfClose();
    expect(call.end).toMatchObject({ code: status.OK });
    expect(over).toEqual(['one']);
    const line = { msg: 'call finished', method: path, code: 'OK', principal: 'node-1' };
    expect(collected.lines).toEqual([expect.objectContaining({ ...line, level: 'info' })]);
  });

  test('whose peer goes away is over, and no error', async () => {
    const call = await opened();
    call.leave();
    expect(call.end).toBeUndefined();
    expect(over).toEqual(['one']);
    expect(collected.lines).toMatchObject([{ level: 'info', code: 'CANCELLED' }]);
    tell('one', 'nobody hears it');
    lines.get('one')?.close('NODE_REMOVED');
    await clock.advance(10_000);
    expect(call.said).toEqual(['welcome one']);
    expect(over).toEqual(['one']);
  });

  test('that a bug ends is told nothing of it, but the log is', async () => {
    const call = await opened();
    call.say('bug');
    expect(call.end).toMatchObject({ code: status.INTERNAL, details: 'internal error' });
    expect(collected.lines).toMatchObject([{ level: 'error', msg: 'call failed' }]);
    expect(over).toEqual(['one']);
  });

  test('is cut for the first reason, after whoever cuts it has done what he does', async () => {
    const call = await opened();
    lines.get('one')?.close('SESSION_REPLACED');
    lines.get('one')?.close('NODE_REMOVED');
    expect(over).toEqual([]);
    await clock.settle();
    expect(call.end).toMatchObject({ code: status.ABORTED, reason: 'SESSION_REPLACED' });
    expect(over).toEqual(['one']);
  });

  test('ends with the token that it was opened with', async () => {
    const call = await opened();
    endToken?.(new DomainError('unauthenticated', 'revoked', { reason: 'TOKEN_INVALID' }));
    expect(call.end).toMatchObject({ code: status.UNAUTHENTICATED, reason: 'TOKEN_INVALID' });
  });

  test('that is cut is reset within a second if its peer does not take the word', async () => {
    const call = await opened();
    call.say('alive');
    lines.get('one')?.close('NODE_REMOVED');
    await clock.settle();
    expect(call.end).toMatchObject({ code: status.UNAUTHENTICATED, reason: 'NODE_REMOVED' });
    expect(call.resetWith).toBeUndefined();
    await clock.advance(500);
    expect(call.resetWith).toBe(constants.NGHTTP2_CANCEL);
  });

  test('ends with the certificate that it was opened with', async () => {
    const call = await opened();
    for (let hour = 0; hour < 2 && call.end === undefined; hour++) {
      for (let ms = 0; ms < 3_600_000 && call.end === undefined; ms += 2_500) {
        call.say('alive');
        await clock.advance(2_500);
      }
    }
    expect(call.end).toMatchObject({ code: status.UNAUTHENTICATED, reason: 'CERTIFICATE_EXPIRED' });
  });

  test('of which nothing is heard ends with its lease', async () => {
    const call = await opened();
    await clock.advance(2_000);
    call.say('alive');
    await clock.advance(2_500);
    expect(call.end).toBeUndefined();
    await clock.advance(1_000);
    expect(call.end).toMatchObject({ code: status.UNAVAILABLE, reason: 'LEASE_EXPIRED' });
  });

  test('is told that the server stops; another is not let in', async () => {
    const call = await opened();
    stop.abort();
    expect(call.end).toMatchObject({ code: status.UNAVAILABLE, reason: 'SHUTTING_DOWN' });
    const late = new FakeCall().open(calls);
    expect(late.end).toMatchObject({ code: status.UNAVAILABLE, reason: 'SHUTTING_DOWN' });
  });
});

describe('a stream', () => {
  test('on which no hello comes is cut after the lease', async () => {
    const call = new FakeCall().open(calls);
    await clock.advance(2_999);
    expect(call.end).toBeUndefined();
    await clock.advance(1);
    expect(call.end).toMatchObject({ code: status.UNAVAILABLE, reason: 'LEASE_EXPIRED' });
  });

  test('that ends before its hello is told so', () => {
    const call = new FakeCall().open(calls);
    call.halfClose();
    expect(call.end).toMatchObject({ code: status.FAILED_PRECONDITION, reason: 'NO' });
  });

  test('of somebody who may not open it is refused before anything is read', () => {
    admit = () => {
      throw new DomainError('forbidden', 'no', { reason: 'PERMISSION_DENIED' });
    };
    const call = new FakeCall().open(calls);
    expect(call.end).toMatchObject({ code: status.PERMISSION_DENIED, details: 'no' });
    expect(call.reads).toBe(0);
    expect(collected.lines).toMatchObject([{ code: 'PERMISSION_DENIED' }]);
  });

  test('of another method is left to others', () => {
    const call = new FakeCall() as unknown as ServerInterceptingCallInterface;
    expect(calls.take('/fairlead.v1.AgentService/Join', call)).toBeNull();
  });
});

describe('heartbeats', () => {
  test('come when nothing else was said for a while, and not to a peer that takes none', async () => {
    heartbeatMs = 1_000;
    const call = await opened();
    await clock.advance(600);
    call.say('alive');
    tell('one', 'a');
    await clock.advance(999);
    expect(call.said).toEqual(['welcome one', 'a']);
    await clock.advance(1);
    expect(call.said).toEqual(['welcome one', 'a', 'heartbeat']);
    call.say('alive');
    call.takes = false;
    await clock.advance(1_000);
    call.say('alive');
    await clock.advance(2_000);
    expect(call.said).toEqual(['welcome one', 'a', 'heartbeat', 'heartbeat']);
  });

  test('are none where the connection has pings', async () => {
    const call = await opened();
    await clock.advance(2_500);
    expect(call.said).toEqual(['welcome one']);
  });
});

describe('in a crowd', () => {
  beforeEach(() => {
    turns = new SessionTurns({ atOnce: 1, clock, crowd: new FakeCrowd() });
    for (const name of ['one', 'two']) news.set(name, [`set of ${name}`, `more of ${name}`]);
  });

  test('sessions are welcomed at once, and say their first thing in turn', async () => {
    const [first, second] = [new FakeCall(), new FakeCall()].map((call) => call.open(calls));
    first!.say('one');
    await clock.settle();
    first!.takes = false;
    expect(first!.said).toEqual(['welcome one', 'set of one', 'more of one']);
    second!.say('two');
    await clock.settle();
    expect(second!.said).toEqual(['welcome two', 'set of two', 'more of two']);
  });

  test('one that does not take it is passed after a moment', async () => {
    const slow = new FakeCall().open(calls);
    slow.takes = false;
    slow.say('one');
    slow.takeAll();
    await clock.settle();
    const next = await opened('two');
    expect(slow.said).toEqual(['welcome one', 'set of one']);
    expect(next.said).toEqual(['welcome two']);
    await clock.advance(50);
    expect(next.said).toEqual(['welcome two', 'set of two', 'more of two']);
  });

  test('one that goes before its turn takes nobody his', async () => {
    const slow = new FakeCall().open(calls);
    slow.takes = false;
    slow.say('one');
    slow.takeAll();
    await clock.settle();
    const gone = await opened('gone');
    const next = await opened('two');
    gone.leave();
    slow.leave();
    await clock.settle();
    expect(next.said).toEqual(['welcome two', 'set of two', 'more of two']);
  });
});
