import { expect, test } from 'vitest';
import {
  localAddressOf,
  parseBackends,
  parseCounters,
  parseInfo,
  parseProcesses,
  parseServersState,
  parseStreams,
} from '../../../../agent/proxy/server-state.ts';

const stateHeader =
  '# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight ' +
  'srv_check_state srv_port';

test('reads servers by the names of the columns', () => {
  const text = [
    '1',
    stateHeader,
    '3 web 1 web-1.a.80 10.0.0.1 2 0 1 1 6 32768',
    '3 web 2 web-2.b.80 2001:db8::7 2 8 1 1 7 80',
    '3 web 7 web-3.c.80 10.0.0.3 0 1 1 1 14 80',
    '',
  ].join('\n');
  expect(parseServersState(text)).toEqual([
    {
      backend: 'web',
      id: 'web-1.a.80',
      address: '10.0.0.1',
      port: 32768,
      mode: 'ready',
      altered: false,
      numbers: { backend: 3, server: 1 },
    },
    {
      backend: 'web',
      id: 'web-2.b.80',
      address: '2001:db8::7',
      port: 80,
      mode: 'drain',
      altered: false,
      numbers: { backend: 3, server: 2 },
    },
    {
      backend: 'web',
      id: 'web-3.c.80',
      address: '10.0.0.3',
      port: 80,
      mode: 'maint',
      altered: false,
      numbers: { backend: 3, server: 7 },
    },
  ]);
});

test.each([
  [0, 'ready'],
  [1, 'maint'],
  [4, 'maint'],
  [8, 'drain'],
  [9, 'maint'],
  [16, 'drain'],
  [32, 'maint'],
])('takes the admin state %i for %s', (bits, mode) => {
  const [server] = parseServersState(`1\n${stateHeader}\n3 web 1 s 10.0.0.1 2 ${bits} 1 1 6 80\n`);
  expect(server?.mode).toBe(mode);
});

test.each([
  ['nothing', '1 1 6', false],
  ['nothing, in a check', '1 1 7', false],
  ['nothing, without checks', '1 1 0', false],
  ['its weight', '0 1 6', true],
  ['its weight, upwards', '200 100 6', true],
  ['its checks', '1 1 2', true],
])('tells that somebody changed %s', (_, columns, altered) => {
  const [server] = parseServersState(`1\n${stateHeader}\n3 web 1 s 10.0.0.1 2 0 ${columns} 80\n`);
  expect(server?.altered).toBe(altered);
});

test('refuses a state of another format, or without a column that it needs', () => {
  expect(() => parseServersState('2\n# a b\n')).toThrow('unknown format "2"');
  expect(() => parseServersState('')).toThrow('unknown format ""');
  expect(() => parseServersState('1\n# be_id be_name\n')).toThrow('no column "srv_name"');
});

test('reads counters of servers, and leaves out the sums', () => {
  const text = [
    '# pxname,svname,qcur,scur,new,slim,stot,status,type,check_status,last_chk,',
    'web,web-1,2,3,x,,100,UP,2,L4OK,,',
    'web,web-2,0,0,x,7,5,DOWN 1/2,2,* L4CON,Connection refused,',
    'web,BACKEND,2,3,x,50,105,UP,1,,,',
    'http,FRONTEND,,9,x,500,105,OPEN,0,,,',
  ].join('\n');
  expect(parseCounters(text)).toEqual({
    servers: [
      {
        ...{ backend: 'web', id: 'web-1', inFlight: 5, requests: 100 },
        ...{ health: 'up', healthMessage: '', limit: 0 },
      },
      {
        ...{ backend: 'web', id: 'web-2', inFlight: 0, requests: 5 },
        ...{ health: 'down', healthMessage: 'refuses connections: Connection refused', limit: 7 },
      },
    ],
    frontends: [{ name: 'http', connections: 9, status: 'OPEN', limit: 500 }],
  });
  expect(parseCounters('')).toEqual({ servers: [], frontends: [] });
});

test.each([
  ['L4TOUT', '', 'does not answer connections'],
  ['L7STS', 'Service Unavailable', 'answers the check with another status: Service Unavailable'],
  [
    'HANA',
    '"Detected 3 errors, ""L4"" last"',
    'failed too many requests: Detected 3 errors, "L4" last',
  ],
  ['NEW', 'what is this', 'NEW: what is this'],
])('says of a check that met %s (%s) that the server %s', (check, words, said) => {
  const { servers } = parseCounters(
    '# pxname,svname,qcur,scur,slim,stot,status,type,check_status,last_chk,x\n' +
      `web,a,0,0,,0,DOWN,2,${check},${words},y\n`,
  );
  expect(servers[0]?.healthMessage).toBe(said);
});

