import { expect, test } from 'vitest';
import { metricsText, type Figures } from '../../../../coordinator/metrics/metrics-text.ts';

const figures: Figures = {
  version: '1.2.3',
  nodes: { unknown: 0, joining: 0, ready: 4, 'engine-away': 1, unreachable: 0, down: 0 },
  containers: {
    ...{ pending: 1, pulling: 0, starting: 0, running: 8, draining: 2 },
    ...{ stopping: 0, stopped: 0, failed: 0, removed: 0 },
  },
  actions: { 'in-progress': 1, succeeded: 7, failed: 0, superseded: 0, cancelled: 0 },
  sessions: { node: 4, proxy: 1 },
  services: [{ name: 'web', desired: 9, running: 8, ready: 7 }],
  proxies: [
    {
      ...{ id: 'aa', name: 'a "b"\\c\nd', service: 'lb', connected: true, listVersion: 7 },
      ...{ appliedVersion: 5, clientConnections: 30, reloads: 2, restarts: 1 },
    },
    {
      ...{ id: 'bb', name: 'away', service: 'lb', connected: false, listVersion: 0 },
      ...{ appliedVersion: 3, clientConnections: 0, reloads: 0, restarts: 0 },
    },
  ],
  certificates: [{ name: 'site', notAfterMs: 1_900_000_000_500 }],
  process: { startedAtMs: 1_700_000_000_000, cpuSeconds: 1.5, residentBytes: 90, heapBytes: 40 },
};

test.each([
  'fairlead_info{version="1.2.3"} 1',
  'fairlead_nodes{state="ready"} 4',
  'fairlead_nodes{state="down"} 0',
  'fairlead_containers{phase="draining"} 2',
  'fairlead_actions{state="in-progress"} 1',
  'fairlead_sessions{agent="proxy"} 1',
  'fairlead_service_containers_desired{service="web"} 9',
  'fairlead_service_containers_running{service="web"} 8',
  'fairlead_service_containers_ready{service="web"} 7',
  'fairlead_proxy_connected{service="lb",proxy="away",proxy_id="bb"} 0',
  'fairlead_proxy_versions_behind{service="lb",proxy="a \\"b\\"\\\\c\\nd",proxy_id="aa"} 2',
  'fairlead_proxy_versions_behind{service="lb",proxy="away",proxy_id="bb"} 0',
  'fairlead_proxy_reloads_total{service="lb",proxy="away",proxy_id="bb"} 0',
  'fairlead_certificate_not_after_seconds{certificate="site"} 1900000000.5',
  'process_cpu_seconds_total 1.5',
  'process_resident_memory_bytes 90',
  'process_start_time_seconds 1700000000',
])('tells %s', (line) => {
  expect(metricsText(figures).split('\n')).toContain(line);
});

test('is of lines that Prometheus reads, each series once, each family after its head', () => {
  const text = metricsText(figures);
  expect(text.endsWith('\n')).toBe(true);
  const series = new Set<string>();
  let family = '';
  for (const line of text.trimEnd().split('\n')) {
    const head = /^# (?:HELP (\w+) .+|TYPE (\w+) (?:gauge|counter))$/.exec(line);
    if (head !== null) {
      family = head[1] ?? head[2] ?? '';
      continue;
    }
    const sample =
      /^(\w+)((?:\{\w+="(?:[^"\\]|\\.)*"(?:,\w+="(?:[^"\\]|\\.)*")*\})?) [0-9.]+$/.exec(line);
    expect(sample, line).not.toBeNull();
    expect(sample?.[1]).toBe(family);
    series.add(`${sample?.[1]}${sample?.[2]}`);
  }
  const samples = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  expect(series.size).toBe(samples.length);
});
