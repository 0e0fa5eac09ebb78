import type { ListDelta, ListSnapshot } from '../../../../../coordinator/routing/backend-list.ts';
import type { ProxyRecord } from '../../../../../coordinator/routing/proxy-record.ts';
import type { Routing } from '../../../../../coordinator/routing/routing.ts';
import type { Target } from '../../../../../coordinator/model.ts';
import type { ContainerId, ProxyId, ServiceId, SessionId } from '../../../../../shared/ids.ts';
import type { FakeClock } from '../../../../support/fake-clock.ts';

/** A server of a HAProxy. */
interface Server {
  target: Target;
  mode: 'ready' | 'drain' | 'maint';
  inFlight: number;
  drainStartedAtMs: number;
  drained: boolean;
}

/**
 * A proxy agent and its HAProxy in a few lines: takes the list, acknowledges, drains, reports what is in
 * flight. What HAProxy serves goes on without a session.
 */
export class ModelProxy {
  readonly id: ProxyId;
  readonly servers = new Map<string, Server>();
  connected = false;
  awaySinceMs = 0;
  /** When it was last back, and after how long. */
  back = { atMs: 0, afterMs: 0 };
  readonly #clock: FakeClock;
  #routing: Routing | undefined;
  #record: ProxyRecord | undefined;
  #service: ServiceId | undefined;
  /** What the coordinator has heard of each server, and whether it is to hear of the version. */
  readonly #told = new Map<string, string>();
  #epoch = '';
  #version = -1;
  #unacknowledged = false;
  #lagTicks = 0;

  constructor(id: string, clock: FakeClock) {
    this.id = id as ProxyId;
    this.#clock = clock;
  }

  connect(routing: Routing, service: ServiceId, epoch: string): void {
    if (this.connected) return;
    this.connected = true;
    const afterMs = this.#clock.monotonic() - this.awaySinceMs;
    this.back = { atMs: this.#clock.now(), afterMs };
    this.#routing = routing;
    this.#service = service;
    const record = routing.attach({ id: this.id, name: this.id, serviceId: service }, 'host');
    const session = {
      id: 'session' as SessionId,
      wake: () => undefined,
      close: () => {
        this.disconnect();
      },
    };
    record.open(session, this.#epoch === epoch ? this.#version : null);
    this.#epoch = epoch;
    this.#record = record;
    // What was said before is said again; the version is in the hello.
    this.#told.clear();
    this.#unacknowledged = false;
  }

  disconnect(): void {
    if (!this.connected) return;
    this.connected = false;
    this.awaySinceMs = this.#clock.monotonic();
    if (this.#record !== undefined) this.#routing?.detached(this.#record);
    this.#record = undefined;
  }

  lostCoordinator(): void {
    // One that was away already is so for longer than that.
    if (this.connected) this.awaySinceMs = this.#clock.monotonic();
    this.connected = false;
    this.#record = undefined;
  }

  /** Does nothing for so many ticks, although it is connected. */
  lag(ticks: number): void {
    this.#lagTicks = ticks;
  }

  /** Takes what it is sent, and tells what is new: the version before what came of it, as the real one. */
  tick(): void {
    if (this.#lagTicks-- > 0) return;
    this.#drain();
    this.#tell();
    this.#receive();
    this.#drain();
    this.#tell();
  }

  /** A request begins, if anything takes one. */
  begin(pick: number): void {
    const ready = [...this.servers.values()].filter(({ mode }) => mode === 'ready');
    const server = ready[pick % Math.max(1, ready.length)];
    if (server !== undefined) server.inFlight++;
  }

  /** A request ends. */
  finish(pick: number): void {
    const busy = [...this.servers.values()].filter(({ inFlight }) => inFlight > 0);
    const server = busy[pick % Math.max(1, busy.length)];
    if (server !== undefined) server.inFlight--;
  }

  finishAll(): void {
    for (const server of this.servers.values()) server.inFlight = 0;
  }

  serverOf(container: ContainerId): Server | undefined {
    return [...this.servers.values()].find(({ target }) => target.containerId === container);
  }

  #receive(): void {
    const message = this.#nextMessage();
    if (message == null) return;
    if (message.kind === 'snapshot') {
      const ids = new Set(message.targets.map(({ id }) => id));
      for (const id of this.servers.keys()) if (!ids.has(id)) this.#remove(id);
    } else {
      if (message.baseVersion !== this.#version) throw new Error('a gap in the list');
      for (const id of message.removedTargetIds) this.#remove(id);
    }
    for (const target of message.targets) this.#set(target);
    this.#version = message.version;
    this.#unacknowledged = true;
  }

  #nextMessage(): ListSnapshot | ListDelta | null | undefined {
    const list = this.#service === undefined ? undefined : this.#routing?.list(this.#service);
    const message = list && this.#record?.nextMessage(list, this.#clock.monotonic());
    if (message?.kind === 'later') throw new Error('a pace that nobody asked for');
    return message;
  }

  #set(target: Target): void {
    const server = this.servers.get(target.id);
    if (server === undefined) {
      this.servers.set(target.id, {
        target,
        mode: target.mode,
        inFlight: 0,
        drainStartedAtMs: this.#clock.monotonic(),
        drained: false,
      });
      return;
    }
    server.target = target;
    if (target.mode === 'ready') {
      server.mode = 'ready';
      server.drained = false;
    } else if (server.mode === 'ready') {
      server.mode = 'drain';
      server.drainStartedAtMs = this.#clock.monotonic();
    }
  }

  #remove(id: string): void {
    this.servers.delete(id);
    this.#told.delete(id);
  }

  #drain(): void {
    for (const server of this.servers.values()) {
      if (server.mode !== 'drain') continue;
      const overMs = this.#clock.monotonic() - server.drainStartedAtMs;
      if (server.inFlight > 0 && overMs < server.target.drainTimeoutMs) continue;
      // What is left at the deadline is cut.
      server.inFlight = 0;
      server.mode = 'maint';
      server.drained = true;
    }
  }

  #tell(): void {
    const record = this.#record;
    if (record === undefined) return;
    if (this.#unacknowledged) {
      this.#unacknowledged = false;
      record.applied(this.#version, new Map());
      this.#routing?.acknowledged(record);
    }
    let news = false;
    for (const [id, { inFlight, drained }] of this.servers) {
      const text = `${inFlight} ${drained}`;
      if (this.#told.get(id) === text) continue;
      this.#told.set(id, text);
      record.observe(id, { health: 'up', healthMessage: '', inFlight, requests: 0, drained });
      news = true;
    }
    if (news) this.#routing?.acknowledged(record);
  }
}