test.each([
  ['UP', 'up'],
  ['UP 1/3', 'up'],
  ['DRAIN', 'up'],
  ['NOLB', 'up'],
  ['DOWN', 'down'],
  ['DOWN (agent)', 'down'],
  ['MAINT', undefined],
  ['no check', undefined],
])('takes the status "%s" for %s', (status, health) => {
  const [row] = parseCounters(
    '# pxname,svname,qcur,scur,slim,stot,status,type,check_status,last_chk\n' +
      `web,a,0,0,,0,${status},2,,\n`,
  ).servers;
  expect(row?.health).toBe(health);
});

test('reads what a worker says of itself', () => {
  const text =
    'Name: HAProxy\nVersion: 2.6.12-1+deb12u4\nPid: 42\nnode: a:b\n' +
    'description: fairlead rev=abc ports=80,443\nStopping: 1\n' +
    'Maxconn: 3\nHard_maxconn: 500\nConnRateLimit: 0\nSessRateLimit: 4\nSslRateLimit: 5\n';
  expect(parseInfo(text)).toEqual({
    pid: 42,
    version: '2.6.12-1+deb12u4',
    description: 'fairlead rev=abc ports=80,443',
    stopping: true,
    limits: { connections: 3, configured: 500, rates: ['sessions', 'ssl-sessions'] },
  });
  expect(parseInfo('').pid).toBe(0);
});

test('reads a description that HAProxy quotes because of its comma', () => {
  const { description } = parseInfo('Pid: 42\ndescription: "fairlead rev=abc ports=80,1936"\n');
  expect(description).toBe('fairlead rev=abc ports=80,1936');
});

test('reads the workers of a master, old ones apart', () => {
  const text = [
    '#<PID>          <type>          <reloads>       <uptime>        <version>',
    '6875            master          2 [failed: 3]   0d00h01m24s     2.6.12-1+deb12u4',
    '# workers',
    '7158            worker          0               0d00h00m00s     2.6.12-1+deb12u4',
    '# old workers',
    '7029            worker          1               0d00h00m15s     2.6.12-1+deb12u4',
    '6990            worker          2               0d00h00m15s     2.6.12-1+deb12u4',
    '# programs',
    '',
  ].join('\n');
  expect(parseProcesses(text)).toEqual({
    failedReloads: 3,
    workers: [7158],
    oldWorkers: [7029, 6990],
  });
});

test('reads names of backends', () => {
  expect(parseBackends('# name\nweb\nfairlead-handoff-80\n\n')).toEqual([
    'web',
    'fairlead-handoff-80',
  ]);
});

test('finds the streams of one server', () => {
  const text = [
    '0x55: proto=tcpv4 src=127.0.0.1:1 fe=f be=web srv=web-1 ts=00 epoch=0',
    '0x66: proto=tcpv4 src=127.0.0.1:2 fe=f be=web srv=web-11 ts=00 epoch=0',
    '0x77: proto=unix_stream src=unix:1 fe=GLOBAL be=<NONE> srv=<none> ts=00',
  ].join('\n');
  expect(parseStreams(text, 'web', 'web-1')).toEqual(['0x55']);
});

test('reads from where a stream is connected to its server', () => {
  const details = (address: string) =>
    [
      '0x55: [23/Nov/2026:08:08:03.383301] id=1 proto=tcpv4 source=127.0.0.1:57040',
      '  frontend=http-80 (id=2 mode=http), listener=? (id=1) addr=127.0.0.1:8080',
      `  backend=web (id=3 mode=http) ${address}`,
      '  server=web-1.a (id=1) addr=10.231.0.3:8000',
    ].join('\n');
  expect(localAddressOf(details('addr=10.231.0.1:57436'))).toBe('10.231.0.1:57436');
  expect(localAddressOf(details('addr=2001:db8::1:57436'))).toBe('[2001:db8::1]:57436');
  expect(localAddressOf(details(''))).toBe('');
  expect(localAddressOf('')).toBe('');
});
