import type { Dispatcher } from '../../../../../coordinator/dispatcher/dispatcher.ts';
import type { InventoryEntry } from '../../../../../coordinator/dispatcher/node-hello.ts';
import type { Assignment } from '../../../../../coordinator/dispatcher/assignments.ts';
import type { AssignmentSet, NodeLink } from '../../../../../coordinator/dispatcher/node-link.ts';
import type { ContainerDefinition, NodeDescription } from '../../../../../coordinator/model.ts';
import type { ReportedContainer } from '../../../../../coordinator/observed/observed-state.ts';
import type { ContainerId, NodeId } from '../../../../../shared/ids.ts';
import type { FakeClock } from '../../../../support/fake-clock.ts';

/**
 * What an image does when it is started; a container's image is one of these words and a number. One that loops
 * runs and ends, again and again.
 */
export type ImageKind = 'good' | 'broken' | 'mute' | 'looping';

/** An engine container. */
interface EngineContainer {
  readonly engineId: string;
  readonly definition: ContainerDefinition;
  state: 'pulling' | 'starting' | 'running' | 'ended';
  ready: boolean;
  /** Its liveness check fails: it awaits its drain, and is restarted then. */
  sick: boolean;
  /** False: not checked since the agent started. */
  probed: boolean;
  hostPort: number;
  startedAtMs: number | null;
  restarts: number;
  /** Of a process that ended and is not started again yet. */
  exitCode: number | null;
  message: string;
}

export const description: NodeDescription = {
  hostname: 'model',
  operatingSystem: 'model',
  os: 'linux',
  architecture: 'amd64',
  engineVersion: '1',
  engineApiVersion: '1',
  cpus: 1,
  memoryBytes: 1,
  agentVersion: '1',
};

export interface ModelAgentDeps {
  readonly clock: FakeClock;
  /** A number that was not given before. */
  readonly next: () => number;
  /** Told before a process ends because that was ordered. */
  readonly onOrderedEnd: (id: ContainerId) => void;
  /** Told before a process is restarted because it is drained. */
  readonly onRestart: (id: ContainerId) => void;
}

/**
 * A node agent and its engine in a few lines: takes assignments, walks each container through its phases
 * one step a tick, and reports. Survives its sessions; forgets what it was told when it restarts.
 */
export class ModelAgent {
  readonly id: NodeId;
  readonly engine = new Map<ContainerId, EngineContainer>();
  connected = false;
  /** Its engine starts nothing new. */
  refuses = false;
  readonly #deps: ModelAgentDeps;
  #dispatcher: Dispatcher | undefined;
  #link: NodeLink | undefined;
  #bootId = 1;
  #sequence = 0;
  #expectedSet = 0;
  readonly #wanted = new Map<ContainerId, Assignment>();
  readonly #reports = new Map<ContainerId, ReportedContainer>();
  readonly #told = new Map<ContainerId, string>();
  /** Reports on their way, in order; they arrive even after their session has ended. */
  #wire: (() => void)[] = [];
  #lagTicks = 0;
  #stutters = 0;

  get address(): string {
    return `10.0.0.${this.id.slice(-1)}`;
  }

  constructor(id: NodeId, deps: ModelAgentDeps) {
    this.id = id;
    this.#deps = deps;
  }

