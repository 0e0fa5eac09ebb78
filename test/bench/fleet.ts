/**
 * What many agents cost a coordinator: 100, 500 and 2,000 of them, simulated in a process of their own, each
 * with an identity, a connection with mutual TLS and twenty containers, against a bare gRPC server with
 * mutual TLS that the same agents dial in the same run.
 */
import { writeFileSync } from 'node:fs';
import { connect, NodeState, Role, type FairleadClient } from '../../client/index.ts';
import { PlacementStrategy } from '../../shared/gen/fairlead/v1/service.ts';
import { systemClock } from '../../shared/clock.ts';
import { eventually } from '../support/eventually.ts';
import { TemporaryDirectory } from '../support/temporary-directory.ts';
import { testAuthority } from '../support/test-authority.ts';
import { CrowdProcess } from './fleet/crowd-process.ts';
import { CoordinatorServer, FloorServer, type Dialled } from './fleet/servers.ts';
import { atLeast, atMost, runBenchmark, type Findings, type Say } from './support/benchmark.ts';
import { readUsage } from './support/process-usage.ts';
import { runService } from './support/services.ts';
import { renderTable } from './support/table.ts';
import type { NodeIdentity } from './support/simulated-node.ts';

const sizes = [100, 500, 2_000];
const containersEach = 20;
/** More dials at once only queue: both sides share two processors. */
const dialsAtOnce = 32;
/** Memory is taken as the lowest of this time: between two collections of garbage it only grows. */
const restMs = 20_000;

const limits = {
  connects: 0.7,
  memory: 1.3,
  containerKiB: 2,
  cpuPercentPerThousand: 10,
  recovery: 1.5,
};

/** What one side needed for a number of agents. */
interface Cost {
  readonly connectsPerSecond: number;
  readonly kibPerAgent: number;
  readonly cpuPercent: number;
  /** From the start of the new process until the last agent was welcomed. */
  readonly recoveryMs: number;
}

interface Result {
  readonly agents: number;
  readonly floor: Cost;
  readonly fairlead: Cost & { readonly joinsPerSecond: number; readonly containersTouched: number };
}

async function measure(say: Say, signal: AbortSignal): Promise<Findings> {
  const results: Result[] = [];
  for (const agents of sizes) {
    await using directory = new TemporaryDirectory();
    say(`${agents} agents: the floor`);
    const floor = await measureFloor(agents, directory, signal);
    say(`${agents} agents: Fairlead`);
    const fairlead = await measureFairlead(agents, directory, say, signal);
    results.push({ agents, floor, fairlead });
  }
  return evaluate(results);
}

async function measureFloor(
  agents: number,
  directory: TemporaryDirectory,
  signal: AbortSignal,
): Promise<Cost> {
  const tlsPath = directory.join('floor-tls.json');
  const { bundle, serverIdentity } = testAuthority;
  writeFileSync(tlsPath, JSON.stringify({ ...serverIdentity, bundle }));
  const identities: NodeIdentity[] = [];
  for (let index = 0; index < agents; index++) {
    const certificate = await testAuthority.certificate(`node/${index}`);
    identities.push({ ...certificate, trust: { kind: 'bundle', pem: bundle } });
  }
  await using crowd = new CrowdProcess();
  await crowd.order({ kind: 'take', identities }, signal);
  await using server = await FloorServer.start(tlsPath, signal);
  const { connectsPerSecond, baseKib } = await connectAll(crowd, server, agents, signal);
  const rest = await atRest(server.pid, signal);
  const { ms: recoveryMs } = await recover(crowd, server, signal);
  return {
    ...{ connectsPerSecond, recoveryMs, cpuPercent: rest.cpuPercent },
    kibPerAgent: (rest.kib - baseKib) / agents,
  };
}

async function measureFairlead(
  agents: number,
  directory: TemporaryDirectory,
  say: Say,
  signal: AbortSignal,
): Promise<Result['fairlead']> {
  await using server = await CoordinatorServer.start(directory.join('coordinator'), signal);
  await using client = await connect({ address: server.address, token: server.token });
  const { secret: token } = await client.control.createToken({ name: 'join', role: Role.NODE });
  await using crowd = new CrowdProcess();
  const coordinator = server.address;
  const joined = await crowd.order({ kind: 'join', coordinator, token, count: agents }, signal);
  // Making certificates leaves much behind; what is measured begins with a process that made none.
  await server.restart(signal);
  const { connectsPerSecond, baseKib } = await connectAll(crowd, server, agents, signal);
  await allReady(client, agents, signal);
  say(`${agents} agents: ${agents * containersEach} containers`);
  for (let index = 0; index < containersEach; index++) await runEverywhere(client, index, signal);
  await recover(crowd, server, signal);
  await allReady(client, agents, signal);
  const rest = await atRest(server.pid, signal);
  const back = await recover(crowd, server, signal);
  await allReady(client, agents, signal);
  return {
    ...{ connectsPerSecond, recoveryMs: back.ms, cpuPercent: rest.cpuPercent },
    kibPerAgent: (rest.kib - baseKib) / agents,
    joinsPerSecond: (1_000 * agents) / joined.ms,
    containersTouched: back.changes,
  };
}

