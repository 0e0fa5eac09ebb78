import { once } from 'node:events';
import { connect as connectHttp2 } from 'node:http2';
import { connectivityState, credentials } from '@grpc/grpc-js';
import {
  ClientError,
  createClient,
  Metadata,
  Status,
  type Channel,
  type Client as NiceClient,
} from 'nice-grpc';
import { HealthDefinition } from 'nice-grpc-server-health';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Connections } from '../../../../coordinator/api/connections.ts';
import { serveGrpc } from '../../../../coordinator/api/grpc-server.ts';
import { decodeRpcDetails } from '../../../../coordinator/api/rpc-details.ts';
import { ControlServiceDefinition } from '../../../../shared/gen/fairlead/v1/control_service.ts';
import { eventually } from '../../../support/eventually.ts';
import { describedFileOf, describedServices } from '../../../support/reflection.ts';
import { testAuthority } from '../../../support/test-authority.ts';
import { collectLog, openGate, TinyControl } from '../tiny-control.ts';

let control: TinyControl;
let collected: ReturnType<typeof collectLog>;
let stop: AbortController;
let address: string;
let closed: Promise<void>;
let channel: Channel;
let client: NiceClient<ControlServiceDefinition>;

beforeEach(async () => {
  await start();
});

async function start(
  limits: Pick<Parameters<typeof serveGrpc>[0], 'arrivalMs' | 'idleMs'> = {},
): Promise<void> {
  control = new TinyControl();
  collected = collectLog();
  stop = new AbortController();
  const server = await serveGrpc(
    {
      host: '127.0.0.1',
      port: 0,
      gate: openGate,
      knows: () => true,
      ...limits,
      connections: new Connections(),
      credentials: testAuthority.serverCredentials(),
      signers: testAuthority,
      log: collected.log,
      services: (builder) => {
        builder.add(ControlServiceDefinition, control.implementation);
      },
    },
    stop.signal,
  );
  closed = server.closed;
  address = `127.0.0.1:${server.port}`;
  channel = testAuthority.channel(address);
  client = createClient(ControlServiceDefinition, channel);
}

afterEach(async () => {
  await end();
});

async function end(): Promise<void> {
  channel.close();
  stop.abort();
  await closed;
}

async function failure(call: Promise<unknown>): Promise<ClientError> {
  try {
    await call;
  } catch (error) {
    if (error instanceof ClientError) return error;
    throw error;
  }
  throw new Error('the call did not fail');
}

async function collect<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const message of stream) all.push(message);
  return all;
}

describe('an error', () => {
  test('arrives with code, words, reason and details', async () => {
    let trailer = Metadata();
    const error = await failure(
      client.createService(
        { name: 'x' },
        {
          onTrailer: (received) => {
            trailer = received;
          },
        },
      ),
    );
    expect(error).toMatchObject({
      code: Status.INVALID_ARGUMENT,
      details: '"x" with no image is refused',
    });
    expect(trailer.get('error-reason')).toBe('INVALID_REQUEST');
    const details = decodeRpcDetails(trailer.get('grpc-status-details-bin') ?? new Uint8Array());
    expect(details.map(({ type, debug }) => [type, debug])).toEqual([
      ['google.rpc.ErrorInfo', { reason: 'INVALID_REQUEST', domain: 'fairlead' }],
      [
        'google.rpc.BadRequest',
        {
          fieldViolations: [
            { field: 'name', description: 'is required' },
            { field: 'spec.image', description: 'must be – in other words – "good"' },
          ],
        },
      ],
    ]);
  });

  test('of a stream arrives after its messages', async () => {
    const received: string[] = [];
    const stream = client.watchServices({ services: ['a', 'bad'] });
    const error = await failure(
      (async () => {
        for await (const { cursor } of stream) received.push(cursor);
      })(),
    );
    expect(received).toEqual(['a']);
    expect(error).toMatchObject({ code: Status.OUT_OF_RANGE, details: 'the cursor is too old' });
  });

  test('that is a bug is told nobody but the log, once', async () => {
    const error = await failure(client.getService({ service: 'bug' }));
    expect(error).toMatchObject({ code: Status.INTERNAL, details: 'internal error' });
    expect(collected.lines).toEqual([
      expect.objectContaining({
        level: 'error',
        msg: 'call failed',
        method: '/fairlead.v1.ControlService/GetService',
        code: 'INTERNAL',
        err: expect.objectContaining({
          stack: expect.stringContaining('tiny-control') as unknown,
        }) as unknown,
      }),
    ]);
  });

  test('is what a request over 4 MiB gets', async () => {
    const error = await failure(client.getService({ service: 'x'.repeat(4 * 1024 * 1024) }));
    expect(error.code).toBe(Status.RESOURCE_EXHAUSTED);
  });
});

