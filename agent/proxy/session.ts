import { ClientError, Status, type Channel } from 'nice-grpc';
import { ChildController } from '../../shared/abort.ts';
import type { Clock } from '../../shared/clock.ts';
import { DomainError, messageOf } from '../../shared/errors.ts';
import {
  ProxyServiceDefinition,
  type ProxySessionRequest,
  type ProxySessionResponse,
} from '../../shared/gen/fairlead/v1/proxy_service.ts';
import type { Logger } from '../../shared/logger.ts';
import type { Random } from '../../shared/random.ts';
import { backoffMs, keepRunning } from '../../shared/retry.ts';
import { openChannel } from '../../shared/rpc/client.ts';
import { converse } from '../../shared/rpc/converse.ts';
import { Lease } from '../../shared/rpc/lease.ts';
import type { ListDelta, ListSnapshot } from './backend-list.ts';
import { CertificateInbox } from './certificates/certificate-inbox.ts';
import type { ServedCertificate } from './certificates/served-certificate.ts';
import { deltaOf, helloOf, requestOf, snapshotOf, type Greeting } from './convert.ts';
import type { Enrolment } from './enrolment.ts';
import type { Outbox } from './outbox.ts';
import type { ProcessorPressure } from './processor-pressure.ts';

const backoff = { minMs: 100, maxMs: 5_000 };
const dialTimeoutMs = 5_000;
/**
 * Least time between changes of the list while programs wait for processors. With fifty a second a change took us 0.6
 * to 0.9 ms of a processor by itself, and 0.3 to 0.5 ms together with others, and the slowest hundredth of the requests
 * was about 1.3 and 1.2 times as slow as with none (`bench:proxy`, requests taking all of two processors).
 */
const paceUnderPressureMs = 100;
/** Until the coordinator says otherwise. */
const defaultLeaseMs = 3_000;
const defaultHeartbeatMs = 1_000;

export interface ProxySessionDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly outbox: Outbox;
  readonly enrolment: Enrolment;
  readonly pressure: Pick<ProcessorPressure, 'isHigh'>;
  /** What the agent says of itself now. */
  readonly greeting: () => Greeting;
  /** `isWhole`: nothing of its frontends and backends had to be left out. */
  readonly onSnapshot: (snapshot: ListSnapshot, isWhole: boolean) => void;
  /** False: a version is missing before it. */
  readonly onDelta: (delta: ListDelta) => boolean;
  /** All certificates that are to be shown, the default first. */
  readonly onCertificates: (certificates: readonly ServedCertificate[]) => void;
}

export interface ProxySessionOptions {
  readonly coordinator: string;
}

type Message = ProxySessionResponse['message'];
type CertificateMessage = Extract<Message, { readonly $case: 'certificate' | 'certificates' }>;

/** One stream, from its opening to its end. */
interface Conversation {
  readonly certificates: CertificateInbox;
  heartbeatMs: number;
  lease: Lease;
  wasWelcome: boolean;
  /** What a delta can follow: nothing before the first snapshot, and nothing after a gap. */
  awaitsSnapshot: boolean;
  asksForSnapshot: boolean;
}

interface Talk {
  readonly conversation: Conversation;
  readonly onWelcome: () => void;
}

/** Ends a session that is to be opened again at once, with another certificate. */
const renewal = Symbol('renewal');

/**
 * The connection to the coordinator: takes the list and what changes in it, says what is in effect and
 * what HAProxy sees. Redials for ever; what HAProxy serves never depends on it.
 */
export class ProxySession {
  readonly #deps: ProxySessionDeps;
  readonly #options: ProxySessionOptions;
  #live: ChildController | undefined;

  constructor(deps: ProxySessionDeps, options: ProxySessionOptions) {
    this.#deps = deps;
    this.#options = options;
    deps.enrolment.onRenewed = () => this.#live?.abort(renewal);
  }

  /** Keeps a session until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, random, log } = this.#deps;
    const onFailure = (error: unknown, retryInMs: number) => {
      log.warn({ reason: messageOf(error), retryInMs }, 'no session with the coordinator');
    };
    await keepRunning(
      (until) => this.#attempt(until),
      backoff,
      { clock, random: () => random.fraction(), onFailure },
      signal,
    );
  }

  /** Throws what is worth a longer wait each time; returns after a session that lived. */
  async #attempt(signal: AbortSignal): Promise<void> {
    using life = new ChildController(signal);
    const conversation: Conversation = {
      certificates: new CertificateInbox(),
      heartbeatMs: defaultHeartbeatMs,
      lease: new Lease(defaultLeaseMs, this.#deps.clock),
      wasWelcome: false,
      awaitsSnapshot: true,
      asksForSnapshot: false,
    };
    try {
      await this.#converse(conversation, life);
    } catch (error) {
      if (signal.aborted) return;
      const reason: unknown = life.signal.aborted ? life.signal.reason : error;
      if (reason === renewal) return;
      await this.#afterFailure(reason, conversation.wasWelcome, signal);
    }
  }

