import { execFile } from 'node:child_process';
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { request as httpRequest } from 'node:https';
import { writeFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { connect as connectTls } from 'node:tls';
import { promisify } from 'node:util';
import fc from 'fast-check';
import { createClient } from 'nice-grpc';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Connections } from '../../../../coordinator/api/connections.ts';
import { serveGrpc } from '../../../../coordinator/api/grpc-server.ts';
import { toStatus } from '../../../../coordinator/api/status.ts';
import { createConnectHandler, type ConnectOptions } from '../../../../coordinator/http/connect.ts';
import { serveHttp } from '../../../../coordinator/http/server.ts';
import { ControlServiceDefinition } from '../../../../shared/gen/fairlead/v1/control_service.ts';
import { TemporaryDirectory } from '../../../support/temporary-directory.ts';
import { testAuthority } from '../../../support/test-authority.ts';
import { eventually } from '../../../support/eventually.ts';
import { collectLog, openGate, TinyControl } from '../tiny-control.ts';

const run = promisify(execFile);
const base = '/fairlead.v1.ControlService';
const maxBodyBytes = 64 * 1024;

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  readonly json: Record<string, unknown>;
}

interface Frame {
  readonly flags: number;
  readonly json: Record<string, unknown>;
}

let control: TinyControl;
let collected: ReturnType<typeof collectLog>;
let stop: AbortController;
let port: number;
let closed: Promise<void>;

beforeEach(async () => {
  await start();
});

afterEach(async () => {
  stop.abort();
  await closed;
});

const listening = { host: '127.0.0.1', tls: testAuthority };

async function start(
  options: Partial<ConnectOptions> & { readonly requestTimeoutMs?: number } = {},
): Promise<void> {
  control = new TinyControl();
  collected = collectLog();
  stop = new AbortController();
  const { requestTimeoutMs = 30_000, ...rest } = options;
  const { log } = collected;
  const handler = createConnectHandler({
    definition: ControlServiceDefinition,
    implementation: control.implementation,
    gate: openGate,
    knows: () => true,
    toError: toStatus,
    maxBodyBytes,
    log,
    stopping: stop.signal,
    ...rest,
  });
  const http = { ...listening, port: 0, handler, log, requestTimeoutMs };
  ({ port, closed } = await serveHttp(http, stop.signal));
}

async function restart(...options: Parameters<typeof start>): Promise<void> {
  stop.abort();
  await closed;
  await start(...options);
}

function send(
  method: string,
  path: string,
  { headers = {}, body }: { headers?: Record<string, string>; body?: string | Buffer } = {},
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const request = httpRequest(
      { port, host: '127.0.0.1', ca: testAuthority.bundle, method, path, headers },
      resolve,
    );
    request.on('error', reject);
    request.end(body);
  });
}

/** A connection to say anything on. */
function connectRaw() {
  return connectTls({ port, host: '127.0.0.1', servername: 'localhost', ca: testAuthority.bundle });
}

async function ask(...args: Parameters<typeof send>): Promise<Answer> {
  const response = await send(...args);
  const body = await text(response);
  const isJson = response.headers['content-type']?.startsWith('application/json') === true;
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    body,
    json: (isJson ? JSON.parse(body) : {}) as Record<string, unknown>,
  };
}

