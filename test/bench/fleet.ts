/**
 * What many agents cost a coordinator: 100, 500 and 2,000 of them, simulated in processes of their own, each
 * with an identity, a connection with mutual TLS and twenty containers, against a bare gRPC server with
 * mutual TLS that the same agents dial in the same run.
 *
 *   fleet.ts [--json] [--agents 100,500,2000]
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { connect, NodeState, Role, type FairleadClient } from '../../client/index.ts';
import { PlacementStrategy } from '../../shared/gen/fairlead/v1/service.ts';
import { systemClock } from '../../shared/clock.ts';
import { eventually } from '../support/eventually.ts';
import { TemporaryDirectory } from '../support/temporary-directory.ts';
import { testAuthority } from '../support/test-authority.ts';
import { Crowd } from './fleet/crowd-process.ts';
import { CoordinatorServer, FloorServer, type Dialled } from './fleet/servers.ts';
import { atLeast, atMost, runBenchmark, type Findings, type Say } from './support/benchmark.ts';
import { readUsage } from './support/process-usage.ts';
import { runService } from './support/services.ts';
import { percentile } from './support/statistics.ts';
import { renderTable } from './support/table.ts';
import type { NodeIdentity } from './support/simulated-node.ts';

const { values: flags } = parseArgs({
  // The harness takes the others.
  strict: false,
  options: { agents: { type: 'string', default: '100,500,2000' } },
});
const sizes = String(flags.agents).split(',').map(Number);
/**
 * Memory is counted from so many agents on, with their containers: what the first cost once, in code that is
 * loaded and compiled, is not theirs alone. Each time in a process that was killed and took all of them back. The
 * first ones hang up and dial again so many times, or less would be compiled than where more are.
 */
const firstAgents = 10;
const redials = 20;
const containersEach = 20;
/** More dials at once only queue: both sides share two processors. */
const dialsAtOnce = 32;
const joinsAtOnce = 16;
const settleMs = 10_000;
/** Processor time is that of the usual one of so many windows: a collection of garbage of before is in one of them. */
const windowMs = 5_000;
const windows = 9;
const collections = 4;
/**
 * Memory and recovery are those of the usual one of so many processes: where a heap comes to lie is worth megabytes, by
 * chance, and one collection of garbage is worth a tenth of a second.
 */
const processes = 3;

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
  /** From the kill until the last agent was welcomed by the new process. */
  readonly recoveryMs: number;
}

interface Result {
  readonly agents: number;
  readonly floor: Cost;
  readonly fairlead: Cost & { readonly joinsPerSecond: number; readonly containersTouched: number };
}

