import { ClientError, Status, type Channel } from 'nice-grpc';
import { ChildController } from '../../shared/abort.ts';
import { explainClock } from '../../shared/clock-skew.ts';
import type { Clock } from '../../shared/clock.ts';
import { DomainError, messageOf } from '../../shared/errors.ts';
import {
  AgentServiceDefinition,
  type AssignmentSet as ProtoAssignmentSet,
  type NodeSessionRequest,
  type NodeSessionResponse,
} from '../../shared/gen/fairlead/v1/agent_service.ts';
import type { Logger } from '../../shared/logger.ts';
import type { Random } from '../../shared/random.ts';
import { backoffMs, keepRunning } from '../../shared/retry.ts';
import { openChannel } from '../../shared/rpc/client.ts';
import { converse } from '../../shared/rpc/converse.ts';
import type { Identity, IdentityKeeper } from '../../shared/rpc/identity-keeper.ts';
import { Lease } from '../../shared/rpc/lease.ts';
import { type Wakeup } from '../../shared/wakeup.ts';
import { AssignmentOrder } from './assignment-order.ts';
import { AssignmentParts } from './assignment-parts.ts';
import {
  assignmentSetOf,
  failureToProto,
  helloOf,
  reportToProto,
  type Greeting,
} from './convert.ts';
import type { AssignmentSet } from './model.ts';
import type { Reporter } from './reporter.ts';
import type { Upgrader } from './upgrade/upgrader.ts';

/** Waits before a coordinator that is away is dialled again. */
export const redialing = { minMs: 100, maxMs: 5_000 };
const dialTimeoutMs = 5_000;
/** A clock that was set by more than this is told anew. */
const clockStepMs = 60_000;
/** Until the coordinator says otherwise. */
const defaultLeaseMs = 3_000;
const defaultHeartbeatMs = 1_000;

/** What keeps the assignments of one session in order. */
interface Sets {
  readonly parts: AssignmentParts;
  readonly order: AssignmentOrder;
}

export interface NodeSessionDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly reporter: Reporter;
  readonly keeper: IdentityKeeper;
  readonly upgrader: Upgrader;
  readonly apply: (set: AssignmentSet) => void;
  /** A session stands. */
  readonly connected: () => void;
  /** The coordinator does not know whom this host's identity names, or does not accept it any more. */
  readonly refused: () => void;
  /** The coordinator asks for a stream of its own. */
  readonly offered: (ticket: string) => void;
  /** Nobody wants the stream of this ticket any more. */
  readonly closed: (ticket: string) => void;
  /** Notified by the reporter when there is something to report. */
  readonly wakeup: Wakeup;
  /** What the agent says of itself now. */
  readonly greeting: () => Greeting;
}

export interface NodeSessionOptions {
  readonly coordinator: string;
}

/** Ends a session that is to be opened again at once. */
const renewal = Symbol('renewal');

/**
 * The connection to the coordinator: says hello with the whole picture, then what changes; takes
 * assignments. Redials for ever; what is known and what runs never depends on it.
 */
export class NodeSession {
  readonly #deps: NodeSessionDeps;
  readonly #options: NodeSessionOptions;
  #live: ChildController | undefined;
  #hasAskedForSet = false;
  /** Why there was no session last: said once, however often it is tried. */
  #lastFailure = '';

  constructor(deps: NodeSessionDeps, options: NodeSessionOptions) {
    this.#deps = deps;
    this.#options = options;
  }

  /** Ends a session that is under way and opens it again, because what the agent said is outdated. */
  renew(): void {
    this.#live?.abort(renewal);
  }