describe('the log has one line', () => {
  test.each([
    ['a read', () => client.getInfo({}), { level: 'debug', code: 'OK' }],
    ['a change', () => client.updateService({ service: 'web' }), { level: 'info', code: 'OK' }],
    ['a refusal', () => client.getService({}), { level: 'info', code: 'NOT_FOUND' }],
    [
      'a stream',
      () => collect(client.watchServices({ services: ['a'] })),
      { level: 'info', code: 'OK' },
    ],
  ])('for %s', async (_, call, expected) => {
    await Promise.allSettled([call()]);
    await eventually(() => {
      expect(collected.lines).toEqual([
        expect.objectContaining({
          ...expected,
          msg: 'call finished',
          ms: expect.any(Number) as unknown,
        }),
      ]);
    });
  });

  test('with who called', async () => {
    await client.getInfo({}, { metadata: Metadata({ authorization: 'somebody' }) });
    await eventually(() => {
      expect(collected.lines).toEqual([expect.objectContaining({ principal: 'somebody' })]);
    });
  });

  test('for a call that its caller gives up, which is no error', async () => {
    const given = new AbortController();
    const stream = collect(
      client.watchServices({ services: ['a'], cursor: 'wait' }, { signal: given.signal }),
    );
    stream.catch(() => undefined);
    const unary = client.scaleService({ service: 'never' }, { signal: given.signal });
    unary.catch(() => undefined);
    await eventually(() => {
      expect([control.watching, control.contexts.length]).toEqual([1, 2]);
    });
    given.abort();
    await Promise.allSettled([stream, unary]);
    await eventually(() => {
      expect(collected.lines.map(({ level, code }) => [level, code])).toEqual([
        ['info', 'CANCELLED'],
        ['info', 'CANCELLED'],
      ]);
    });
    expect(control.watching).toBe(0);
  });

  test('for a stream that its reader leaves while we wait for it', async () => {
    control.padding = 100_000;
    for await (const { cursor } of client.watchServices({ cursor: 'endless' })) {
      if (cursor.startsWith('5')) break;
    }
    await eventually(() => {
      expect(collected.lines).toEqual([
        expect.objectContaining({ level: 'info', code: 'CANCELLED' }),
      ]);
      expect(control.watching).toBe(0);
    });
  });
});

describe('a stopping server', () => {
  test('ends streams with UNAVAILABLE, lets other calls finish, refuses new ones', async () => {
    const stream = failure(collect(client.watchServices({ services: ['a'], cursor: 'wait' })));
    const unary = client.scaleService({ service: 'slow' });
    await eventually(() => {
      expect([control.watching, control.contexts.length]).toEqual([1, 2]);
    });
    stop.abort();
    expect(await stream).toMatchObject({
      code: Status.UNAVAILABLE,
      details: 'the coordinator is stopping; try again in a moment',
    });
    expect(await unary).toMatchObject({ service: { name: 'slow' } });
    await closed;
    expect(collected.lines.map(({ code }) => code)).toEqual(['UNAVAILABLE', 'OK']);
    expect((await failure(client.getInfo({}))).code).toBe(Status.UNAVAILABLE);
  });

  test('cuts calls that do not finish', async () => {
    const unary = failure(client.scaleService({ service: 'never' }));
    await eventually(() => {
      expect(control.contexts).toHaveLength(1);
    });
    const stoppedAt = performance.now();
    stop.abort();
    await closed;
    expect(performance.now() - stoppedAt).toBeLessThan(10_000);
    expect([Status.CANCELLED, Status.UNAVAILABLE]).toContain((await unary).code);
  });
});