/** Has everybody dial a server that just started. */
async function connectAll(
  crowd: CrowdProcess,
  server: Dialled,
  agents: number,
  signal: AbortSignal,
): Promise<{ readonly connectsPerSecond: number; readonly baseKib: number }> {
  const { kib: baseKib } = await atRest(server.pid, signal);
  const { address: coordinator } = server;
  const opened = await crowd.order({ kind: 'open', coordinator, atOnce: dialsAtOnce }, signal);
  return { connectsPerSecond: (1_000 * agents) / opened.ms, baseKib };
}

/** Kills the server under everybody, starts it again, and waits until all are back. */
async function recover(crowd: CrowdProcess, server: Dialled, signal: AbortSignal) {
  const returned = crowd.order({ kind: 'await-return' }, signal);
  await server.restart(signal);
  return await returned;
}

async function allReady(client: FairleadClient, agents: number, signal: AbortSignal) {
  await eventually(
    async () => {
      const { nodes } = await client.control.listNodes({}, { signal });
      const ready = nodes.filter(({ state }) => state === NodeState.READY).length;
      if (ready < agents) throw new Error(`${ready} of ${agents} nodes are ready`);
    },
    { timeoutMs: 120_000 },
    signal,
  );
}

async function runEverywhere(client: FairleadClient, index: number, signal: AbortSignal) {
  const strategy = PlacementStrategy.EVERY_NODE;
  const spec = { image: 'simulated', strategy, ports: [{ containerPort: 80 }] };
  await runService(client, `service-${index}`, spec, signal);
}

/** The least memory, and the processor time, of a while. */
async function atRest(pid: number, signal: AbortSignal) {
  const startedAt = systemClock.monotonic();
  const first = readUsage(pid);
  let leastMib = first.rssMiB;
  for (let left = restMs; left > 0; left -= 250) {
    await systemClock.sleep(250, signal);
    signal.throwIfAborted();
    leastMib = Math.min(leastMib, readUsage(pid).rssMiB);
  }
  const usedMs = readUsage(pid).cpuMs - first.cpuMs;
  return {
    kib: leastMib * 1_024,
    cpuPercent: (100 * usedMs) / (systemClock.monotonic() - startedAt),
  };
}

function evaluate(results: readonly Result[]): Findings {
  const rows = results.flatMap(({ agents, ...sides }) =>
    (['floor', 'fairlead'] as const).map((name) => {
      const { connectsPerSecond, kibPerAgent, cpuPercent, recoveryMs } = sides[name];
      return [agents, name, connectsPerSecond, kibPerAgent, cpuPercent, recoveryMs];
    }),
  );
  const headings = ['agents', 'side', 'connects/s', 'KiB an agent', 'CPU % at rest', 'recovery ms'];
  const checks = results.flatMap(({ agents, floor, fairlead }) => {
    const memoryLimit = limits.memory * floor.kibPerAgent + limits.containerKiB * containersEach;
    const cpu = (1_000 * fairlead.cpuPercent) / agents;
    const connects = fairlead.connectsPerSecond / floor.connectsPerSecond;
    return [
      atLeast(`connects a second over the floor's, ${agents} agents`, connects, limits.connects),
      atMost(
        `KiB an agent with its containers, ${agents} agents`,
        fairlead.kibPerAgent,
        memoryLimit,
      ),
      atMost(`CPU % a thousand at rest, ${agents} agents`, cpu, limits.cpuPercentPerThousand),
      atMost(
        `recovery over the floor's, ${agents} agents`,
        fairlead.recoveryMs / floor.recoveryMs,
        limits.recovery,
      ),
      atMost(`containers touched by it, ${agents} agents`, fairlead.containersTouched, 0),
    ];
  });
  const about = `${containersEach} containers an agent on Fairlead's side, none on the floor's`;
  return {
    results: { containersEach, sizes: results },
    tables: [`${about}\n\n${renderTable(headings, rows)}`],
    checks,
  };
}

await runBenchmark({ name: 'bench:fleet', limitMs: 45 * 60_000 }, measure);