function post(method: string, body: unknown, headers: Record<string, string> = {}) {
  return ask('POST', `${base}/${method}`, {
    headers: { 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
}

function enveloped(payload: string, flags = 0): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt8(flags, 0);
  prefix.writeUInt32BE(Buffer.byteLength(payload), 1);
  return Buffer.concat([prefix, Buffer.from(payload)]);
}

function openStream(payload: Buffer | string, headers: Record<string, string> = {}) {
  return send('POST', `${base}/WatchServices`, {
    headers: { 'content-type': 'application/connect+json', ...headers },
    body: payload,
  });
}

function watch(message: unknown, headers: Record<string, string> = {}): Promise<IncomingMessage> {
  return openStream(enveloped(JSON.stringify(message)), headers);
}

function framesOf(body: Buffer): Frame[] {
  const frames: Frame[] = [];
  for (let at = 0; at < body.length;) {
    const end = at + 5 + body.readUInt32BE(at + 1);
    frames.push({
      flags: body.readUInt8(at),
      json: JSON.parse(body.toString('utf8', at + 5, end)) as Record<string, unknown>,
    });
    at = end;
  }
  return frames;
}

async function allFrames(response: IncomingMessage): Promise<Frame[]> {
  const chunks: Buffer[] = [];
  for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk);
  return framesOf(Buffer.concat(chunks));
}

describe('a unary call', () => {
  test('answers what gRPC answers', async () => {
    const stopGrpc = new AbortController();
    const grpc = await serveGrpc(
      {
        host: '127.0.0.1',
        port: 0,
        gate: openGate,
        knows: () => true,
        connections: new Connections(),
        credentials: testAuthority.serverCredentials(),
        signers: testAuthority,
        log: collected.log,
        services: (server) => {
          server.add(ControlServiceDefinition, control.implementation);
        },
      },
      stopGrpc.signal,
    );
    const channel = testAuthority.channel(`127.0.0.1:${grpc.port}`);
    try {
      const client = createClient(ControlServiceDefinition, channel);
      const info = await client.getInfo({});
      const http = await post('GetInfo', {});
      expect(http.status).toBe(200);
      expect(ControlServiceDefinition.methods.getInfo.responseType.fromJSON(http.json)).toEqual(
        info,
      );

      const change = {
        service: 'web',
        spec: { image: 'web:2' },
        updateMask: ['image', 'drain_timeout_ms'],
      };
      const updated = await client.updateService(change);
      const overHttp = await post('UpdateService', {
        ...change,
        updateMask: 'image,drainTimeoutMs',
      });
      expect(
        ControlServiceDefinition.methods.updateService.responseType.fromJSON(overHttp.json),
      ).toEqual(updated);
    } finally {
      channel.close();
      stopGrpc.abort();
      await grpc.closed;
    }
  });

  test("is JSON in proto3's form, with headers and trailers", async () => {
    const { status, headers, json } = await post('GetInfo', {});
    expect(status).toBe(200);
    expect(headers).toMatchObject({
      'content-type': 'application/json',
      'x-head': 'h',
      'x-bytes-bin': 'AP8=',
      'trailer-x-tail': 't',
      'cache-control': 'no-store',
    });
    expect(json).toEqual({
      version: '1.2.3',
      protocolVersion: 1,
      startedAt: '2023-11-14T22:13:20.123Z',
    });
  });

  test("gives the handler the caller's headers and address", async () => {
    await post('GetInfo', {}, { authorization: 'Bearer abc', 'x-raw-bin': 'AAE=' });
    const [context] = control.contexts;
    expect(context?.metadata.get('authorization')).toBe('Bearer abc');
    expect(context?.metadata.get('x-raw-bin')).toEqual(Buffer.from([0, 1]));
    expect(context?.peer).toMatch(/^127\.0\.0\.1:\d+$/);
    expect(context?.signal.aborted).toBe(false);
  });

  test.each([
    ['without a query', ''],
    ['with a message', `?connect=v1&encoding=json&message=${encodeURIComponent('{}')}`],
    [
      'in base64',
      `?connect=v1&encoding=json&base64=1&message=${Buffer.from('{}').toString('base64url')}`,
    ],
  ])('may be asked with GET %s', async (_, query) => {
    const { status, json } = await ask('GET', `${base}/GetInfo${query}`);
    expect([status, json['version']]).toEqual([200, '1.2.3']);
  });

  test('takes its message from the query of a GET', async () => {
    const message = encodeURIComponent('{"service":"web"}');
    const { json } = await ask('GET', `${base}/GetService?encoding=json&message=${message}`);
    expect(json).toEqual({ service: { name: 'web' } });
  });

  test('is logged in one line, with who called', async () => {
    await post('GetService', { service: 'api' }, { authorization: 'somebody' });
    expect(collected.lines).toEqual([
      expect.objectContaining({
        level: 'info',
        msg: 'call finished',
        method: `${base}/GetService`,
        code: 'NOT_FOUND',
        principal: 'somebody',
        ms: expect.any(Number) as unknown,
      }),
    ]);
  });
});

describe('an error', () => {
  test('has its code, status, reason and details', async () => {
    const { status, headers, json } = await post('CreateService', { name: 'x' });
    expect(status).toBe(400);
    expect(headers['error-reason']).toBe('INVALID_REQUEST');
    expect(json).toEqual({
      code: 'invalid_argument',
      message: '"x" with no image is refused',
      details: [
        {
          type: 'google.rpc.ErrorInfo',
          value: expect.stringMatching(/^[A-Za-z0-9+/]+$/) as unknown,
          debug: { reason: 'INVALID_REQUEST', domain: 'fairlead' },
        },
        {
          type: 'google.rpc.BadRequest',
          value: expect.stringMatching(/^[A-Za-z0-9+/]+$/) as unknown,
          debug: {
            fieldViolations: [
              { field: 'name', description: 'is required' },
              { field: 'spec.image', description: 'must be – in other words – "good"' },
            ],
          },
        },
      ],
    });
  });

  test('of a method that is not there', async () => {
    const unknown = await post('Nope', {});
    expect(unknown).toMatchObject({
      status: 404,
      json: { code: 'unimplemented', message: `there is no method ${base}/Nope` },
    });
    const later = await post('RemoveNode', {});
    expect(later).toMatchObject({ status: 501, json: { code: 'unimplemented' } });
  });

  test('that is a bug is told nobody but the log, once', async () => {
    const { status, json, headers } = await post('GetService', { service: 'bug' });
    expect([status, json]).toEqual([500, { code: 'internal', message: 'internal error' }]);
    expect(headers['error-reason']).toBe('INTERNAL');
    const errors = collected.lines.filter(({ level }) => level === 'error');
    expect(errors).toEqual([
      expect.objectContaining({
        code: 'INTERNAL',
        err: expect.objectContaining({
          message: 'x is not a function',
          stack: expect.stringContaining('tiny-control') as unknown,
        }) as unknown,
      }),
    ]);
  });
});

describe('a request', () => {
  test.each([
    ['that is no JSON', '{"service":', 'the request cannot be read: '],
    ['that is empty', '', 'the request has no body; send at least {}'],
    ['that is a list', '[]', 'the request cannot be read: '],
    ['with an unknown field', '{"services":"web"}', 'key "services" is unknown'],
    [
      'with a number for a string',
      '{"service":3}',
      'GetServiceRequest.service from JSON: expected string, got 3',
    ],
    ['with broken text', '{"service":"\\ud800"}', 'invalid UTF8'],
  ])('%s is refused in words', async (_, body, words) => {
    const { status, json, headers } = await post('GetService', body);
    expect([status, json['code'], headers['error-reason']]).toEqual([
      400,
      'invalid_argument',
      'INVALID_JSON',
    ]);
    expect(json['message']).toContain(words);
  });

  test.each([
    [{ spec: { replicas: -1 } }, 'ServiceSpec.replicas from JSON: expected number (uint32)'],
    [{ spec: { replicas: 1.5 } }, 'ServiceSpec.replicas from JSON: expected number (uint32)'],
    [{ spec: { strategy: 'EMPTIEST' } }, 'PlacementStrategy from JSON: "EMPTIEST"'],
    [{ spec: { environment: { A: 1 } } }, 'map entry "A": expected string, got 1'],
    [{ spec: { readiness: { tcp: {}, none: {} } } }, 'oneof set multiple times'],
  ])('with wrong values is refused: %j', async (body, words) => {
    const { status, json } = await post('UpdateService', body);
    expect(status).toBe(400);
    expect(json['message']).toContain(words);
  });

  test('may name fields as the contract does', async () => {
    const { json } = await post('UpdateService', {
      service: 'web',
      update_mask: 'drain_timeout_ms,update.deadline_ms',
      spec: { drain_timeout_ms: 5 },
    });
    expect(json['service']).toMatchObject({
      message: 'drain_timeout_ms update.deadline_ms',
      spec: { drainTimeoutMs: 5 },
    });
  });

  test('of the largest size is taken, a larger one refused, the connection kept', async () => {
    const fill = (bytes: number) => `{"service":"${'x'.repeat(bytes - 14)}"}`;
    expect((await post('GetService', fill(maxBodyBytes))).status).toBe(404);
    const tooLarge = await post('GetService', fill(maxBodyBytes + 1));
    expect(tooLarge).toMatchObject({
      status: 413,
      headers: { 'error-reason': 'REQUEST_TOO_LARGE' },
      json: { code: 'resource_exhausted', message: 'the request has more than 65536 bytes' },
    });
    expect((await post('GetService', fill(maxBodyBytes * 10))).status).toBe(413);
  });

  test('without end is cut', async () => {
    await expect(post('GetService', 'x'.repeat(maxBodyBytes * 40))).rejects.toThrow(
      /ECONNRESET|EPIPE|socket hang up/,
    );
    await eventually(() => {
      expect(collected.lines).toEqual([expect.objectContaining({ code: 'CANCELLED' })]);
    });
  });

  test('that breaks off is no error', async () => {
    const socket = connectRaw();
    socket.write(
      `POST ${base}/GetInfo HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n` +
        'content-length: 1000\r\n\r\n{',
    );
    await new Promise((resolve) => socket.once('secureConnect', resolve));
    await (await send('GET', '/healthz')).toArray();
    socket.destroy();
    await eventually(() => {
      expect(collected.lines).toEqual([
        expect.objectContaining({ level: 'info', code: 'CANCELLED' }),
      ]);
    });
  });

  test.each([
    ['text/plain', 415, { 'accept-post': 'application/json' }],
    ['application/proto', 415, { 'accept-post': 'application/json' }],
    ['application/connect+json', 415, { 'accept-post': 'application/json' }],
    ['', 415, { 'accept-post': 'application/json' }],
    ['application/json; charset=utf-8', 200, {}],
    ['APPLICATION/JSON', 200, {}],
  ])('of type "%s" gets %d', async (type, status, headers) => {
    expect(await post('GetInfo', {}, { 'content-type': type })).toMatchObject({ status, headers });
  });

  test.each([
    ['PUT', 'GetInfo', {}, 405, { allow: 'GET, POST' }],
    ['OPTIONS', 'ScaleService', {}, 405, { allow: 'POST' }],
    ['GET', 'ScaleService', {}, 405, { allow: 'POST' }],
    ['GET', 'WatchServices', {}, 406, {}],
    ['GET', 'GetInfo?encoding=proto', {}, 400, {}],
    ['GET', 'GetInfo?compression=gzip', {}, 400, {}],
    ['GET', 'GetInfo?message=%7B', {}, 400, {}],
    ['GET', 'GetInfo', { 'content-encoding': 'gzip' }, 415, { 'accept-encoding': 'identity' }],
    ['GET', 'GetInfo', { 'connect-protocol-version': '2' }, 400, {}],
    ['GET', 'GetInfo', { 'connect-timeout-ms': 'soon' }, 400, {}],
    ['GET', 'GetInfo', { 'connect-timeout-ms': '12345678901' }, 400, {}],
    ['GET', 'GetInfo', { 'connect-protocol-version': '1', 'connect-timeout-ms': '5000' }, 200, {}],
  ])('%s %s %j gets %d', async (...row) => {
    const [method, path, headers, status, expected] = row;
    const answer = await ask(method, `${base}/${path}`, { headers });
    expect(answer).toMatchObject({ status, headers: expected });
    if (status !== 200) expect(answer.json['message']).toMatch(/^[a-z]/);
  });

  test('of whatever kind gets an answer, and the server goes on', async () => {
    const headers = fc.record({
      'content-type': fc.constantFrom('application/json', 'application/connect+json', 'x'),
      accept: fc.constantFrom('application/x-ndjson', '*/*'),
    });
    const body = fc.oneof(
      fc.string(),
      fc.json(),
      fc.uint8Array().map((all) => Buffer.from(all)),
    );
    const path = fc.constantFrom(
      'GetInfo',
      'GetService',
      'WatchServices',
      'CreateService',
      '',
      '%',
      '..',
    );
    await fc.assert(
      fc.asyncProperty(fc.constantFrom('GET', 'POST'), path, headers, body, async (...all) => {
        const [method, name, given, sent] = all;
        const options = { headers: given, ...(method === 'POST' && { body: sent }) };
        const { status } = await ask(method, `${base}/${name}`, options);
        expect([200, 400, 404, 405, 406, 415]).toContain(status);
      }),
      { numRuns: 200 },
    );
    expect((await post('GetInfo', {})).status).toBe(200);
    expect(collected.lines.filter(({ level }) => level === 'error')).toEqual([]);
  });
});

describe('a stream in frames', () => {
  test('has each message, and an end', async () => {
    const response = await watch({ services: ['a', 'b'] });
    expect(response.statusCode).toBe(200);
    expect(response.headers['content-type']).toBe('application/connect+json');
    expect(await allFrames(response)).toEqual([
      { flags: 0, json: { cursor: 'a', snapshot: true } },
      { flags: 0, json: { cursor: 'b', snapshot: true } },
      { flags: 2, json: {} },
    ]);
  });

  test('ends with the error and its trailers', async () => {
    const frames = await allFrames(await watch({ services: ['a', 'bad', 'b'] }));
    expect(frames).toEqual([
      { flags: 0, json: { cursor: 'a', snapshot: true } },
      {
        flags: 2,
        json: {
          error: expect.objectContaining({
            code: 'out_of_range',
            message: 'the cursor is too old',
            details: [expect.objectContaining({ type: 'google.rpc.ErrorInfo' })] as unknown,
          }) as unknown,
          metadata: { 'error-reason': ['CURSOR_GONE'], 'x-tail': ['t'] },
        },
      },
    ]);
    expect(control.watching).toBe(0);
  });

  test.each([
    ['nothing', Buffer.alloc(0), 'the body has no message in an envelope'],
    ['a short prefix', Buffer.from([0, 0]), 'the body has no message in an envelope'],
    [
      'a short message',
      enveloped('{}').subarray(0, 6),
      'the message is shorter than its envelope says',
    ],
    [
      'two messages',
      Buffer.concat([enveloped('{}'), enveloped('{}')]),
      'there is more than one message',
    ],
    ['a compressed message', enveloped('{}', 1), 'compressed messages are not supported'],
    ['an end', enveloped('{}', 2), 'an envelope has unknown flags: 2'],
    ['no JSON', enveloped('{'), 'the request cannot be read'],
    ['an unknown field', enveloped('{"x":1}'), 'key "x" is unknown'],
  ])('that is asked with %s ends with what is wrong', async (_, payload, words) => {
    const [end, ...rest] = await allFrames(await openStream(payload));
    expect(rest).toEqual([]);
    expect(end).toMatchObject({ flags: 2, json: { error: { code: 'invalid_argument' } } });
    expect(end?.json['error']).toMatchObject({
      message: expect.stringContaining(words) as unknown,
    });
  });

  test('is only for streams, and its type only for it', async () => {
    expect(await post('WatchServices', {})).toMatchObject({
      status: 415,
      headers: { 'accept-post': 'application/connect+json' },
    });
  });

  test('ends when its client goes away, which is no error', async () => {
    const response = await watch({ services: ['a'], cursor: 'wait' });
    await eventually(() => {
      expect(control.watching).toBe(1);
    });
    response.destroy();
    await eventually(() => {
      expect(control.watching).toBe(0);
    });
    await eventually(() => {
      expect(collected.lines).toEqual([
        expect.objectContaining({ level: 'info', code: 'CANCELLED' }),
      ]);
    });
  });

  test('that goes on after its client went away harms nobody', async () => {
    control.stubborn = true;
    const response = await watch({ services: ['a'], cursor: 'wait' });
    await eventually(() => {
      expect(control.watching).toBe(1);
    });
    response.destroy();
    await eventually(() => {
      expect([control.watching, collected.lines.length]).toEqual([0, 1]);
    });
    expect((await post('GetInfo', {})).status).toBe(200);
  });

  test('pulls no more than a slow reader takes', async () => {
    control.padding = 10_000;
    const body = enveloped('{"cursor":"endless"}');
    const socket = connectRaw();
    socket.pause();
    socket.write(
      `POST ${base}/WatchServices HTTP/1.1\r\nhost: x\r\ncontent-type: application/connect+json\r\n` +
        `content-length: ${body.length}\r\n\r\n`,
    );
    socket.write(body);
    const heldAt = await untilStill(() => control.pulled);
    // What the kernel's buffers on both sides hold, and not a message more.
    expect(heldAt * control.padding).toBeLessThan(20 * 1024 * 1024);
    const heap = process.memoryUsage().arrayBuffers;
    expect(heap).toBeLessThan(50 * 1024 * 1024);
    await readSome(socket, 2 * heldAt * control.padding);
    expect(control.pulled).toBeGreaterThan(heldAt);
    socket.destroy();
    await eventually(() => {
      expect(control.watching).toBe(0);
    });
  });

  test('ends with unavailable when the server stops', async () => {
    const response = await watch({ services: ['a'], cursor: 'wait' });
    await eventually(() => {
      expect(control.watching).toBe(1);
    });
    stop.abort();
    const frames = await allFrames(response);
    expect(frames.at(-1)).toMatchObject({
      flags: 2,
      json: { error: { code: 'unavailable' }, metadata: { 'error-reason': ['SHUTTING_DOWN'] } },
    });
    await closed;
  });

  test('is refused when there are too many', async () => {
    await restart({ maxStreams: 2 });
    const open = [
      await watch({ cursor: 'wait', services: ['a'] }),
      await watch({ cursor: 'wait', services: ['a'] }),
    ];
    const [refused] = await allFrames(await watch({ cursor: 'wait' }));
    expect(refused).toMatchObject({
      flags: 2,
      json: {
        error: { code: 'resource_exhausted' },
        metadata: { 'error-reason': ['TOO_MANY_STREAMS'] },
      },
    });
    open[0]?.destroy();
    await eventually(async () => {
      const frames = await allFrames(await watch({ services: ['a'] }));
      expect(frames[0]).toMatchObject({ flags: 0 });
    });
    open[1]?.destroy();
  });
});

describe('a stream in lines', () => {
  const accept = 'application/x-ndjson';
  const lines = (body: string) =>
    body
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as unknown);

  test('has one document a line, by POST and by GET', async () => {
    const expected = [
      { cursor: 'a', snapshot: true },
      { cursor: 'b', snapshot: true },
    ];
    const posted = await post('WatchServices', { services: ['a', 'b'] }, { accept });
    expect(posted.headers['content-type']).toBe('application/x-ndjson');
    expect(lines(posted.body)).toEqual(expected);
    const query = `?message=${encodeURIComponent('{"services":["a","b"]}')}`;
    const got = await ask('GET', `${base}/WatchServices${query}`, { headers: { accept } });
    expect(lines(got.body)).toEqual(expected);
  });

  test('that fails at once has the status of the error', async () => {
    const { status, json, headers } = await post(
      'WatchServices',
      { services: ['bad'] },
      { accept },
    );
    expect([status, json['code'], headers['error-reason']]).toEqual([
      400,
      'out_of_range',
      'CURSOR_GONE',
    ]);
  });

  test('that fails later has the error as its last line', async () => {
    const { status, body } = await post('WatchServices', { services: ['a', 'bad'] }, { accept });
    expect(status).toBe(200);
    expect(lines(body)).toEqual([
      { cursor: 'a', snapshot: true },
      { error: expect.objectContaining({ code: 'out_of_range' }) as unknown },
    ]);
  });
});