  /** Keeps a session until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, random, log } = this.#deps;
    const onFailure = (error: unknown, retryInMs: number) => {
      const reason = messageOf(error);
      const level = reason === this.#lastFailure ? 'debug' : 'warn';
      this.#lastFailure = reason;
      log[level]({ reason, retryInMs }, 'no session with the coordinator');
    };
    await keepRunning(
      (until) => this.#attempt(until),
      redialing,
      { clock, random: () => random.fraction(), onFailure },
      signal,
    );
  }

  /** Throws what is worth a longer wait each time; returns after a session that lived. */
  async #attempt(signal: AbortSignal): Promise<void> {
    using life = new ChildController(signal);
    let isWelcome = false;
    const identity = this.#deps.keeper.current;
    try {
      await this.#converse(identity, life, () => {
        isWelcome = true;
        this.#deps.keeper.accepted(identity);
        this.#deps.upgrader.accepted(life.signal);
        this.#deps.connected();
      });
    } catch (error) {
      if (signal.aborted) return;
      const reason: unknown = life.signal.aborted ? life.signal.reason : error;
      if (reason === renewal) return;
      if (isRefusal(reason)) this.#refused(identity, reason);
      await this.#afterFailure(reason, isWelcome, signal);
    }
  }

  /** One that was only just issued is not all that this host has. */
  #refused(identity: Identity, { code }: ClientError): void {
    const { keeper, refused } = this.#deps;
    keeper.refused(identity);
    if (code === Status.UNAUTHENTICATED && keeper.current === identity) refused();
  }

  async #afterFailure(error: unknown, wasWelcome: boolean, signal: AbortSignal): Promise<void> {
    const { clock, random, log } = this.#deps;
    const code = error instanceof ClientError ? error.code : undefined;
    const reason = error instanceof ClientError ? error.details : messageOf(error);
    if (isRefusal(error)) {
      const advice =
        'if this node was removed ("fairlead node ls" does not show it), paste a new line of "fairlead node invite" on this host, or move the state directory of the agent away and start it with a join token; what runs here goes on';
      log.error({ reason, advice, retryInMs: redialing.maxMs }, 'session refused');
      await clock.sleep(redialing.maxMs, signal);
    } else if (code === Status.ABORTED) {
      const advice = 'if this repeats, a second agent runs with a copy of this state directory';
      log.warn({ reason, advice, retryInMs: redialing.maxMs }, 'session is with another agent');
      await clock.sleep(redialing.maxMs, signal);
    } else if (wasWelcome) {
      const retryInMs = backoffMs(0, redialing, () => random.fraction());
      log.warn({ reason, retryInMs }, 'session lost');
      await clock.sleep(retryInMs, signal);
    } else {
      throw error;
    }
  }

  async #converse(
    certificate: Identity,
    life: ChildController,
    onWelcome: () => void,
  ): Promise<void> {
    const { clock } = this.#deps;
    const { coordinator: address } = this.#options;
    const trust = { kind: 'bundle', pem: certificate.trustPem } as const;
    const channel = await openChannel(
      { address, trust, certificate },
      { clock, timeoutMs: dialTimeoutMs },
      life.signal,
    );
    this.#live = life;
    try {
      await this.#talk(channel, life, onWelcome);
    } finally {
      this.#live = undefined;
      channel.close();
    }
  }

  async #talk(channel: Channel, life: ChildController, onWelcome: () => void): Promise<void> {
    const { clock, log } = this.#deps;
    const { coordinator } = this.#options;
    const pace = { heartbeatMs: defaultHeartbeatMs };
    const patience = new Patience(life, clock, defaultLeaseMs);
    const sets = { parts: new AssignmentParts(), order: new AssignmentOrder() };
    this.#hasAskedForSet = false;
    const onResponse = ({ message }: NodeSessionResponse): void => {
      patience.heard();
      if (message?.$case !== 'welcome') {
        this.#heed(message, sets);
        return;
      }
      const { leaseMs, heartbeatMs, sessionId, trust, clock: theirs } = message.value;
      // Then the connection notices by its own pings that the other side is silent.
      if (heartbeatMs === 0) patience.end();
      else patience.change(leaseMs);
      pace.heartbeatMs = heartbeatMs;
      this.#lastFailure = '';
      log.info({ sessionId, coordinator, leaseMs }, 'session begins');
      this.#compareClocks(theirs);
      onWelcome();
      if (trust !== undefined) this.#deps.keeper.trust(trust);
    };
    const requests = this.#requests(pace, life.signal);
    const { fullName: service, methods } = AgentServiceDefinition;
    const conversation = { service, method: methods.nodeSession, requests, onResponse };
    await converse(channel, conversation, life.signal);
    throw new DomainError('unavailable', 'the coordinator ended the session', {
      reason: 'SESSION_ENDED',
    });
  }

  /** Nothing depends on it here; whoever reads the log is to know, as whoever looks at the node does. */
  #compareClocks(theirs: Date | undefined): void {
    if (theirs === undefined) return;
    const { clock, log } = this.#deps;
    const words = explainClock(clock.now() - theirs.getTime(), 'the clock of this host');
    if (words !== '') log.warn({ reason: words }, 'clocks differ');
  }

  #heed(message: NodeSessionResponse['message'], sets: Sets): void {
    switch (message?.$case) {
      case 'assignments':
        this.#take(message.value, sets);
        return;
      case 'trust':
        this.#deps.keeper.trust(message.value);
        return;
      case 'upgrade':
        this.#deps.upgrader.take(message.value);
        return;
      case 'streamOffer':
        this.#deps.offered(message.value.ticket);
        return;
      case 'streamClosed':
        this.#deps.closed(message.value.ticket);
        return;
      case 'welcome':
      case 'heartbeat':
      case undefined:
        return;
    }
  }

  #take(part: ProtoAssignmentSet, { parts, order }: Sets): void {
    const { apply, log, wakeup } = this.#deps;
    const set = parts.take(part);
    if (set === null) return;
    const { sequence, complete, assignments } = set;
    switch (order.take(set)) {
      case 'apply':
        log.debug({ sequence, complete, count: assignments.length }, 'assignments');
        apply(assignmentSetOf(set));
        return;
      case 'ask':
        log.info({ sequence }, 'assignments were missed: asks for all');
        this.#hasAskedForSet = true;
        wakeup.notify();
        return;
      case 'drop':
        return;
    }
  }

  /** What failed, or came through, and can be told when there is nothing else. */
  #outcome(): NonNullable<NodeSessionRequest['message']> | null {
    const { reporter, upgrader } = this.#deps;
    const ofContainer = reporter.takeFailure();
    if (ofContainer !== undefined) {
      return { $case: 'containerFailure', value: failureToProto(ofContainer) };
    }
    const ofUpgrade = upgrader.takeNews();
    if (ofUpgrade === null) return null;
    return ofUpgrade === 'stands'
      ? { $case: 'upgradeStands', value: {} }
      : { $case: 'upgradeFailure', value: ofUpgrade };
  }

  /** What the agent says, made when the connection can take it: always the latest, never a backlog. */
  async *#requests(
    pace: { readonly heartbeatMs: number },
    signal: AbortSignal,
  ): AsyncGenerator<NodeSessionRequest> {
    const { reporter, wakeup, clock, greeting } = this.#deps;
    yield { message: { $case: 'hello', value: helloOf(greeting(), reporter.takePicture()) } };
    const wallMs = () => clock.now() - clock.monotonic();
    const saidWallMs = wallMs();
    while (!signal.aborted) {
      // The hello told the host's time. Who sets a clock wants to see that it is right now.
      if (Math.abs(wallMs() - saidWallMs) > clockStepMs) this.renew();
      const report = reporter.takeReport();
      const volumes = report === undefined ? reporter.takeVolumes() : undefined;
      if (report !== undefined) {
        yield { message: { $case: 'report', value: reportToProto(report) } };
        continue;
      }
      if (volumes !== undefined) {
        yield { message: { $case: 'volumes', value: { names: [...volumes] } } };
        continue;
      }
      if (this.#hasAskedForSet) {
        this.#hasAskedForSet = false;
        yield { message: { $case: 'assignmentsRequest', value: {} } };
        continue;
      }
      const outcome = this.#outcome();
      if (outcome !== null) {
        yield { message: outcome };
      } else if (!(await wakeup.waitFor(pace.heartbeatMs || defaultHeartbeatMs, clock, signal))) {
        if (signal.aborted || pace.heartbeatMs === 0) continue;
        yield { message: { $case: 'heartbeat', value: {} } };
      }
    }
  }
}

