import { expect, test } from 'vitest';
import { renderConfig } from '../../../../agent/proxy/config-file.ts';
import type { ConfigSettings } from '../../../../agent/proxy/config-settings.ts';
import { pauseRules } from '../../../../agent/proxy/pause-rules.ts';
import { aList, aTarget } from './builders.ts';

const settings: ConfigSettings = {
  maxConnections: 4_096,
  adminSocketPath: '/run/p/admin.sock',
  serverStatePath: '/run/p/server.state',
  handoffSocketPath: (port) => `/run/p/h${port}.sock`,
  mapPath: (name) => `/run/p/maps/${name}`,
  statsPort: 0,
  statsAuth: undefined,
  metricsPort: 0,
  metricsAddress: '127.0.0.1',
  accessLog: false,
  pausePort: 1_053,
  tls: { certificateList: '/run/p/certificates/list.txt', clientCa: () => '/run/p/clients.crt' },
};

/** The lines of one section. */
function section(config: string, head: string): string[] {
  const start = config.split('\n').indexOf(head);
  const lines = config.split('\n').slice(start + 1);
  return lines.slice(0, lines.indexOf('')).map((line) => line.trim());
}

const http = {
  name: 'http',
  port: 80,
  protocol: 'http',
  defaultBackend: 'web',
  routes: [],
} as const;
const render = (list = aList(), changes: Partial<ConfigSettings> = {}) => {
  const description = 'fairlead rev=abc ports=80';
  return [...renderConfig({ ...list, description }, { ...settings, ...changes })].join('');
};

test('holds every ready target with all its parameters, and none in drain', () => {
  const targets = [
    aTarget({ id: 'web-1' }),
    aTarget({ id: 'web-2', mode: 'drain' }),
    aTarget({ id: 'web-3', address: '2001:db8::7' }),
    aTarget({ id: 'api-1', backend: 'api' }),
  ];
  const servers = section(render(aList({ targets })), 'backend web from fairlead-http').filter(
    (line) => line.startsWith('server '),
  );
  expect(servers.map((line) => line.split(' ').slice(0, 3).join(' '))).toEqual([
    'server web-1 10.0.0.1:80',
    'server web-3 [2001:db8::7]:80',
  ]);
  expect(servers[0]).toContain('pool-purge-delay 5s pool-max-conn -1');
});

test('repeats a request only where that can do no harm', () => {
  const config = render();
  expect(section(config, 'defaults fairlead-http')).toEqual(
    expect.arrayContaining([
      'option redispatch 1',
      'option idle-close-on-response',
      'retries 3',
      'retry-on conn-failure empty-response',
    ]),
  );
  expect(section(config, 'backend web from fairlead-http')).toContain(
    'http-request disable-l7-retry unless METH_GET !{ req.fhdr(Upgrade) -m found } or { method HEAD OPTIONS PUT DELETE }',
  );
});

test('hands requests of a replaced worker to its successor, also those that it held', () => {
  const config = render();
  const pauses = pauseRules({
    ...{ isRouted: false, defaultBackend: 'web', backends: [] },
    mapPath: settings.mapPath,
    noticesGone: false,
    peer: undefined,
  });
  expect(section(config, 'frontend http from fairlead-front')).toEqual([
    'bind :80',
    'bind unix@/run/p/h80.sock mode 600 accept-proxy name handoff',
    'monitor-uri /_lb_ping',
    'http-request deny deny_status 405 if { method CONNECT }',
    'http-request del-header Upgrade if { req.hdr(Upgrade) -m beg -i h2c }',
    'http-request del-header Connection unless { req.fhdr(Upgrade) -m found } { req.hdr(Connection) -m str -i upgrade }',
    'http-request set-header Connection Upgrade if { req.fhdr(Connection) -m found }',
    "http-request del-header '^(x[-_]forwarded([-_].*)?|x[-_]real[-_]ip|forwarded|x[-_](original|rewrite)[-_]url|proxy)$' -m reg",
    'http-request set-header X-Forwarded-Proto http',
    'http-request set-header X-Forwarded-For %[src]',
    "http-request del-header '^x[-_]ssl[-_]client[-_](verify|dn)$' -m reg unless { so_name handoff }",
    'http-request set-var(txn.handed) bool(true) if { stopping } { srv_is_up(fairlead-handoff-80/next) }',
    ...pauses,
    'http-request set-var(txn.handed) bool(true) if { var(txn.pause) -m found } { stopping } { srv_is_up(fairlead-handoff-80/next) }',
    'use_backend fairlead-handoff-80 if { var(txn.handed) -m found }',
    'default_backend web',
  ]);
  expect(section(config, 'backend fairlead-handoff-80 from fairlead-http')).toEqual([
    'server next unix@/run/p/h80.sock send-proxy-v2',
  ]);
});

test('keeps a port open whose backend is missing or speaks something else', () => {
  for (const backends of [[], [{ name: 'web', protocol: 'tcp' } as const]]) {
    const lines = section(render(aList({ backends })), 'frontend http from fairlead-front');
    expect(lines).toContain('bind :80');
    expect(lines).not.toContain('default_backend web');
  }
});

test('passes bytes through a TCP frontend', () => {
  const config = render(
    aList({
      frontends: [
        http,
        { name: 'db', port: 5432, protocol: 'tcp', defaultBackend: 'db', routes: [] },
      ],
      backends: [{ name: 'db', protocol: 'tcp' }],
    }),
  );
  expect(section(config, 'frontend db from fairlead-tcp')).toEqual([
    'bind :5432',
    'default_backend db',
  ]);
  expect(section(config, 'backend db from fairlead-tcp')).toEqual([]);
});

test('gives metrics at one address, and only where it was told to', () => {
  expect(render()).not.toContain('prometheus');
  const config = render(aList(), { metricsPort: 9_101, metricsAddress: '2001:db8::7' });
  expect(section(config, 'frontend fairlead-metrics from fairlead-http')).toEqual([
    'bind [2001:db8::7]:9101',
    'http-request use-service prometheus-exporter if { path /metrics }',
    'http-request return status 404',
  ]);
  expect(config).not.toContain('track-sc1');
});

test('has the statistics page only behind a password', () => {
  expect(render()).not.toContain('stats enable');
  expect(render(aList(), { statsPort: 1936 })).not.toContain('stats enable');
  const open = section(
    render(aList(), { statsPort: 1936, statsAuth: 'joe:secret' }),
    'frontend fairlead-stats from fairlead-http',
  );
  expect(open).toEqual(expect.arrayContaining(['bind :1936', "stats auth 'joe:secret'"]));
  expect(open.some((line) => line.startsWith('stats admin'))).toBe(false);
});
