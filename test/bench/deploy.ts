/**
 * How long it takes from the call that creates a service of 8 or of 100 containers on four engines until all
 * of them answer, against the same by hand, in turns: the same containers, created and started on the same
 * engines by the shortest way, as many at a time as engines are fastest with.
 *
 *   deploy.ts [--json] [--replicas 8|100]
 */
import { setMaxListeners } from 'node:events';
import Docker from 'dockerode';
import { PlacementStrategy } from '../../client/index.ts';
import { ChildController } from '../../shared/abort.ts';
import { systemClock } from '../../shared/clock.ts';
import { Fleet } from '../support/fleet/fleet.ts';
import { helloImage, labSite } from '../support/fleet/lab-site.ts';
import { eventually } from '../support/eventually.ts';
import { prepareImages } from '../support/lab/images.ts';
import { Lab } from '../support/lab/lab.ts';
import { atMost, runBenchmark, type Findings, type Say } from './support/benchmark.ts';
import { untilAnswers } from './support/http.ts';
import { summarize } from './support/statistics.ts';
import { renderTable } from './support/table.ts';

const hosts = 4;
const roundTimeoutMs = 180_000;
/** What an engine creates and starts at the same time: with more it is slower. */
const parallelism = 4;

interface Case {
  readonly replicas: number;
  readonly rounds: number;
  /** Rounds before those, which warm up. */
  readonly warmups: number;
  /** Over the same by hand. */
  readonly limit: number;
}

const cases: readonly Case[] = [
  { replicas: 8, rounds: 9, warmups: 1, limit: 1.3 },
  { replicas: 100, rounds: 3, warmups: 0, limit: 1.2 },
];
const containerPort = 80;

/** One deployment, in milliseconds since its first call. */
interface Deployment {
  /** The engine has started the last container, as far as its client was told. */
  readonly startedMs: number;
  readonly answeredMs: number;
}

type Side = 'fairlead' | 'by hand';
type Deploy = (signal: AbortSignal) => Promise<Deployment>;
type Taken = Record<Side, Deployment[]>;

async function measure(say: Say, signal: AbortSignal): Promise<Findings> {
  const images = await prepareImages({ hello: helloImage }, signal);
  await using lab = await Lab.start({ hosts, label: 'bench:deploy', images }, signal);
  const plans = lab.hosts.map(({ name }) => ({ name, tags: [] }));
  say('starting Fairlead');
  await using fleet = await Fleet.start(labSite(lab), plans, signal);

  const findings: Findings[] = [];
  for (const each of cases.filter(isChosen)) {
    const { replicas, rounds, warmups } = each;
    const sides: Record<Side, Deploy> = {
      fairlead: (until) => deployByFairlead(fleet, replicas, until),
      'by hand': (until) => deployByHand(lab, replicas, until),
    };
    const taken: Taken = { fairlead: [], 'by hand': [] };
    for (let round = 0; round < warmups + rounds; round++) {
      const order = ['fairlead', 'by hand'] as const;
      for (const side of round % 2 === 0 ? order : order.toReversed()) {
        const deployment = await within(roundTimeoutMs, sides[side], signal);
        await untilEmpty(lab, fleet, signal);
        const { answeredMs } = deployment;
        say(`${replicas} containers, round ${round}, ${side}: ${answeredMs.toFixed(0)} ms`);
        if (round >= warmups) taken[side].push(deployment);
      }
    }
    findings.push(evaluate(each, taken));
  }
  return {
    results: { unit: 'ms', hosts, cases: findings.map(({ results }) => results) },
    tables: findings.flatMap(({ tables }) => tables),
    checks: findings.flatMap(({ checks }) => checks),
  };
}

function isChosen({ replicas }: Case): boolean {
  const index = process.argv.indexOf('--replicas');
  return index < 0 || Number(process.argv[index + 1]) === replicas;
}

async function deployByFairlead(
  fleet: Fleet,
  replicas: number,
  signal: AbortSignal,
): Promise<Deployment> {
  const { control } = fleet.client;
  using watching = new ChildController(signal);
  const views = fleet.client.watchContainers({}, watching.signal)[Symbol.asyncIterator]();
  await views.next();
  const startedAt = systemClock.monotonic();
  const creating = control.createService(
    {
      name: 'web',
      spec: {
        image: helloImage,
        replicas,
        ports: [{ containerPort, published: true }],
        strategy: PlacementStrategy.HIGH_AVAILABILITY,
      },
      start: true,
    },
    { signal },
  );
  const answers = new Map<string, Promise<void>>();
  while (answers.size < replicas) {
    const next = await views.next();
    if (next.done === true) throw new Error('the watch of the containers ended');
    for (const { id, node, ports } of next.value.changed) {
      const [port] = ports;
      if (port === undefined || answers.has(id)) continue;
      answers.set(id, untilAnswers(fleet.host(node).address, port.hostPort, signal));
    }
  }
  const startedMs = systemClock.monotonic() - startedAt;
  await creating;
  await Promise.all(answers.values());
  return { startedMs, answeredMs: systemClock.monotonic() - startedAt };
}