function isRefusal(error: unknown): error is ClientError {
  if (!(error instanceof ClientError)) return false;
  return error.code === Status.UNAUTHENTICATED || error.code === Status.PERMISSION_DENIED;
}

/** Ends a session whose other side says nothing: one that is frozen or cut off closes no connection. */
class Patience {
  readonly #life: ChildController;
  readonly #clock: Clock;
  #lease: Lease;
  #watch: ChildController;

  constructor(life: ChildController, clock: Clock, leaseMs: number) {
    this.#life = life;
    this.#clock = clock;
    this.#lease = new Lease(leaseMs, clock);
    this.#watch = this.#begin();
  }

  heard(): void {
    this.#lease.renew();
  }

  /** Somebody else watches. */
  end(): void {
    this.#watch[Symbol.dispose]();
  }

  /** Waits so long from now on. */
  change(leaseMs: number): void {
    this.#watch[Symbol.dispose]();
    this.#lease = new Lease(leaseMs, this.#clock);
    this.#watch = this.#begin();
  }

  #begin(): ChildController {
    const watch = new ChildController(this.#life.signal);
    void this.#lease.expired(watch.signal).then((isExpired) => {
      if (!isExpired) return;
      const message = 'the coordinator was silent for longer than its lease';
      this.#life.abort(new DomainError('unavailable', message, { reason: 'LEASE_EXPIRED' }));
    });
    return watch;
  }
}
