import { Writable } from 'node:stream';
import type { Call } from '../../../../../coordinator/api/call.ts';
import { Authenticator } from '../../../../../coordinator/api/authentication.ts';
import { ChangeLog } from '../../../../../coordinator/api/change-log.ts';
import { controlHandlers } from '../../../../../coordinator/api/control-service.ts';
import { ContainerTokens } from '../../../../../coordinator/api/container-tokens.ts';
import { carryObjects } from '../../../../../coordinator/api/event-objects.ts';
import type { Handlers } from '../../../../../coordinator/api/guard.ts';
import { Presenter } from '../../../../../coordinator/api/present.ts';
import { Dispatcher } from '../../../../../coordinator/dispatcher/dispatcher.ts';
import { TokenIssuer } from '../../../../../coordinator/identity/tokens.ts';
import type { Container, Service } from '../../../../../coordinator/model.ts';
import { Mover } from '../../../../../coordinator/moves/mover.ts';
import { ObservedState } from '../../../../../coordinator/observed/observed-state.ts';
import { WriteBehind } from '../../../../../coordinator/observed/write-behind.ts';
import { Orchestrator } from '../../../../../coordinator/orchestrator/orchestrator.ts';
import { Placement } from '../../../../../coordinator/orchestrator/placement.ts';
import { Routing } from '../../../../../coordinator/routing/routing.ts';
import { Settling } from '../../../../../coordinator/routing/settling.ts';
import { ClockSteps } from '../../../../../coordinator/clock-steps.ts';
import { SteadyClock } from '../../../../../coordinator/steady-clock.ts';
import { Store, type Transaction } from '../../../../../coordinator/store/store.ts';
import { NodeUpgrades } from '../../../../../coordinator/upgrades/node-upgrades.ts';
import { Roller } from '../../../../../coordinator/upgrades/roller.ts';
import { NodeStreams } from '../../../../../coordinator/streams/node-streams.ts';
import { groupBy } from '../../../../../shared/collections.ts';
import { DomainError } from '../../../../../shared/errors.ts';
import type { ContainerId, NodeId } from '../../../../../shared/ids.ts';
import { createLogger } from '../../../../../shared/logger.ts';
import type { Random } from '../../../../../shared/random.ts';
import { aNode, nodeId, tokenId } from '../../../../support/builders.ts';
import { FakeClock } from '../../../../support/fake-clock.ts';
import { fixedAuthority } from '../../../../support/fixed-authority.ts';
import { description, ModelAgent } from './model-agent.ts';
import { ModelProxy } from './model-proxy.ts';

/** A store whose disk can be full. */
class FillableStore extends Store {
  full = false;

  override transact<T>(write: (transaction: Transaction) => T): T {
    if (this.full) {
      throw new DomainError('unavailable', 'the disk is full', { reason: 'STORE_FULL' });
    }
    return super.transact(write);
  }
}

const downGraceMs = 60_000;
const proxyGraceMs = 60_000;

/** A coordinator's core, from its start to its end. */
interface Run {
  readonly stop: AbortController;
  readonly loops: Promise<unknown>;
  /** What watches of the API hear. */
  readonly changes: Disposable;
  readonly observed: ObservedState;
  readonly routing: Routing;
  readonly dispatcher: Dispatcher;
  readonly orchestrator: Orchestrator;
  readonly placement: Placement;
  readonly writeBehind: WriteBehind;
  readonly handlers: Handlers;
  readonly epoch: string;
}

/**
 * Everything of a fleet but processes and wires: the coordinator's real core on a store in memory, with
 * agents, engines, proxies and time of a model. One thread, no chance: the same steps give the same run.
 *
 * It watches what may never happen, and notes each violation in words.
 */
export class ModelFleet implements AsyncDisposable {
  /** That of the coordinator's host, and of all models. */
  readonly clock = new FakeClock();
  /** What the core goes by. */
  readonly time = new SteadyClock(this.clock);
  readonly store = new FillableStore(':memory:', { clock: this.time });
  readonly agents: readonly ModelAgent[];
  readonly proxies: readonly ModelProxy[];
  readonly violations: string[] = [];
  /** Processes that were restarted because their liveness failed. */
  restarts = 0;
  /** Commits so far: a core at rest makes none. */
  commits = 0;
  /** The most that any update policy allowed to be replaced at a time. */
  maxParallelism = 1;
  /** Nothing fails and nobody stops anything: what serves must go on serving. */
  mustServe = false;
  readonly #serving = new Set<number>();
  #run: Run;
  #numbers = 0;
  #runs = 0;
  readonly #subscription: Disposable;