/** As many on each engine, so many at a time; a container that runs is asked while others are made. */
async function deployByHand(lab: Lab, replicas: number, signal: AbortSignal): Promise<Deployment> {
  const startedAt = systemClock.monotonic();
  let startedMs = 0;
  const port = `${containerPort}/tcp`;
  const answers: Promise<void>[] = [];
  const runOne = async (index: number): Promise<void> => {
    const host = lab.hosts[index % hosts]!;
    const docker = new Docker({ socketPath: host.dockerSocket });
    const container = await docker.createContainer({
      name: `by-hand-${index}`,
      Image: helloImage,
      ExposedPorts: { [port]: {} },
      HostConfig: {
        PortBindings: { [port]: [{ HostIp: '0.0.0.0', HostPort: '' }] },
        RestartPolicy: { Name: 'unless-stopped' },
      },
    });
    await container.start();
    startedMs = systemClock.monotonic() - startedAt;
    const { NetworkSettings: network } = await container.inspect();
    const hostPort = Number(network.Ports[port]?.[0]?.HostPort);
    answers.push(untilAnswers(host.address, hostPort, signal));
  };
  const workers = Array.from({ length: hosts * parallelism }, async (_, worker) => {
    for (let index = worker; index < replicas; index += hosts * parallelism) await runOne(index);
  });
  await Promise.all(workers);
  await Promise.all(answers);
  return { startedMs, answeredMs: systemClock.monotonic() - startedAt };
}

/** Takes everything away again; resolves when no engine has a container left. */
async function untilEmpty(lab: Lab, fleet: Fleet, signal: AbortSignal): Promise<void> {
  const { control } = fleet.client;
  const { services } = await control.listServices({}, { signal });
  for (const { id } of services) {
    const { action } = await control.removeService({ service: id }, { signal });
    if (action !== undefined) {
      await fleet.client.waitForAction(action.id, { timeoutMs: roundTimeoutMs }, signal);
    }
  }
  for (const { dockerSocket } of lab.hosts) {
    const docker = new Docker({ socketPath: dockerSocket });
    const empty = async () => {
      const left = await docker.listContainers({ all: true });
      const byHand = left.filter(({ Names: names }) => names.some((name) => /by-hand/.test(name)));
      await Promise.all(
        byHand.map(({ Id: id }) => docker.getContainer(id).remove({ force: true })),
      );
      if (left.length > 0) throw new Error(`${left.length} containers are left`);
    };
    await eventually(empty, { timeoutMs: roundTimeoutMs }, signal);
  }
}

async function within<T>(
  ms: number,
  work: (signal: AbortSignal) => Promise<T>,
  signal: AbortSignal,
): Promise<T> {
  using limited = new ChildController(signal);
  // Every container is asked until then.
  setMaxListeners(0, limited.signal);
  void systemClock.sleep(ms, limited.signal).then(() => {
    limited.abort(new Error(`not all containers answered within ${ms} ms`));
  });
  return await work(limited.signal);
}

function evaluate({ replicas, limit }: Case, taken: Readonly<Taken>): Findings {
  const summaries = (['fairlead', 'by hand'] as const).map((side) => ({
    side,
    started: summarize(taken[side].map(({ startedMs }) => startedMs)),
    answered: summarize(taken[side].map(({ answeredMs }) => answeredMs)),
  }));
  const rows = summaries.flatMap(({ side, started, answered }) => [
    [side, 'last one started', started.count, started.min, started.p50, started.max],
    [side, 'all answered', answered.count, answered.min, answered.p50, answered.max],
  ]);
  const [fairlead, byHand] = summaries;
  const ratio = fairlead!.answered.p50 / byHand!.answered.p50;
  const headings = ['side', 'until', 'rounds', 'min', 'p50', 'max'];
  const name = `${replicas} containers, p50 until all answered over the same by hand`;
  return {
    results: { replicas, deployments: taken, summaries },
    tables: [
      `ms from the first call, ${replicas} containers on ${hosts} engines\n\n${renderTable(headings, rows)}`,
    ],
    checks: [atMost(name, ratio, limit)],
  };
}

await runBenchmark({ name: 'bench:deploy', limitMs: 15 * 60_000 }, measure);
