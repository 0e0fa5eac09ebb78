import { expect, test } from 'vitest';
import {
  readDuration,
  readExpose,
  readLink,
  readPublish,
  readReadiness,
  readRestart,
  readVariable,
  readVariables,
} from '../../../client/cli/values.ts';
import { PortProtocol } from '../../../shared/gen/fairlead/v1/service.ts';

test.each([
  ['0', 0],
  ['500ms', 500],
  ['30s', 30_000],
  ['1.5m', 90_000],
  ['2h', 7_200_000],
  ['1d', 86_400_000],
])('reads the duration %s', (text, ms) => {
  expect(readDuration(text)).toBe(ms);
});

test.each(['30', '-1s', 's', '1w', '1 s', ''])('refuses the duration "%s"', (text) => {
  expect(() => readDuration(text)).toThrow('500ms, 30s or 5m');
});

test.each([
  ['80', { containerPort: 80, hostPort: 0, protocol: PortProtocol.TCP }],
  ['80/tcp', { containerPort: 80, hostPort: 0, protocol: PortProtocol.TCP }],
  ['8080:80', { containerPort: 80, hostPort: 8080, protocol: PortProtocol.TCP }],
  ['0:80', { containerPort: 80, hostPort: 0, protocol: PortProtocol.TCP }],
  ['5000:53/udp', { containerPort: 53, hostPort: 5000, protocol: PortProtocol.UDP }],
])('reads the published port %s', (text, port) => {
  expect(readPublish(text)).toEqual({ ...port, published: true });
});

test.each(['', '0', '65536', 'http', '127.0.0.1:80:80', '80-90', '80/sctp', '70000:80'])(
  'refuses the published port "%s"',
  (text) => {
    expect(() => readPublish(text)).toThrow();
  },
);

test('an exposed port is not published', () => {
  expect(readExpose('53/udp')).toEqual({
    containerPort: 53,
    hostPort: 0,
    protocol: PortProtocol.UDP,
    published: false,
  });
});

test('reads links with and without an alias', () => {
  expect(readLink('web')).toEqual({ service: 'web', alias: '' });
  expect(readLink('web:www')).toEqual({ service: 'web', alias: 'www' });
  expect(() => readLink(':www')).toThrow('SERVICE:ALIAS');
  expect(() => readLink('a:b:c')).toThrow('SERVICE:ALIAS');
});

test('reads variables, the value of one without a value being the one that it has here', () => {
  expect(readVariable('A=b=c', {})).toEqual(['A', 'b=c']);
  expect(readVariable('A=', {})).toEqual(['A', '']);
  expect(readVariable('A', { A: 'here' })).toEqual(['A', 'here']);
  expect(() => readVariable('A', {})).toThrow('A=VALUE');
  expect(() => readVariable('=b', {})).toThrow();
  expect(readVariables('# no\n\n  A=1\r\nB= 2 \n', {})).toEqual([
    ['A', '1'],
    ['B', ' 2 '],
  ]);
});

const http = { method: '', host: '', headers: {}, statuses: [] };

test.each([
  ['tcp', { $case: 'tcp', value: { port: 0 } }],
  ['tcp:8080', { $case: 'tcp', value: { port: 8080 } }],
  ['grpc', { $case: 'grpc', value: { port: 0, service: '' } }],
  ['cmd:test -e /up', { $case: 'command', value: { command: ['/bin/sh', '-c', 'test -e /up'] } }],
  ['none', { $case: 'none', value: {} }],
  ['http:/', { $case: 'http', value: { ...http, path: '/', port: 0 } }],
  ['http:/healthz:8080', { $case: 'http', value: { ...http, path: '/healthz', port: 8080 } }],
  ['http:/a:b?c=d', { $case: 'http', value: { ...http, path: '/a:b?c=d', port: 0 } }],
])('reads the readiness check %s', (text, check) => {
  expect(readReadiness(text)).toEqual(check);
});

test.each([
  'http',
  'http:healthz',
  'http://web/healthz',
  'http:/x:70000',
  'udp',
  'tcp:x',
  'cmd:',
  'grpc:/',
])('refuses the readiness check %s', (text) => {
  expect(() => readReadiness(text)).toThrow();
});

test.each([
  ['no', { policy: 'no', limit: 0 }],
  ['on-failure', { policy: 'on-failure', limit: 0 }],
  ['on-failure:3', { policy: 'on-failure', limit: 3 }],
])('reads the restart policy %s', (text, restart) => {
  expect(readRestart(text)).toEqual(restart);
});

test.each(['', 'never', 'always:3', 'on-failure:'])('refuses the restart policy "%s"', (text) => {
  expect(() => readRestart(text)).toThrow('on-failure:N');
});
