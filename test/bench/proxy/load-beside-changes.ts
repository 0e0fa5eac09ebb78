import { systemClock } from '../../../shared/clock.ts';
import { readUsage } from '../support/process-usage.ts';
import { FloorSide } from './floor-side.ts';
import { runLoad, type LoadResult } from './load.ts';
import { ShippedAgent } from './shipped-agent.ts';
import type { Side } from './side.ts';

/** How requests are measured beside changes. */
export interface LoadPlan {
  /** Windows of each side. */
  readonly rounds: number;
  /** How long a window is. */
  readonly seconds: number;
  readonly servers: number;
  readonly changesPerSecond: number;
}

/** What the windows of both sides came to, those of a round in the same place. */
export interface UnderLoad extends Readonly<Record<Side['name'], readonly LoadResult[]>> {
  /** Processor time of the agent in each of its windows. */
  readonly agentMsPerChange: readonly number[];
}

/** Where the two HAProxies listen. */
export type Ports = Readonly<Record<Side['name'], number>>;

/**
 * The coordinator is on another host in truth, and here it takes processor time from those who send requests and
 * serve them. So it takes it from both sides alike: in the floor's windows as much is spent on nothing, in as many
 * pieces as there were messages, as it took in the windows before.
 */
class CoordinatorsShare {
  readonly #agent: ShippedAgent;
  #usedUs = 0;
  #messages = 0;
  #ms = 0;

  constructor(agent: ShippedAgent) {
    this.#agent = agent;
  }

  /** Runs `action` beside changes, and notes what the coordinator, which is this process, takes meanwhile. */
  async measure(action: () => Promise<void>): Promise<void> {
    const before = process.cpuUsage();
    const messages = this.#agent.messages;
    const fromMs = systemClock.monotonic();
    await action();
    const { user, system } = process.cpuUsage(before);
    this.#usedUs += user + system;
    this.#messages += this.#agent.messages - messages;
    this.#ms += systemClock.monotonic() - fromMs;
  }

  /** Takes as much, until the signal aborts. */
  async spend(signal: AbortSignal): Promise<void> {
    const pieceUs = this.#usedUs / this.#messages;
    const everyMs = this.#ms / this.#messages;
    const fromMs = systemClock.monotonic();
    for (let piece = 1; !signal.aborted; piece++) {
      const start = process.cpuUsage();
      for (let usedUs = 0; usedUs < pieceUs;) {
        const { user, system } = process.cpuUsage(start);
        usedUs = user + system;
      }
      const dueMs = fromMs + piece * everyMs;
      await systemClock.sleep(Math.max(0, dueMs - systemClock.monotonic()), signal);
    }
  }
}

/**
 * An agent runs for weeks: it is measured when its code is compiled. After 1,600 changes V8 still compiles some
 * functions every second, after 6,000 hardly any.
 */
const warmUp = { changesPerSecond: 400, ms: 15_000 };
/** Servers that went are deleted five seconds later: until then changes cost less than they do for good. */
const leadInMs = 6_000;
/** And as long after the last change they still cost something, which is not to be the floor's. */
const settleMs = 6_500;
/** After a pause both sides are slower at first, with p99 by a fifth: each window goes on from a load that goes unmeasured. */
const runInSeconds = 2;

/**
 * Takes turns of windows with changes and windows of the same HAProxy with a static file, under the same load. They
 * come in the order ABBA: what becomes slower or faster meanwhile does so for both.
 */
export async function measureLoad(
  directory: string,
  ports: Ports,
  plan: LoadPlan,
  signal: AbortSignal,
): Promise<UnderLoad> {
  await using agent = await ShippedAgent.start(ports.fairlead, plan.servers);
  await using floor = await FloorSide.start(directory, ports.floor, agent.original);
  await agent.churn(warmUp.changesPerSecond, AbortSignal.timeout(warmUp.ms));
  await systemClock.sleep(settleMs, signal);
  for (const { port } of [agent, floor]) await runLoad(port, 1, signal);
  const share = new CoordinatorsShare(agent);
  const inWindow = plan.seconds * plan.changesPerSecond;
  await using changes = new Changes(agent, plan.changesPerSecond, signal);
  const found = { fairlead: [], floor: [], agentMsPerChange: [] } as {
    readonly [Name in keyof UnderLoad]: UnderLoad[Name][number][];
  };
  for (let round = 0; round < plan.rounds; round++) {
    const beside = async () => {
      await changes.begin();
      await runLoad(agent.port, runInSeconds, signal);
      const beforeMs = readUsage(agent.pid).cpuMs;
      await share.measure(async () => {
        found.fairlead.push(await runLoad(agent.port, plan.seconds, signal));
      });
      found.agentMsPerChange.push((readUsage(agent.pid).cpuMs - beforeMs) / inWindow);
    };
    const alone = async () => {
      await changes.end();
      const stop = new AbortController();
      const spending = share.spend(stop.signal);
      await runLoad(floor.port, runInSeconds, signal);
      found.floor.push(await runLoad(floor.port, plan.seconds, signal));
      stop.abort();
      await spending;
    };
    for (const run of round % 2 === 0 ? [beside, alone] : [alone, beside]) await run();
  }
  return found;
}

/** Changes that go on and on, with a pause on either side until they cost what they do for good. */
class Changes implements AsyncDisposable {
  readonly #agent: ShippedAgent;
  readonly #perSecond: number;
  readonly #signal: AbortSignal;
  #running: { readonly stop: AbortController; readonly done: Promise<unknown> } | undefined;

  constructor(agent: ShippedAgent, perSecond: number, signal: AbortSignal) {
    this.#agent = agent;
    this.#perSecond = perSecond;
    this.#signal = signal;
  }

  async begin(): Promise<void> {
    if (this.#running !== undefined) return;
    const stop = new AbortController();
    this.#running = { stop, done: this.#agent.churn(this.#perSecond, stop.signal) };
    await systemClock.sleep(leadInMs, this.#signal);
  }

  async end(): Promise<void> {
    if (this.#running === undefined) return;
    await this[Symbol.asyncDispose]();
    await systemClock.sleep(settleMs, this.#signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#running?.stop.abort();
    await this.#running?.done;
    this.#running = undefined;
  }
}