describe('a deadline', () => {
  test('ends a call', async () => {
    const { status, json, headers } = await post(
      'ScaleService',
      { service: 'never' },
      { 'connect-timeout-ms': '50' },
    );
    expect([status, json['code'], headers['error-reason']]).toEqual([
      504,
      'deadline_exceeded',
      'DEADLINE_EXCEEDED',
    ]);
  });

  test('ends a stream', async () => {
    const response = await watch(
      { services: ['a'], cursor: 'wait' },
      { 'connect-timeout-ms': '50' },
    );
    const frames = await allFrames(response);
    expect(frames.map(({ flags }) => flags)).toEqual([0, 2]);
    expect(frames[1]?.json).toMatchObject({ error: { code: 'deadline_exceeded' } });
  });
});

describe('the server', () => {
  test('says that it is there to anybody', async () => {
    expect(await ask('GET', '/healthz')).toMatchObject({ status: 200, body: 'ok\n' });
    expect((await ask('HEAD', '/healthz')).status).toBe(200);
    expect((await ask('POST', '/healthz')).status).toBe(404);
    expect((await ask('GET', '/')).status).toBe(404);
    expect((await ask('GET', '/fairlead.v1.AgentService/Session')).status).toBe(404);
    expect((await ask('GET', '//')).status).toBe(404);
  });

  test('lets a call finish when it stops, refuses others, and closes idle connections', async () => {
    const pending = post('ScaleService', { service: 'slow' });
    await eventually(() => {
      expect(control.contexts).toHaveLength(1);
    });
    const idle = connectRaw();
    const idleClosed = new Promise((resolve) => idle.once('close', resolve));
    idle.resume();
    await (await send('GET', '/healthz')).toArray();
    stop.abort();
    await idleClosed;
    expect((await pending).json).toEqual({ service: { name: 'slow' } });
    await closed;
    await expect(send('GET', '/healthz')).rejects.toThrow(/ECONNREFUSED/);
  });

  test('cuts a call that does not finish', async () => {
    const pending = post('ScaleService', { service: 'never' });
    pending.catch(() => undefined);
    await eventually(() => {
      expect(control.contexts).toHaveLength(1);
    });
    stop.abort();
    await closed;
    await expect(pending).rejects.toThrow(/ECONNRESET|socket hang up/);
    await eventually(() => {
      expect(control.contexts[0]?.signal.aborted).toBe(true);
    });
  });

  test('gives up on a request that does not arrive', async () => {
    await restart({ requestTimeoutMs: 300 });
    const socket = connectRaw();
    socket.write(
      `POST ${base}/GetInfo HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n` +
        'content-length: 1000\r\n\r\n{',
    );
    expect(await text(socket)).toMatch(/^HTTP\/1\.1 408 /);
  });

  test('refuses headers beyond 16 KiB', async () => {
    const answer = await ask('GET', '/healthz', { headers: { 'x-long': 'x'.repeat(17 * 1024) } });
    expect(answer.status).toBe(431);
  });

  test('says why it cannot listen', async () => {
    const { log } = collected;
    const options = { ...listening, port, handler: () => false, log };
    await expect(serveHttp(options, stop.signal)).rejects.toThrow(
      new RegExp(`^cannot listen on 127.0.0.1:${port}: .*EADDRINUSE`),
    );
  });
});

