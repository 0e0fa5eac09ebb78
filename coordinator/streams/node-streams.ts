import type { Clock } from '../../shared/clock.ts';
import { DomainError } from '../../shared/errors.ts';
import type { NodeId } from '../../shared/ids.ts';
import type { Random } from '../../shared/random.ts';
import { Wakeup } from '../../shared/wakeup.ts';
import type { ExecInput, ExecOrder, ExecReport } from './exec-order.ts';
import type { LogReport, LogsOrder } from './log-line.ts';

/** What a node is asked to do on a stream of its own. */
export type StreamOrder =
  | { readonly kind: 'logs'; readonly order: LogsOrder }
  | {
      readonly kind: 'exec';
      readonly order: ExecOrder;
      /** What it is sent, taken as fast as the node takes it. */
      readonly inputs: AsyncIterator<ExecInput>;
    };

/** What a node tells of what it was asked. */
export type StreamReport = LogReport | ExecReport;

/** The agent's side of a stream. */
export interface DialledStream {
  /** What the agent tells, read as fast as it is asked for; rejects when the connection breaks. */
  readonly reports: AsyncIterator<StreamReport>;
  /** Ends it, down to the engine. */
  readonly close: () => void;
}

export interface NodeStreamsDeps {
  readonly dispatcher: {
    /** Throws 'precondition' if the agent is away or cannot do it. */
    offerStream(nodeId: NodeId, verb: string, ticket: string): void;
    /** Tells the agent, if it is there, that nobody wants the stream any more. */
    closeStream(nodeId: NodeId, ticket: string): void;
  };
  readonly clock: Clock;
  readonly random: Random;
}

interface Offer {
  readonly nodeId: NodeId;
  readonly order: StreamOrder;
  readonly taken: Wakeup;
  stream: DialledStream | undefined;
}

/** An agent that is there dials within this time, on a busy host too. */
const dialMs = 10_000;
/** Of all callers together; each costs some 100 kB while its reader is slow. */
const maxStreams = 1_024;
/** Of one caller: two services at most, so that nobody takes all that there are. */
const maxOfCaller = 512;

/** Opens streams for one caller. */
export interface StreamOpener {
  /**
   * A stream on which a node does what it is asked. Throws 'precondition' if its agent is away or too old,
   * 'unavailable' if it does not come in time, 'exhausted' if too many are open. Whoever opened it disposes of it.
   */
  open(
    nodeId: NodeId,
    order: StreamOrder,
    signal: AbortSignal,
  ): Promise<DialledStream & Disposable>;
}

/**
 * Streams for single things that nodes are asked to do, such as a log. The coordinator cannot dial: it tells
 * the agent a ticket on its session, and the agent comes back with it on a stream.
 */
export class NodeStreams {
  readonly #deps: NodeStreamsDeps;
  readonly #offers = new Map<string, Offer>();
  /** Streams that are open, by caller. */
  readonly #open = new Map<string, number>();

  constructor(deps: NodeStreamsDeps) {
    this.#deps = deps;
  }

  /** `caller`: the id of the token that asks. */
  of(caller: string): StreamOpener {
    return { open: (nodeId, order, signal) => this.#openFor(caller, nodeId, order, signal) };
  }

  async #openFor(
    caller: string,
    nodeId: NodeId,
    order: StreamOrder,
    signal: AbortSignal,
  ): Promise<DialledStream & Disposable> {
    const { dispatcher, clock, random } = this.#deps;
    this.#count(caller);
    const ticket = random.secret();
    const offer: Offer = { nodeId, order, taken: new Wakeup(), stream: undefined };
    this.#offers.set(ticket, offer);
    try {
      dispatcher.offerStream(nodeId, order.kind, ticket);
      await offer.taken.waitFor(dialMs, clock, signal);
      signal.throwIfAborted();
      const { stream } = offer;
      if (stream === undefined) throw notDialled();
      return {
        ...stream,
        [Symbol.dispose]: () => {
          this.#uncount(caller);
          stream.close();
          dispatcher.closeStream(nodeId, ticket);
        },
      };
    } catch (error) {
      this.#uncount(caller);
      offer.stream?.close();
      throw error;
    } finally {
      this.#offers.delete(ticket);
    }
  }

  /** A node came with a ticket: what it is to do. Throws 'not-found' if that was not offered to it. */
  take(nodeId: NodeId, ticket: string, stream: DialledStream): StreamOrder {
    const offer = this.#offers.get(ticket);
    if (offer?.nodeId !== nodeId) {
      throw new DomainError('not-found', 'nobody waits for a stream with this ticket', {
        reason: 'STREAM_UNKNOWN',
      });
    }
    this.#offers.delete(ticket);
    offer.stream = stream;
    offer.taken.notify();
    return offer.order;
  }

  #count(caller: string): void {
    const own = this.#open.get(caller) ?? 0;
    if (own >= maxOfCaller) throw tooMany(`${maxOfCaller} streams of this token are open already`);
    const all = [...this.#open.values()].reduce((sum, count) => sum + count, 0);
    if (all >= maxStreams) throw tooMany(`${maxStreams} streams are open already`);
    this.#open.set(caller, own + 1);
  }

  #uncount(caller: string): void {
    const left = (this.#open.get(caller) ?? 0) - 1;
    if (left > 0) this.#open.set(caller, left);
    else this.#open.delete(caller);
  }
}

function notDialled(): DomainError {
  return new DomainError(
    'unavailable',
    `the agent of the node did not open a stream within ${dialMs} ms; try again`,
    { reason: 'NODE_SILENT' },
  );
}

function tooMany(which: string): DomainError {
  return new DomainError(
    'exhausted',
    `${which}, each a log that is read or a command that runs; try again when some are closed`,
    { reason: 'TOO_MANY_STREAMS' },
  );
}