  async #afterFailure(error: unknown, wasWelcome: boolean, signal: AbortSignal): Promise<void> {
    const { clock, random, log } = this.#deps;
    const code = error instanceof ClientError ? error.code : undefined;
    const reason = error instanceof ClientError ? error.details : messageOf(error);
    const slowly = backoff.maxMs / 2 + (random.fraction() * backoff.maxMs) / 2;
    if (code === Status.UNAUTHENTICATED || code === Status.PERMISSION_DENIED) {
      this.#deps.enrolment.refused();
      const advice =
        'the coordinator does not accept this proxy: give it a token of the role proxy whose scope ' +
        'holds its service; HAProxy serves on with the last list';
      log.error({ reason, advice, retryInMs: slowly }, 'session refused');
      await clock.sleep(slowly, signal);
    } else if (code === Status.ABORTED) {
      const advice = 'if this repeats, a second agent runs with the id of this proxy';
      log.warn({ reason, advice, retryInMs: slowly }, 'session replaced');
      await clock.sleep(slowly, signal);
    } else if (wasWelcome) {
      const retryInMs = backoffMs(0, backoff, () => random.fraction());
      log.warn({ reason, retryInMs }, 'session lost');
      await clock.sleep(retryInMs, signal);
    } else {
      throw error;
    }
  }

  async #converse(conversation: Conversation, life: ChildController): Promise<void> {
    const { clock, enrolment } = this.#deps;
    const certificate = await enrolment.identity(life.signal);
    const trust = { kind: 'bundle', pem: certificate.trustPem } as const;
    const channel = await openChannel(
      { address: this.#options.coordinator, trust, certificate },
      { clock, timeoutMs: dialTimeoutMs },
      life.signal,
    );
    this.#live = life;
    const onWelcome = () => {
      enrolment.accepted(certificate);
    };
    try {
      await this.#talk(channel, { conversation, onWelcome }, life);
    } finally {
      this.#live = undefined;
      channel.close();
    }
  }

  async #talk(
    channel: Channel,
    { conversation, onWelcome }: Talk,
    life: ChildController,
  ): Promise<void> {
    conversation.lease.renew();
    void endWhenSilent(conversation, life);
    const onResponse = ({ message }: ProxySessionResponse): void => {
      conversation.lease.renew();
      if (message?.$case === 'welcome') onWelcome();
      if (isOfCertificates(message)) this.#takeCertificates(message, conversation);
      else this.#take(message, conversation);
    };
    const requests = this.#requests(conversation, life.signal);
    const { fullName: service, methods } = ProxyServiceDefinition;
    const talk = { service, method: methods.proxySession, requests, onResponse };
    await converse(channel, talk, life.signal);
    throw new DomainError('unavailable', 'the coordinator ended the session', {
      reason: 'SESSION_ENDED',
    });
  }

  #take(message: Exclude<Message, CertificateMessage>, conversation: Conversation): void {
    const { clock, log, outbox, enrolment, pressure, onSnapshot, onDelta } = this.#deps;
    switch (message?.$case) {
      case 'welcome': {
        const { leaseMs, heartbeatMs, sessionId, trust } = message.value;
        conversation.lease = new Lease(leaseMs, clock);
        conversation.heartbeatMs = heartbeatMs;
        conversation.wasWelcome = true;
        if (trust !== undefined) enrolment.trust(trust);
        log.info({ sessionId, coordinator: this.#options.coordinator }, 'session begins');
        return;
      }
      case 'snapshot': {
        const { snapshot, problem } = snapshotOf(message.value);
        conversation.awaitsSnapshot = false;
        outbox.setProblem('list', problem);
        onSnapshot(snapshot, problem === undefined);
        return;
      }
      case 'delta':
        outbox.setPace(pressure.isHigh ? paceUnderPressureMs : 0);
        if (conversation.awaitsSnapshot || onDelta(deltaOf(message.value))) return;
        log.warn(
          { version: message.value.version },
          'a version was missed: asks for the whole list',
        );
        conversation.awaitsSnapshot = true;
        conversation.asksForSnapshot = true;
        outbox.wakeup.notify();
        return;
      case 'trust':
        enrolment.trust(message.value);
        return;
      case 'heartbeat':
      case undefined:
        return;
    }
  }

  /** What was never sent is not to cost what is there: the coordinator says all anew in another session. */
  #takeCertificates(
    message: CertificateMessage,
    { certificates }: Pick<Conversation, 'certificates'>,
  ): void {
    if (message.$case === 'certificate') {
      certificates.take(message.value);
      return;
    }
    const listed = certificates.listed(message.value);
    if (listed !== undefined) this.#deps.onCertificates(listed);
    else this.#deps.log.error('a list of certificates names some that were never sent');
  }

  /** What the agent says, made when the connection can take it: always the latest, never a backlog. */
  async *#requests(
    conversation: Conversation,
    signal: AbortSignal,
  ): AsyncGenerator<ProxySessionRequest> {
    const { outbox, clock, greeting } = this.#deps;
    outbox.startOver();
    yield helloOf(greeting());
    while (!signal.aborted) {
      const outgoing = outbox.take();
      if (outgoing !== undefined) {
        yield requestOf(outgoing);
      } else if (conversation.asksForSnapshot) {
        conversation.asksForSnapshot = false;
        yield { message: { $case: 'snapshotRequest', value: {} } };
      } else {
        const notified = await outbox.wakeup.waitFor(conversation.heartbeatMs, clock, signal);
        if (!notified && !signal.aborted) yield { message: { $case: 'heartbeat', value: {} } };
      }
    }
  }
}

/** Ends a session whose other side says nothing: a frozen or cut off coordinator closes no connection. */
async function endWhenSilent(conversation: Conversation, life: ChildController): Promise<void> {
  for (;;) {
    const watched = conversation.lease;
    if (!(await watched.expired(life.signal))) return;
    if (watched === conversation.lease) break;
  }
  life.abort(
    new DomainError('unavailable', 'the coordinator was silent for longer than its lease', {
      reason: 'LEASE_EXPIRED',
    }),
  );
}

function isOfCertificates(message: Message): message is CertificateMessage {
  return message?.$case === 'certificate' || message?.$case === 'certificates';
}
