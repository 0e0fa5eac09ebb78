import { Agent, createServer as createHttpServer } from 'node:http';
import { connect, createServer, type Socket } from 'node:net';
import { expect, test } from 'vitest';
import { TargetMode } from '../../../../shared/gen/fairlead/v1/load_balancer.ts';
import { FrontendMode } from '../../../../shared/gen/fairlead/v1/proxy_service.ts';
import { BalanceAlgorithm } from '../../../../shared/gen/fairlead/v1/route.ts';
import { DrivenProxy } from '../../../support/driven-proxy.ts';
import { eventually } from '../../../support/eventually.ts';
import { aSnapshot, aTarget } from '../../../support/fake-proxy-coordinator.ts';
import { freePort, get, Load, TestBackend } from '../../../support/haproxy.ts';
import { LocalServer } from '../../../support/local-server.ts';
import { aProtoRoute } from '../../../support/routes.ts';

const signature = Buffer.from('0d0a0d0a000d0a515549540a', 'hex');

/** A web server that answers with the client as the PROXY protocol tells it; `none` where it does not. */
class ProxiedServer extends LocalServer {
  readonly #clients = new WeakMap<Socket, string>();

  constructor() {
    super(createServer());
    const http = createHttpServer({ keepAliveTimeout: 60_000 }, ({ socket }, response) => {
      response.end(this.#clients.get(socket) ?? 'none');
    });
    this.server.on('connection', (socket) => {
      socket.once('readable', () => {
        const bytes = (socket.read() as Buffer | null) ?? Buffer.alloc(0);
        const isTold = bytes.subarray(0, 12).equals(signature);
        if (isTold) this.#clients.set(socket, [...bytes.subarray(16, 20)].join('.'));
        socket.unshift(isTold ? bytes.subarray(16 + bytes.readUInt16BE(14)) : bytes);
        http.emit('connection', socket);
      });
    });
  }
}

test('L12 begins to tell containers of clients by the PROXY protocol, and stops, while they run', async () => {
  const port = await freePort();
  await using server = await new ProxiedServer().listen();
  const plain = aTarget({ id: 'web-1.a.80', port: server.port, sendProxy: false });
  const told = aTarget({ id: 'web-1.a.80.pp', port: server.port, sendProxy: true });
  await using driven = await DrivenProxy.start(aSnapshot(port, { targets: [plain] }));
  const { coordinator, directory } = driven;
  const drained = (id: string) =>
    eventually(() => {
      expect(coordinator.target(id)).toMatchObject({ drained: true });
    });
  expect((await get(port)).body).toBe('none');
  const { pid } = await directory.info();
  const load = new Load(port);
  await load.more(30);
  await coordinator.untilApplied(coordinator.change([told, { ...plain, mode: TargetMode.DRAIN }]));
  expect((await get(port)).body).toBe('127.0.0.1');
  await drained(plain.id);
  await coordinator.untilApplied(coordinator.change([], [plain.id]));
  await load.more(30);
  // Under another name: that of before may be in HAProxy still, waiting to be deleted.
  await coordinator.untilApplied(
    coordinator.change([
      { ...plain, id: 'web-1.a.80.2' },
      { ...told, mode: TargetMode.DRAIN },
    ]),
  );
  expect((await get(port)).body).toBe('none');
  await drained(told.id);
  expect((await load.stop()).failures).toEqual([]);
  expect((await directory.info()).pid).toBe(pid);
});

test('tells containers of the client that a trusted upstream names, and spreads requests by it', async () => {
  const port = await freePort();
  await using server = await new ProxiedServer().listen();
  await using one = await TestBackend.start('one');
  await using two = await TestBackend.start('two');
  const frontend = { name: 'http', port, mode: FrontendMode.HTTP, defaultBackend: 'web' };
  const route = aProtoRoute({ hosts: ['told.test'] });
  await using _driven = await DrivenProxy.start(
    aSnapshot(port, {
      frontends: [
        {
          ...{ ...frontend, trustedUpstreams: ['127.0.0.1'] },
          routes: [{ id: 'told.1', backend: 'told', split: [], route }],
        },
      ],
      backends: [
        { name: 'web', mode: FrontendMode.HTTP, balancing: { algorithm: BalanceAlgorithm.SOURCE } },
        { name: 'told', mode: FrontendMode.HTTP },
      ],
      targets: [
        aTarget({ id: 'web-1.a.80', port: one.port }),
        aTarget({ id: 'web-2.a.80', port: two.port }),
        aTarget({ id: 'told-1.a.80', backend: 'told', port: server.port, sendProxy: true }),
      ],
    }),
  );
  // An upstream keeps its connections, and each request on them may be somebody else's.
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const ask = async (host: string, client: string) => {
    const headers = { host, ...(client === '' ? {} : { 'x-forwarded-for': client }) };
    return (await get(port, '/', { agent, headers })).body;
  };
  expect(await ask('told.test', '192.0.2.7')).toBe('192.0.2.7');
  expect(await ask('told.test', '192.0.2.8')).toBe('192.0.2.8');
  expect(await ask('told.test', '')).toBe('127.0.0.1');
  const answers = [];
  for (let client = 1; client <= 20; client++) {
    const first = await ask('web.test', `192.0.2.${client}`);
    expect(await ask('web.test', `192.0.2.${client}`)).toBe(first);
    answers.push(first);
  }
  expect(new Set(answers)).toEqual(new Set(['one', 'two']));
  const told = [...one.headers, ...two.headers].map((fields) => fields['x-forwarded-for']);
  expect(told.toSorted()[0]).toBe('192.0.2.1, 127.0.0.1');
  agent.destroy();
});

test('takes the client that the PROXY protocol names for the one who asks, and hears nobody without it', async () => {
  const port = await freePort();
  await using web = await TestBackend.start('web');
  const inside = { id: 'web.1', backend: 'web', split: [] };
  const route = aProtoRoute({ hosts: ['inside.test'], allow: ['192.0.2.0/24', '2001:db8::/32'] });
  const frontend = { name: 'http', port, mode: FrontendMode.HTTP, defaultBackend: 'web' };
  await using _driven = await DrivenProxy.start(
    aSnapshot(port, {
      frontends: [{ ...frontend, acceptProxy: true, routes: [{ ...inside, route }] }],
      targets: [aTarget({ id: 'web-1.a.80', port: web.port })],
    }),
  );
  const ask = async (header: Buffer | string) => {
    const socket = connect(port, '127.0.0.1');
    let answer = '';
    socket.on('data', (bytes: Buffer) => (answer += bytes.toString('latin1')));
    socket.on('error', () => socket.destroy());
    socket.write(header);
    socket.write('GET / HTTP/1.1\r\nHost: inside.test\r\nConnection: close\r\n\r\n');
    // It may be reset.
    await new Promise((resolve) => socket.once('close', resolve));
    return /^HTTP\/1.1 (\d+)/.exec(answer)?.[1] ?? answer;
  };
  expect(await ask('PROXY TCP4 192.0.2.7 198.51.100.1 1234 80\r\n')).toBe('200');
  expect(web.headers.at(-1)).toMatchObject({ 'x-forwarded-for': '192.0.2.7' });
  expect(await ask('PROXY TCP4 203.0.113.7 198.51.100.1 1234 80\r\n')).toBe('403');
  const binary = Buffer.concat([
    signature,
    Buffer.from([0x21, 0x21, 0, 36]),
    Buffer.from('20010db8000000000000000000000007'.repeat(2), 'hex'),
    Buffer.from([4, 210, 0, 80]),
  ]);
  expect(await ask(binary)).toBe('200');
  expect(web.headers.at(-1)).toMatchObject({ 'x-forwarded-for': '2001:db8::7' });
  expect(await ask('')).toBe('');
  expect(web.requests).toBe(2);
});