describe('a connection', () => {
  test('on which a request does not arrive: the call ends, and others are answered', async () => {
    await end();
    await start({ arrivalMs: 300 });
    const session = connectHttp2(`https://localhost:${address.split(':')[1]}`, {
      ca: testAuthority.bundle,
    });
    const stream = session.request({
      ...{ ':method': 'POST', ':path': '/fairlead.v1.ControlService/GetInfo' },
      ...{ 'content-type': 'application/grpc', te: 'trailers' },
    });
    stream.write(Buffer.of(0, 0, 0, 4, 0));
    const [answer] = (await once(stream, 'response')) as [Record<string, string>];
    expect(answer['grpc-status']).toBe(String(Status.DEADLINE_EXCEEDED));
    expect(decodeURIComponent(answer['grpc-message'] ?? '')).toBe(
      'the request did not arrive as a whole within 0.3 s',
    );
    await once(stream.resume(), 'close');
    expect((await client.getInfo({})).version).toBe('1.2.3');
    expect(control.contexts).toHaveLength(1);
    session.destroy();
  });

  test('that nothing is asked on is closed, and dialled again when there is something', async () => {
    await end();
    await start({ idleMs: 300 });
    const session = connectHttp2(`https://localhost:${address.split(':')[1]}`, {
      ca: testAuthority.bundle,
    });
    expect((await client.getInfo({})).version).toBe('1.2.3');
    await once(session, 'close');
    await eventually(() => {
      expect(channel.getConnectivityState(false)).toBe(connectivityState.IDLE);
    });
    expect((await client.getInfo({})).version).toBe('1.2.3');
  });

  test('with a stream on it is kept', async () => {
    await end();
    await start({ idleMs: 300 });
    const watching = new AbortController();
    const stream = client.watchServices({ cursor: 'wait' }, { signal: watching.signal });
    const first = stream[Symbol.asyncIterator]().next();
    const session = connectHttp2(`https://localhost:${address.split(':')[1]}`, {
      ca: testAuthority.bundle,
    });
    await once(session, 'close');
    expect(control.watching).toBe(1);
    expect(channel.getConnectivityState(false)).toBe(connectivityState.READY);
    watching.abort();
    await first.catch(() => undefined);
  });
});

test('says why it cannot listen', async () => {
  const port = Number(address.split(':')[1]);
  const options = {
    ...{ host: '127.0.0.1', port, gate: openGate, knows: () => true, log: collected.log },
    connections: new Connections(),
    credentials: testAuthority.serverCredentials(),
    signers: testAuthority,
  };
  await expect(serveGrpc({ ...options, services: () => undefined }, stop.signal)).rejects.toThrow(
    new RegExp(`^cannot listen on ${address}: `),
  );
});

test('the health service answers for the server and for each service', async () => {
  const health = createClient(HealthDefinition, channel);
  for (const service of ['', 'fairlead.v1.ControlService', 'fairlead.v1.AgentService']) {
    expect(await health.check({ service })).toEqual({ status: 1 });
  }
  expect((await failure(health.check({ service: 'x' }))).code).toBe(Status.NOT_FOUND);
  expect(collected.lines.filter(({ level }) => level === 'error')).toEqual([]);
});

test.each(['v1', 'v1alpha'])(
  'reflection %s lists the services and gives their files',
  async (version) => {
    const server = {
      ...{ address, version },
      credentials: credentials.createSsl(Buffer.from(testAuthority.bundle)),
    };
    expect(await describedServices(server)).toEqual([
      'fairlead.v1.AgentService',
      'fairlead.v1.ControlService',
      'fairlead.v1.ProxyService',
    ]);
    const file = await describedFileOf(server, 'fairlead.v1.ControlService.GetInfo');
    expect(file).toBe('fairlead/v1/control_service.proto');
  },
);