  connect(dispatcher: Dispatcher): void {
    if (this.connected) return;
    this.connected = true;
    this.#dispatcher = dispatcher;
    this.#expectedSet = 0;
    const inventory = this.#takeAll();
    const hello = {
      bootId: String(this.#bootId),
      sequence: ++this.#sequence,
      description,
      verbs: [],
      advertiseAddress: this.address,
      publicAddress: this.address,
      engine: { reachable: true, message: '' },
      inventory,
      clockMs: null,
      certificate: { authority: '', untilMs: 0 },
    };
    this.#link = dispatcher.attach(this.id, hello, {
      wake: () => undefined,
      close: () => {
        this.disconnect();
      },
    });
  }

  disconnect(): void {
    if (!this.connected) return;
    this.connected = false;
    if (this.#link !== undefined) this.#dispatcher?.detach(this.#link);
    this.#link = undefined;
  }

  /** Its process is killed and starts again; what it runs goes on. */
  restart(): void {
    this.disconnect();
    this.#bootId++;
    this.#sequence = 0;
    this.#wanted.clear();
    this.#reports.clear();
    this.#told.clear();
    for (const engine of this.engine.values()) engine.probed = false;
  }

  /** The coordinator's loss of memory is not the agent's: the session just ends. */
  lostCoordinator(): void {
    this.connected = false;
    this.#link = undefined;
    this.#wire = [];
  }

  /** For so many steps it hears nothing, and what it says is on its way. */
  lag(ticks: number): void {
    this.#lagTicks = ticks;
  }

  /** What it says next arrives twice. */
  stutter(times: number): void {
    this.#stutters = times;
  }

  /** Takes what it is told, does one step of everything, and reports. */
  tick(): void {
    if (this.#lagTicks > 0) this.#lagTicks--;
    else for (const deliver of this.#wire.splice(0)) deliver();
    if (this.#link !== undefined) {
      this.#dispatcher?.heard(this.#link);
    }
    if (this.#link !== undefined && this.#lagTicks === 0) {
      for (let set = this.#link.nextMessage(); set !== null; set = this.#link.nextMessage()) {
        this.#take(set);
      }
    }
    for (const assignment of this.#wanted.values()) this.#advance(assignment);
    this.#report();
  }

  /** A process ends by itself; its engine starts it again. */
  crash(pick: number): void {
    const running = [...this.engine.values()].filter(({ state }) => state === 'running');
    const victim = running[pick % Math.max(1, running.length)];
    if (victim === undefined) return;
    this.#endProcess(victim);
  }

  /** Somebody removes a container behind our back. */
  lose(pick: number): void {
    const ids = [...this.engine.keys()];
    const id = ids[pick % Math.max(1, ids.length)];
    if (id !== undefined) this.engine.delete(id);
  }

  /** The same, of this one. */
  loseContainer(id: ContainerId): void {
    this.engine.delete(id);
  }

  /** A liveness check fails for good. */
  sicken(pick: number): void {
    const running = [...this.engine.values()].filter(({ state }) => state === 'running');
    const victim = running[pick % Math.max(1, running.length)];
    if (victim !== undefined) victim.sick = true;
  }

  /** A readiness check fails, once. */
  blink(pick: number): void {
    const running = [...this.engine.values()].filter(({ ready }) => ready);
    const victim = running[pick % Math.max(1, running.length)];
    if (victim !== undefined) victim.ready = false;
  }

  #take({ complete, sequence, assignments, forgotten }: AssignmentSet): void {
    if (!complete && sequence !== this.#expectedSet) throw new Error('a gap in the assignments');
    this.#expectedSet = sequence + 1;
    if (complete) {
      const named = new Set(assignments.map(({ containerId }) => containerId));
      for (const id of this.#wanted.keys()) if (!named.has(id)) this.#wanted.delete(id);
    }
    for (const assignment of assignments) this.#wanted.set(assignment.containerId, assignment);
    for (const id of forgotten) {
      this.#wanted.delete(id);
      this.#reports.delete(id);
      this.#told.delete(id);
    }
  }

  #advance(assignment: Assignment): void {
    if (assignment.wanted === 'running') this.#run(assignment);
    else this.#end(assignment);
  }

  #run({ containerId: id, definition, drained }: Assignment): void {
    const engine = this.engine.get(id);
    const reported = this.#reports.get(id);
    if (reported?.phase === 'failed') return;
    if (engine === undefined) {
      if (reported?.engineId !== undefined && reported.engineId !== '') {
        this.#set(id, { phase: 'failed', message: 'was removed behind our back' });
        return;
      }
      this.engine.set(id, {
        engineId: `engine-${this.#deps.next()}`,
        definition,
        state: 'pulling',
        ready: false,
        sick: false,
        probed: true,
        hostPort: 0,
        startedAtMs: null,
        restarts: 0,
        exitCode: null,
        message: '',
      });
      return;
    }
    if (engine.state === 'running' && engine.sick) this.#nurse(id, engine, drained);
    else this.#step(id, engine);
  }

  /** Takes no traffic, is drained, and then restarted; what was said before it was sick does not count. */
  #nurse(id: ContainerId, engine: EngineContainer, drained: boolean): void {
    engine.ready = false;
    if (!drained || this.#reports.get(id)?.awaitsDrain !== true) return;
    this.#deps.onRestart(id);
    engine.state = 'starting';
    engine.sick = false;
  }

  #step(id: ContainerId, engine: EngineContainer): void {
    const [kind] = engine.definition.image.split('-') as [ImageKind];
    switch (engine.state) {
      case 'pulling':
        engine.state = 'starting';
        return;
      case 'starting':
        if (kind === 'broken' || (this.refuses && engine.startedAtMs === null)) {
          this.engine.delete(id);
          this.#set(id, { phase: 'failed', message: 'no such command' });
          return;
        }
        this.#start(engine);
        return;
      case 'running':
        if (kind === 'looping') {
          this.#endProcess(engine);
          return;
        }
        engine.ready = kind !== 'mute';
        engine.probed = true;
        return;
      case 'ended':
        return;
    }
  }

  /** The engine will start it again. */
  #endProcess(engine: EngineContainer): void {
    engine.state = 'starting';
    engine.ready = false;
    engine.exitCode = 1;
  }

  #start(engine: EngineContainer): void {
    const [port] = engine.definition.ports;
    const fixed = port?.hostPort ?? 0;
    const taken = [...this.engine.values()].some(
      (other) => other !== engine && other.state === 'running' && other.hostPort === fixed,
    );
    if (fixed !== 0 && taken) throw new Error(`port ${fixed} is taken on ${this.id}`);
    engine.hostPort = fixed === 0 ? 30_000 + this.#deps.next() : fixed;
    engine.state = 'running';
    if (engine.exitCode !== null) engine.restarts++;
    engine.exitCode = null;
    engine.startedAtMs = this.#deps.clock.now();
  }

  #end({ containerId: id, wanted }: Assignment): void {
    const engine = this.engine.get(id);
    if (engine === undefined) {
      this.#set(id, { phase: 'removed', message: '' });
    } else if (engine.state === 'ended') {
      if (wanted === 'removed') this.engine.delete(id);
    } else {
      if (engine.state === 'running') this.#deps.onOrderedEnd(id);
      engine.state = 'ended';
      engine.ready = false;
    }
  }

  #report(): void {
    this.#look();
    if (this.#link === undefined) return;
    const changed: InventoryEntry[] = [];
    for (const [containerId, reported] of this.#reports) {
      const text = JSON.stringify(reported);
      if (this.#told.get(containerId) === text) continue;
      this.#told.set(containerId, text);
      changed.push({ containerId, name: '', reported });
    }
    if (changed.length > 0) this.#send(this.#link, changed);
  }

  #send(link: NodeLink, changed: readonly InventoryEntry[]): void {
    const dispatcher = this.#dispatcher;
    const sequence = ++this.#sequence;
    const deliver = () => dispatcher?.report(link, sequence, changed, null);
    const copies = this.#stutters > 0 ? [deliver, deliver] : [deliver];
    if (this.#stutters > 0) this.#stutters--;
    // A stream keeps its order, also when it catches up.
    if (this.#lagTicks > 0 || this.#wire.length > 0) this.#wire.push(...copies);
    else for (const each of copies) each();
  }

  /** What the engine has now. */
  #look(): void {
    for (const [id, engine] of this.engine) {
      this.#set(id, {
        phase: engine.state === 'ended' ? 'stopped' : engine.state,
        ready: engine.state === 'running' && !engine.probed ? null : engine.ready,
        message: engine.message,
        awaitsDrain: engine.state === 'running' && engine.sick,
        engineId: engine.engineId,
        startedAtMs: engine.startedAtMs,
        restarts: engine.restarts,
        exitCode: engine.state === 'ended' ? 0 : engine.exitCode,
        ports: engine.state === 'running' ? this.#ports(engine) : [],
      });
    }
  }

  #takeAll(): InventoryEntry[] {
    this.#look();
    return [...this.#reports].map(([containerId, reported]) => {
      this.#told.set(containerId, JSON.stringify(reported));
      return { containerId, name: '', reported };
    });
  }

  #ports({ definition, hostPort }: EngineContainer) {
    return definition.ports.map(({ containerPort, protocol, published }) => ({
      ...{ containerPort, protocol, published, hostPort },
      hostAddress: '0.0.0.0',
    }));
  }

  #set(id: ContainerId, change: Partial<ReportedContainer>): void {
    const before = this.#reports.get(id) ?? {
      phase: 'pulling',
      ready: false,
      ports: [],
      exitCode: null,
      message: '',
      engineId: '',
      restarts: 0,
      awaitsDrain: false,
      startedAtMs: null,
      endedAtMs: null,
    };
    const gone = change.phase === 'failed' || change.phase === 'removed';
    this.#reports.set(id, { ...before, ...(gone ? { ready: false, ports: [] } : {}), ...change });
  }
}
