/**
 * How long it takes from the call that creates a service of eight containers on four engines until all
 * eight answer, against the same by hand, in turns: the same containers, created and started on the same
 * engines by the shortest way, all at once.
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
const replicas = 8;
const rounds = 9;
const limit = 1.3;
const roundTimeoutMs = 60_000;
const containerPort = 80;

/** One deployment, in milliseconds since its first call. */
interface Deployment {
  /** The engine has started the last container, as far as its client was told. */
  readonly startedMs: number;
  readonly answeredMs: number;
}

type Deploy = (signal: AbortSignal) => Promise<Deployment>;

async function measure(say: Say, signal: AbortSignal): Promise<Findings> {
  const images = await prepareImages({ hello: helloImage }, signal);
  await using lab = await Lab.start({ hosts, label: 'bench:deploy', images }, signal);
  const plans = lab.hosts.map(({ name }) => ({ name, tags: [] }));
  say('starting Fairlead');
  await using fleet = await Fleet.start(labSite(lab), plans, signal);

  const sides: Record<'fairlead' | 'by hand', Deploy> = {
    fairlead: (until) => deployByFairlead(fleet, until),
    'by hand': (until) => deployByHand(lab, until),
  };
  const taken: Record<keyof typeof sides, Deployment[]> = { fairlead: [], 'by hand': [] };
  for (let round = 0; round <= rounds; round++) {
    const order = ['fairlead', 'by hand'] as const;
    for (const side of round % 2 === 0 ? order : order.toReversed()) {
      const deployment = await within(roundTimeoutMs, sides[side], signal);
      await untilEmpty(lab, fleet, signal);
      say(`round ${round}, ${side}: ${deployment.answeredMs.toFixed(0)} ms`);
      // The first round warms up.
      if (round > 0) taken[side].push(deployment);
    }
  }
  return evaluate(taken);
}

async function deployByFairlead(fleet: Fleet, signal: AbortSignal): Promise<Deployment> {
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

/** Two containers on each engine, all at the same time: engines are fastest with two to four at once. */
async function deployByHand(lab: Lab, signal: AbortSignal): Promise<Deployment> {
  const startedAt = systemClock.monotonic();
  let startedMs = 0;
  const port = `${containerPort}/tcp`;
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
    await untilAnswers(host.address, Number(network.Ports[port]?.[0]?.HostPort), signal);
  };
  await Promise.all(Array.from({ length: replicas }, (_, index) => runOne(index)));
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
    await eventually(async () => {
      const left = await docker.listContainers({ all: true });
      const byHand = left.filter(({ Names: names }) => names.some((name) => /by-hand/.test(name)));
      await Promise.all(
        byHand.map(({ Id: id }) => docker.getContainer(id).remove({ force: true })),
      );
      if (left.length > 0) throw new Error(`${left.length} containers are left`);
    });
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

function evaluate(
  taken: Readonly<Record<'fairlead' | 'by hand', readonly Deployment[]>>,
): Findings {
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
  return {
    results: { unit: 'ms', hosts, replicas, deployments: taken, summaries },
    tables: [
      `ms from the first call, ${replicas} containers on ${hosts} engines\n\n${renderTable(headings, rows)}`,
    ],
    checks: [atMost('p50 until all answered over the same by hand', ratio, limit)],
  };
}

await runBenchmark({ name: 'bench:deploy', limitMs: 15 * 60_000 }, measure);