  constructor({ nodes, proxies }: { readonly nodes: number; readonly proxies: number }) {
    const deps = {
      clock: this.clock,
      next: () => ++this.#numbers,
      onOrderedEnd: (id: ContainerId) => {
        this.#checkEnd(id, 0);
      },
      onRestart: (id: ContainerId) => {
        this.restarts++;
        this.#checkEnd(id, Infinity);
      },
    };
    this.agents = range(nodes).map((n) => new ModelAgent(nodeId(`node-${n}`), deps));
    this.proxies = range(proxies).map((n) => new ModelProxy(`proxy-${n}`, this.clock));
    this.store.transact((tx) => {
      for (const { id, address } of this.agents) {
        tx.nodes.put(aNode({ id, name: id, description, advertiseAddress: address }));
      }
    });
    this.#run = this.#start();
    this.#subscription = this.store.subscribe((changes) => {
      this.commits++;
      if (changes.some(({ table }) => table === 'containers')) this.#checkSurge();
    });
  }

  get handlers(): Handlers {
    return this.#run.handlers;
  }

  get call(): Call {
    const principal = {
      kind: 'token',
      id: tokenId('admin'),
      name: 'admin',
      role: 'admin',
      scope: null,
      clusters: null,
      containerId: null,
      certificate: null,
    } as const;
    return { principal, peer: 'here', signal: this.#run.stop.signal };
  }

  status(name: string) {
    return this.#run.orchestrator.status(this.service(name));
  }

  service(name: string): Service {
    const service = this.store.serviceNamed(name);
    if (service === undefined) throw new Error(`there is no service ${name}`);
    return service;
  }

  reasonsOf(id: ContainerId) {
    return this.#run.placement.reasonsOf(id);
  }

  connectAll(): void {
    for (const agent of this.agents) agent.connect(this.#run.dispatcher);
    for (const proxy of this.proxies) this.connectProxy(proxy);
  }

  connectAgent(agent: ModelAgent): void {
    agent.connect(this.#run.dispatcher);
  }

  connectProxy(proxy: ModelProxy): void {
    proxy.connect(this.#run.routing, this.service('lb').id, this.#run.epoch);
  }

  /** Each agent and proxy does one step, and the core what follows from it. */
  async tick(): Promise<void> {
    for (const each of [...this.agents, ...this.proxies]) {
      each.tick();
      await this.advance(5);
      if (this.mustServe) this.#checkService();
    }
  }

  /** Time passes for the core alone. */
  async advance(ms: number): Promise<void> {
    await this.clock.advance(ms);
  }

  /** Ticks at a second's pace. */
  async pass(seconds: number): Promise<void> {
    for (let i = 0; i < seconds; i++) {
      await this.tick();
      await this.advance(1_000 - 5 * (this.agents.length + this.proxies.length));
      this.#run.writeBehind.flush();
    }
  }

  /** The coordinator ends and starts again; killed, it loses what it heard in the last second. */
  async restartCoordinator({ killed }: { readonly killed: boolean }): Promise<void> {
    if (!killed) this.#run.writeBehind.flush();
    for (const each of [...this.agents, ...this.proxies]) each.lostCoordinator();
    await this.#end();
    this.#run = this.#start();
    await this.advance(0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#end();
    this.#subscription[Symbol.dispose]();
    this.store[Symbol.dispose]();
  }

  async #end(): Promise<void> {
    this.#run.stop.abort();
    await this.#run.loops;
    this.#run.changes[Symbol.dispose]();
  }

  #start(): Run {
    const { store, time: clock } = this;
    // Another process has another one.
    clock.follow(clock.behindMs);
    clock.startAfter(store.events.lastTimeMs());
    const random: Random = {
      fraction: () => 0.5,
      id: () => (++this.#numbers).toString(16).padStart(8, '0').padEnd(32, '0'),
      secret: () => 'x'.repeat(43),
    };
    const log = createLogger({ level: 'error', process: 'model' }, this.#complaints());
    const observed = new ObservedState(store.loadObserved(), { clock });
    const settling = new Settling({ store, observed, clock });
    const routing = new Routing({ store, observed, settling, clock });
    const upgrades = new NodeUpgrades();
    const dispatcher = new Dispatcher(
      { store, observed, routing, settling, upgrades, clock, newId: () => random.id(), log },
      { downGraceMs },
    );
    const changes = new ChangeLog('model', { store });
    const tokens = new TokenIssuer(Buffer.alloc(32), { pin: 'p'.repeat(43), bundle: '' });
    const api = { httpUrl: 'https://model', grpcAddress: 'model:1', zone: 'model' };
    const placement = new Placement({ store, observed, tokens, random, clock, api });
    const deps = { store, observed, routing, settling, placement, clock, random };
    const orchestrator = new Orchestrator({ ...deps, log });
    const packages = { version: null, packageNamed: () => null };
    const roller = new Roller({ store, observed, upgrades, packages, api, clock, log });
    const presenter = new Presenter({ ...deps, orchestrator, dispatcher });
    carryObjects({ store, presenter, log });
    const handlers = controlHandlers({
      ...{ ...deps, roller, packages, orchestrator, dispatcher, installationId: 'model', log },
      presenter,
      streams: new NodeStreams({ dispatcher, clock, random }),
      ...{ api, installScriptSha256: null, inFolder: () => false },
      sealing: { seal: ({ text }) => text },
      authenticator: new Authenticator({
        store,
        clock,
        installationId: '',
        authority: fixedAuthority,
        containerTokens: new ContainerTokens({
          ...{ store, observed, clock, nodes: dispatcher, proxies: routing },
        }),
      }),
      authority: fixedAuthority,
      tokens,
      changes,
    });
    const mover = new Mover({ ...deps, log });
    const stop = new AbortController();
    const loops = Promise.all([
      dispatcher.run(stop.signal),
      routing.run(stop.signal),
      orchestrator.run(stop.signal),
      mover.run(stop.signal),
      new ClockSteps({ store, observed, clock, installationId: 'model', log }).run(stop.signal),
    ]);
    const writeBehind = new WriteBehind({ observed, store, clock, log });
    const epoch = `epoch-${++this.#runs}`;
    return {
      ...{ stop, loops, observed, routing, dispatcher, orchestrator, placement },
      ...{ writeBehind, handlers, epoch, changes: changes.follow(observed, routing) },
    };
  }

  /** Errors that the core logs are bugs, unless the disk is full. */
  #complaints(): Writable {
    return new Writable({
      write: (chunk: Buffer, _encoding, done) => {
        if (!this.store.full) this.violations.push(`the core logged ${chunk.toString()}`);
        done();
      },
    });
  }

  /** Never more containers than wanted, and besides as many as may be replaced at a time. */
  #checkSurge(): void {
    for (const service of this.store.services.values()) {
      // What is lost with its node is replaced besides, and kept until its successor serves.
      const live = this.store
        .containersOf(service.id)
        .filter(({ wanted, nodeId: on }) => wanted === 'running' && !this.#isDown(on));
      const newest = live.filter(({ createdAtMs }) => createdAtMs === this.time.now());
      if (newest.length === 0) continue;
      // One without a node may have come for an older one that is not to go any more: it is taken back.
      const current = live.filter(
        ({ revision, outdated, eviction, nodeId: on }) =>
          revision === service.revision && !outdated && eviction === null && on !== null,
      );
      if (new Set(current.map(({ slot }) => slot)).size < current.length) {
        this.violations.push(`${service.name} has two containers in a slot`);
      }
      const wanted =
        service.spec.strategy === 'every-node' ? this.agents.length : service.spec.replicas;
      // Canaries stand beside what they may take the place of, until those are drained.
      const surge = this.maxParallelism + (service.rollout?.canaries ?? 0);
      if (live.length <= wanted + surge) continue;
      this.violations.push(`${service.name} has ${live.length} containers, with ${wanted} wanted`);
    }
  }

  #isDown(on: NodeId | null): boolean {
    return on !== null && this.#run.observed.node(on).state === 'down';
  }

  /** A slot that has a container which serves keeps one, until it is scaled away. */
  #checkService(): void {
    const slots = groupBy(this.store.containersOf(this.service('web').id), ({ slot }) => slot);
    for (const slot of this.#serving) {
      const members = slots.get(slot) ?? [];
      if (members.some(({ id }) => this.#serves(id))) continue;
      this.#serving.delete(slot);
      const scaledAway =
        members.every(({ wanted }) => wanted !== 'running') &&
        members.some(({ retirement: r }) =>
          ['scaled-down', 'not-eligible'].includes(r?.reason ?? ''),
        );
      if (!scaledAway) this.violations.push(`web-${slot} does not serve any more`);
    }
    for (const [slot, members] of slots) {
      if (members.some(({ id }) => this.#serves(id))) this.#serving.add(slot);
    }
  }

  /** It runs and is ready, and every proxy sends to it. */
  #serves(id: ContainerId): boolean {
    const isReady = this.agents.some(({ engine }) => engine.get(id)?.ready);
    return isReady && this.proxies.every((proxy) => proxy.serverOf(id)?.mode === 'ready');
  }

  /** Nothing that a proxy sends to ends, and nothing with requests in flight before its deadline. */
  /** `deadlineAtMs`: for what is not being taken away. */
  #checkEnd(id: ContainerId, deadlineAtMs: number): void {
    const container = this.store.containers.get(id);
    if (container === undefined) {
      this.violations.push(`${id} was ended although nobody knows it`);
      return;
    }
    if (this.time.now() >= (container.retirement?.deadlineAtMs ?? deadlineAtMs)) return;
    for (const proxy of this.proxies) {
      const server = proxy.serverOf(id);
      if (server === undefined) continue;
      const gone = !proxy.connected && this.clock.monotonic() - proxy.awaySinceMs >= proxyGraceMs;
      if (gone || this.#wasGone(proxy, container)) continue;
      if (server.mode !== 'ready' && server.inFlight === 0) continue;
      this.violations.push(
        `${container.name} was ended while ${proxy.id} had ${server.inFlight} in flight (${server.mode})`,
      );
    }
  }

  /** It came back from longer than its grace when it had been decided already, without it. */
  #wasGone({ back }: ModelProxy, { retirement }: Container): boolean {
    return back.afterMs >= proxyGraceMs && (retirement?.startedAtMs ?? 0) <= back.atMs;
  }
}

function range(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index + 1);
}
