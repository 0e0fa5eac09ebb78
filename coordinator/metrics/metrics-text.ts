import type { ActionState, NodeState, ObservedPhase } from '../model.ts';

/** Where a container is, as users are shown it. */
export type ShownPhase = ObservedPhase | 'pending' | 'draining';

/** All that a scrape tells. */
export interface Figures {
  readonly version: string;
  /** What is not there counts 0, so that a rule finds it. */
  readonly nodes: Readonly<Record<NodeState, number>>;
  readonly containers: Readonly<Record<ShownPhase, number>>;
  readonly actions: Readonly<Record<ActionState, number>>;
  /** Agents that are connected. */
  readonly sessions: { readonly node: number; readonly proxy: number };
  readonly services: readonly ServiceFigures[];
  readonly proxies: readonly ProxyFigures[];
  readonly certificates: readonly { readonly name: string; readonly notAfterMs: number }[];
  readonly process: ProcessFigures;
}

/** A service by its containers. */
export interface ServiceFigures {
  readonly name: string;
  /** 0 of one that is not started. */
  readonly desired: number;
  readonly running: number;
  /** They may take requests. */
  readonly ready: number;
}

/** A proxy as it reported last. */
export interface ProxyFigures {
  readonly id: string;
  readonly name: string;
  readonly service: string;
  readonly connected: boolean;
  /** Of the list as it is now. */
  readonly listVersion: number;
  readonly appliedVersion: number;
  readonly clientConnections: number;
  readonly reloads: number;
  readonly restarts: number;
}

/** The coordinator's own process. */
export interface ProcessFigures {
  readonly startedAtMs: number;
  readonly cpuSeconds: number;
  readonly residentBytes: number;
  readonly heapBytes: number;
}

type Labels = Readonly<Record<string, string>>;
type Sample = readonly [value: number, labels?: Labels];

/** A scrape in Prometheus' text format, version 0.0.4. */
export function metricsText(figures: Figures): string {
  return [
    ...stateFamilies(figures),
    ...serviceFamilies(figures.services),
    ...proxyFamilies(figures.proxies),
    ...processFamilies(figures.process),
  ].join('');
}

function stateFamilies({
  version,
  nodes,
  containers,
  actions,
  sessions,
  certificates,
}: Figures): string[] {
  const ends = certificates.map(({ name, notAfterMs }): Sample => [
    notAfterMs / 1_000,
    { certificate: name },
  ]);
  return [
    gauge('fairlead_info', 'The coordinator that answers.', [[1, { version }]]),
    gauge('fairlead_nodes', 'Nodes by state.', counted('state', nodes)),
    gauge('fairlead_containers', 'Containers by phase.', counted('phase', containers)),
    gauge('fairlead_actions', 'Actions that are kept, by state.', counted('state', actions)),
    gauge('fairlead_sessions', 'Agents that are connected.', counted('agent', sessions)),
    gauge(
      'fairlead_certificate_not_after_seconds',
      'When a certificate of load balancers ends, in Unix time.',
      ends,
    ),
  ];
}

function serviceFamilies(services: readonly ServiceFigures[]): string[] {
  const of = (key: 'desired' | 'running' | 'ready') =>
    services.map((service): Sample => [service[key], { service: service.name }]);
  const name = 'fairlead_service_containers';
  return [
    gauge(`${name}_desired`, 'Containers that a service is to have.', of('desired')),
    gauge(`${name}_running`, 'Containers of it that run.', of('running')),
    gauge(`${name}_ready`, 'Containers of it that may take requests.', of('ready')),
  ];
}

function proxyFamilies(proxies: readonly ProxyFigures[]): string[] {
  const of = (valueOf: (proxy: ProxyFigures) => number) =>
    proxies.map((proxy): Sample => {
      const { id, name, service } = proxy;
      return [valueOf(proxy), { service, proxy: name, proxy_id: id }];
    });
  const name = 'fairlead_proxy';
  return [
    gauge(
      `${name}_connected`,
      'Whether a proxy has a session.',
      of(({ connected }) => (connected ? 1 : 0)),
    ),
    gauge(
      `${name}_applied_version`,
      'Version of the list that is in effect in its HAProxy.',
      of(({ appliedVersion }) => appliedVersion),
    ),
    gauge(
      `${name}_versions_behind`,
      'Versions of the list that are not in effect there yet.',
      of(({ listVersion, appliedVersion }) => Math.max(0, listVersion - appliedVersion)),
    ),
    gauge(
      `${name}_client_connections`,
      'Connections that clients have open to it.',
      of(({ clientConnections }) => clientConnections),
    ),
    counter(
      `${name}_reloads_total`,
      'Reloads of its HAProxy since its agent began.',
      of(({ reloads }) => reloads),
    ),
    counter(
      `${name}_restarts_total`,
      'Starts of its HAProxy after it had ended, since its agent began.',
      of(({ restarts }) => restarts),
    ),
  ];
}

/** Under the names that every client library gives them. */
function processFamilies(own: ProcessFigures): string[] {
  const { startedAtMs, cpuSeconds, residentBytes, heapBytes } = own;
  return [
    counter('process_cpu_seconds_total', 'Processor time used.', [[cpuSeconds]]),
    gauge('process_resident_memory_bytes', 'Memory in use.', [[residentBytes]]),
    gauge('nodejs_heap_size_used_bytes', 'Memory of the heap in use.', [[heapBytes]]),
    gauge('process_start_time_seconds', 'When it started, in Unix time.', [[startedAtMs / 1_000]]),
  ];
}

function counted(label: string, counts: Readonly<Record<string, number>>): Sample[] {
  return Object.entries(counts).map(([value, count]) => [count, { [label]: value }]);
}

function gauge(name: string, help: string, samples: readonly Sample[]): string {
  return family(name, { type: 'gauge', help }, samples);
}

function counter(name: string, help: string, samples: readonly Sample[]): string {
  return family(name, { type: 'counter', help }, samples);
}

function family(
  name: string,
  { type, help }: { readonly type: string; readonly help: string },
  samples: readonly Sample[],
): string {
  const lines = samples.map(([value, labels = {}]) => `${name}${labelsText(labels)} ${value}\n`);
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join('')}`;
}

function labelsText(labels: Labels): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escaped(value)}"`);
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}

function escaped(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replaceAll('"', '\\"');
}