describe('real clients', () => {
  const url = (path: string) => `https://127.0.0.1:${port}${base}/${path}`;

  test('curl', async () => {
    await using directory = new TemporaryDirectory();
    const authorities = directory.join('ca.pem');
    writeFileSync(authorities, testAuthority.bundle);
    const secure = ['--cacert', authorities];
    const json = ['-H', 'content-type: application/json'];
    const { stdout } = await run('curl', [
      ...secure,
      '-sS',
      '--fail',
      ...json,
      '-d',
      '{"service":"web"}',
      url('GetService'),
    ]);
    expect(JSON.parse(stdout)).toEqual({ service: { name: 'web' } });
    const failed = await run('curl', [
      ...secure,
      '-sS',
      '-w',
      '\n%{http_code}',
      ...json,
      '-d',
      '{"service":"api"}',
      url('GetService'),
    ]);
    const [body = '', status] = failed.stdout.split('\n');
    expect([status, JSON.parse(body)]).toMatchObject(['404', { code: 'not_found' }]);
    const large = await run('curl', [
      ...secure,
      '-sS',
      '-w',
      '\n%{http_code}',
      ...json,
      '-d',
      'x'.repeat(100_000),
      url('GetService'),
    ]);
    expect(large.stdout).toMatch(/resource_exhausted.*\n413$/s);
    const streamed = await run('curl', [
      ...secure,
      '-sSN',
      '-H',
      'accept: application/x-ndjson',
      ...json,
      '-d',
      '{"services":["a","b"]}',
      url('WatchServices'),
    ]);
    expect(streamed.stdout).toBe(
      '{"cursor":"a","snapshot":true}\n{"cursor":"b","snapshot":true}\n',
    );
  });

  test('wget', async () => {
    await using directory = new TemporaryDirectory();
    const authorities = directory.join('ca.pem');
    writeFileSync(authorities, testAuthority.bundle);
    const wget = async (...args: string[]) => {
      const { stdout } = await run('wget', ['-qO-', `--ca-certificate=${authorities}`, ...args]);
      return stdout;
    };
    const got = await wget('--header', 'Authorization: Bearer abc', url('GetInfo'));
    expect(JSON.parse(got)).toMatchObject({ version: '1.2.3' });
    expect(control.contexts.at(-1)?.metadata.get('authorization')).toBe('Bearer abc');
    const json = ['--header', 'Content-Type: application/json'];
    const posted = await wget(...json, '--post-data', '{"service":"web"}', url('GetService'));
    expect(JSON.parse(posted)).toEqual({ service: { name: 'web' } });
    const message = encodeURIComponent('{"services":["a"]}');
    const lines = ['--header', 'Accept: application/x-ndjson'];
    const streamed = await wget(...lines, url(`WatchServices?message=${message}`));
    expect(streamed).toBe('{"cursor":"a","snapshot":true}\n');
    // 8: the server answered with an error.
    await expect(wget(url('GetService'))).rejects.toMatchObject({ code: 8 });
  });

  test('the wget of busybox, by the TLS that it has of its own', async () => {
    const { stdout: found } = await run('which', ['busybox']);
    const wget = async (...args: string[]) => {
      const all = ['wget', '-qO-', '--no-check-certificate', ...args];
      // With nothing in its path it finds no openssl to do it for it.
      const { stdout } = await run(found.trim(), all, { env: { PATH: '/nowhere' } });
      return stdout;
    };
    const got = await wget('--header', 'Authorization: Bearer abc', url('GetInfo'));
    expect(JSON.parse(got)).toMatchObject({ version: '1.2.3' });
    const json = ['--header', 'Content-Type: application/json'];
    const posted = await wget(...json, '--post-data', '{"service":"web"}', url('GetService'));
    expect(JSON.parse(posted)).toEqual({ service: { name: 'web' } });
  });
});

/** The value once it has stayed the same for a while. */
async function untilStill(read: () => number): Promise<number> {
  let last = -1;
  await eventually(
    () => {
      const now = read();
      const before = last;
      last = now;
      expect([now > 0, now]).toEqual([true, before]);
    },
    { intervalMs: 300 },
  );
  return last;
}

async function readSome(socket: Socket, bytes: number): Promise<void> {
  let read = 0;
  for await (const chunk of socket.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    read += chunk.length;
    if (read >= bytes) return;
  }
}