async function measure(say: Say, signal: AbortSignal): Promise<Findings> {
  const results: Result[] = [];
  say(`${firstAgents} agents, which the others are compared with`);
  const baseKib = await measureFirst(signal);
  for (const agents of sizes) {
    await using directory = new TemporaryDirectory();
    say(`${agents} agents: the floor`);
    const floor = await measureFloor(agents, directory, signal);
    say(`${agents} agents: Fairlead`);
    const { kib, ...fairlead } = await runFleet(agents, directory.join('all'), signal);
    const kibPerAgent = (kib - baseKib) / (agents - firstAgents);
    results.push({ agents, floor, fairlead: { ...fairlead, kibPerAgent } });
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
  await using crowd = new Crowd(agents);
  await crowd.take(identities, signal);
  await using server = await FloorServer.start(directory.path, tlsPath, signal);
  await open(crowd, server, firstAgents, signal);
  const firstComeBack = async () => {
    await comeBack(crowd, server, redials, signal);
  };
  const baseKib = await usuallyHeldKib(server, firstComeBack, signal);
  const openedMs = await open(crowd, server, agents, signal);
  // What the handshakes take, and no more: a bare server to which all come at once may lose those that it had.
  const handshakesMs = (openedMs * agents) / (agents - firstAgents);
  const recovery = ({ ms, startMs }: Return) => Math.min(ms, startMs + handshakesMs);
  const returns = [await recover(crowd, server, signal)];
  const cpuPercent = await cpuAtRest(server, signal);
  const allComeBack = async () => {
    returns.push(await comeBack(crowd, server, 0, signal));
  };
  const kib = await usuallyHeldKib(server, allComeBack, signal);
  return {
    ...{ recoveryMs: percentile(returns.map(recovery), 0.5), cpuPercent },
    connectsPerSecond: (1_000 * (agents - firstAgents)) / openedMs,
    kibPerAgent: (kib - baseKib) / (agents - firstAgents),
  };
}

async function measureFirst(signal: AbortSignal): Promise<number> {
  await using directory = new TemporaryDirectory();
  return (await runFleet(firstAgents, directory.join('first'), signal, redials)).kib;
}

/** A coordinator with so many agents, from their joining to their returns, after each of which they dial so often again. */
async function runFleet(agents: number, stateDir: string, signal: AbortSignal, dials = 0) {
  await using server = await CoordinatorServer.start(stateDir, signal);
  await using client = await connect({ address: server.address, token: server.token });
  const { secret: token } = await client.control.createToken({ name: 'join', role: Role.NODE });
  await using crowd = new Crowd(agents);
  const { address: coordinator } = server;
  const joinedMs = await crowd.join(agents, { coordinator, token, atOnce: joinsAtOnce }, signal);
  // Making certificates leaves much behind; connecting begins with a process that made none.
  await server.restart(signal);
  const openedMs = await open(crowd, server, agents, signal);
  await allReady(client, agents, signal);
  for (let index = 0; index < containersEach; index++) await runEverywhere(client, index, signal);
  await allRun(client, agents, signal);
  const returns = [await recover(crowd, server, signal)];
  await allReady(client, agents, signal);
  await allRun(client, agents, signal);
  const cpuPercent = await cpuAtRest(server, signal);
  // Assignments come after the welcome: it is counted when all has been told, each time.
  let containersTouched = await crowd.countChanges(signal);
  const allComeBack = async () => {
    returns.push(await comeBack(crowd, server, dials, signal));
    await allReady(client, agents, signal);
    await allRun(client, agents, signal);
    containersTouched += await crowd.countChanges(signal);
  };
  const kib = await usuallyHeldKib(server, allComeBack, signal);
  const recoveryMs = percentile(
    returns.map(({ ms }) => ms),
    0.5,
  );
  return {
    ...{ recoveryMs, cpuPercent, kib, containersTouched },
    connectsPerSecond: (1_000 * agents) / openedMs,
    joinsPerSecond: (1_000 * agents) / joinedMs,
  };
}

/** Has everybody who has no session yet open one, until there are so many. */
async function open(crowd: Crowd, server: Dialled, total: number, signal: AbortSignal) {
  const { address: coordinator } = server;
  return await crowd.open(total, { coordinator, atOnce: dialsAtOnce }, signal);
}

/** From the kill of a server until it listened again, and until everybody was back. */
interface Return {
  readonly startMs: number;
  readonly ms: number;
}

/** Kills the server under everybody, starts it again, and waits until all are back. */
async function recover(crowd: Crowd, server: Dialled, signal: AbortSignal): Promise<Return> {
  const startedAt = systemClock.monotonic();
  const returned = crowd.awaitReturn(signal);
  await server.restart(signal);
  const startMs = systemClock.monotonic() - startedAt;
  return { ms: await returned, startMs };
}

/**
 * Kills the server; everybody comes back, hangs up and dials again so many times. What those left behind who hung up is
 * collected each time, or it would be held for as long as the process lives.
 */
async function comeBack(crowd: Crowd, server: Dialled, times: number, signal: AbortSignal) {
  const back = await recover(crowd, server, signal);
  for (let time = 0; time < times; time++) {
    await crowd.redial(signal);
    server.collect();
  }
  return back;
}

async function allReady(client: FairleadClient, agents: number, signal: AbortSignal) {
  await eventually(
    async () => {
      const { nodes } = await client.control.listNodes({}, { signal });
      const ready = nodes.filter(({ state }) => state === NodeState.READY).length;
      if (ready < agents) throw new Error(`${ready} of ${agents} nodes are ready`);
    },
    { timeoutMs: 120_000, intervalMs: 1_000 },
    signal,
  );
}

async function runEverywhere(client: FairleadClient, index: number, signal: AbortSignal) {
  const strategy = PlacementStrategy.EVERY_NODE;
  const spec = { image: 'simulated', strategy, ports: [{ containerPort: 80 }] };
  await runService(client, `service-${index}`, spec, signal);
}

async function allRun(client: FairleadClient, agents: number, signal: AbortSignal) {
  await eventually(
    async () => {
      const { services } = await client.control.listServices({}, { signal });
      const ready = services.reduce((sum, service) => sum + service.readyContainers, 0);
      if (ready < agents * containersEach) throw new Error(`${ready} containers are ready`);
    },
    { timeoutMs: 600_000, intervalMs: 1_000 },
    signal,
  );
}

/** The processor time that a while at rest takes, as a part of one processor. */
async function cpuAtRest({ pid }: Dialled, signal: AbortSignal): Promise<number> {
  // What the recovery left to do is done, and what ran often enough is compiled.
  await systemClock.sleep(settleMs, signal);
  const percents: number[] = [];
  for (let window = 0; window < windows; window++) {
    const startedAt = systemClock.monotonic();
    const before = readUsage(pid).cpuMs;
    await systemClock.sleep(windowMs, signal);
    signal.throwIfAborted();
    const usedMs = readUsage(pid).cpuMs - before;
    percents.push((100 * usedMs) / (systemClock.monotonic() - startedAt));
  }
  return percentile(percents, 0.5);
}

/** What the server holds after each of several kills, when all are back. */
async function usuallyHeldKib(
  server: Dialled,
  allComeBack: () => Promise<void>,
  signal: AbortSignal,
): Promise<number> {
  const kib: number[] = [];
  for (let process = 0; process < processes; process++) {
    await allComeBack();
    await systemClock.sleep(settleMs, signal);
    kib.push(await heldKib(server, signal));
  }
  return percentile(kib, 0.5);
}

/**
 * Resident memory when garbage was collected and malloc has given back what it keeps for later: how much waits for that
 * is a matter of chance, on both sides, and with a hundred agents more than what they hold.
 */
async function heldKib(server: Dialled, signal: AbortSignal): Promise<number> {
  let leastMib = Infinity;
  for (let round = 0; round < collections; round++) {
    server.collect();
    await systemClock.sleep(2_000, signal);
    signal.throwIfAborted();
    leastMib = Math.min(leastMib, readUsage(server.pid).rssMiB);
  }
  return leastMib * 1_024;
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
