/**
 * What the processes of Fairlead need at rest: a coordinator with five nodes, the agent of a node with
 * eight containers, and a proxy agent that balances them.
 */
import { join } from 'node:path';
import { ApiRole, Role } from '../../client/index.ts';
import { systemClock } from '../../shared/clock.ts';
import { Fleet } from '../support/fleet/fleet.ts';
import { helloImage, labSite } from '../support/fleet/lab-site.ts';
import { prepareImages } from '../support/lab/images.ts';
import { Lab } from '../support/lab/lab.ts';
import { atMost, runBenchmark, type Findings, type Say } from './support/benchmark.ts';
import { readUsage } from './support/process-usage.ts';
import { startProxyAgent } from './support/proxy-agent.ts';
import { runService } from './support/services.ts';
import { renderTable } from './support/table.ts';

const hosts = 5;
const replicas = 8;
const containerPort = 80;

const limits = { agentMiB: 60, agentCpuPercent: 0.5, coordinatorMiB: 110 };

/**
 * At rest: for a minute no process used more than this part of a core. By then the garbage of the start has
 * been collected, which V8 takes its time for.
 */
const rest = { windows: 20, windowMs: 3_000, cpuPercent: 3, timeoutMs: 240_000 };
const measuredMs = 40_000;
const sampleEveryMs = 1_000;

type Name = 'node agent' | 'coordinator' | 'proxy agent';
type Pids = Readonly<Record<Name, number>>;

interface Footprint {
  readonly name: Name;
  /** The largest of all samples, and the last. */
  readonly rssMiB: number;
  readonly lastRssMiB: number;
  readonly pssMiB: number | null;
  readonly cpuPercent: number;
}

async function measure(say: Say, signal: AbortSignal): Promise<Findings> {
  const images = await prepareImages({ hello: helloImage }, signal);
  await using lab = await Lab.start({ hosts, label: 'bench:footprint', images }, signal);
  say('starting Fairlead');
  const plans = lab.hosts.map(({ name }, index) => ({ name, tags: index === 0 ? ['loaded'] : [] }));
  await using fleet = await Fleet.start(labSite(lab), plans, signal);
  const pids = await deploy(lab, fleet, signal);
  say('waiting until everything is at rest');
  await untilAtRest(pids, signal);
  say(`measuring for ${measuredMs / 1_000} s`);
  return evaluate(await watch(pids, measuredMs, signal));
}

async function deploy(lab: Lab, fleet: Fleet, signal: AbortSignal): Promise<Pids> {
  const { client } = fleet;
  const ports = [{ containerPort, published: true }];
  const web = { image: helloImage, replicas, ports, tags: ['loaded'] };
  await runService(client, 'web', web, signal);
  const balancer = { replicas: 0, ports, apiRole: ApiRole.PROXY, links: [{ service: 'web' }] };
  await runService(client, 'lb', { ...balancer, image: helloImage }, signal);
  const token = { name: 'lb', role: Role.PROXY, services: ['lb'] };
  const { secret } = await client.control.createToken(token, { signal });
  const proxy = await startProxyAgent(lab.hosts[1]!, {
    coordinator: fleet.address,
    token: secret,
    service: 'lb',
    stateDir: join(lab.directory, 'proxy'),
  });
  return {
    'node agent': fleet.agent(lab.hosts[0]!.name).pid,
    coordinator: fleet.coordinator.pid,
    'proxy agent': proxy.pid,
  };
}

async function untilAtRest(pids: Pids, signal: AbortSignal): Promise<void> {
  const deadline = systemClock.monotonic() + rest.timeoutMs;
  for (let calm = 0; calm < rest.windows; calm++) {
    const footprints = await watch(pids, rest.windowMs, signal);
    const busy = footprints.find(({ cpuPercent }) => cpuPercent > rest.cpuPercent);
    if (busy === undefined) continue;
    calm = -1;
    if (systemClock.monotonic() < deadline) continue;
    throw new Error(
      `the ${busy.name} does not come to rest: ${busy.cpuPercent.toFixed(1)} % of a core`,
    );
  }
}

/** Samples the processes for a time. */
async function watch(pids: Pids, ms: number, signal: AbortSignal): Promise<Footprint[]> {
  const names = Object.keys(pids) as Name[];
  const read = () => ({
    atMs: systemClock.monotonic(),
    usage: names.map((name) => readUsage(pids[name])),
  });
  const first = read();
  const samples = [first];
  let last = first;
  while (last.atMs < first.atMs + ms) {
    await systemClock.sleep(Math.min(sampleEveryMs, first.atMs + ms - last.atMs), signal);
    signal.throwIfAborted();
    last = read();
    samples.push(last);
  }
  return names.map((name, index) => {
    const usages = samples.map(({ usage }) => usage[index]!);
    const usedMs = usages.at(-1)!.cpuMs - usages[0]!.cpuMs;
    return {
      name,
      rssMiB: Math.max(...usages.map(({ rssMiB }) => rssMiB)),
      lastRssMiB: usages.at(-1)!.rssMiB,
      pssMiB: usages.at(-1)!.pssMiB ?? null,
      cpuPercent: (100 * usedMs) / (last.atMs - first.atMs),
    };
  });
}

function evaluate(footprints: readonly Footprint[]): Findings {
  const of = (wanted: Name) => footprints.find(({ name }) => name === wanted)!;
  const rows = footprints.map(({ name, rssMiB, lastRssMiB, pssMiB, cpuPercent }) => [
    name,
    rssMiB,
    lastRssMiB,
    pssMiB ?? 'hidden',
    cpuPercent,
  ]);
  const headings = ['process', 'RSS MiB (max)', 'RSS MiB (last)', 'PSS MiB', 'CPU % of a core'];
  const about = `at rest for ${measuredMs / 1_000} s: ${hosts} nodes, ${replicas} containers on one`;
  return {
    results: { hosts, replicas, measuredMs, footprints },
    tables: [`${about}\n\n${renderTable(headings, rows)}`],
    checks: [
      atMost('MiB of the node agent', of('node agent').rssMiB, limits.agentMiB),
      atMost('% of a core of the node agent', of('node agent').cpuPercent, limits.agentCpuPercent),
      atMost('MiB of the coordinator', of('coordinator').rssMiB, limits.coordinatorMiB),
    ],
  };
}

await runBenchmark({ name: 'bench:footprint', limitMs: 10 * 60_000 }, measure);
