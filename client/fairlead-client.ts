import { type Clock, systemClock } from '../shared/clock.ts';
import { ChildController, onAbort } from '../shared/abort.ts';
import { systemRandom } from '../shared/random.ts';
import type { Address } from '../shared/rpc/client.ts';
import type { Action } from '../shared/gen/fairlead/v1/action.ts';
import type { Container } from '../shared/gen/fairlead/v1/container.ts';
import type {
  ContainerLogsRequest,
  DeepPartial,
  ServiceLogsRequest,
  WatchActionsRequest,
  WatchCertificatesRequest,
  WatchContainersRequest,
  WatchEndpointsRequest,
  WatchEventsRequest,
  WatchNodeClustersRequest,
  WatchNodesRequest,
  WatchProxiesRequest,
  WatchServicesRequest,
  WatchTokensRequest,
} from '../shared/gen/fairlead/v1/control_service.ts';
import type { Endpoint, Event } from '../shared/gen/fairlead/v1/event.ts';
import type { Proxy } from '../shared/gen/fairlead/v1/load_balancer.ts';
import type { LogPosition } from '../shared/gen/fairlead/v1/log.ts';
import type { Node } from '../shared/gen/fairlead/v1/node.ts';
import type { NodeCluster } from '../shared/gen/fairlead/v1/node_cluster.ts';
import type { Service } from '../shared/gen/fairlead/v1/service.ts';
import type { Certificate } from '../shared/gen/fairlead/v1/tls.ts';
import type { Token } from '../shared/gen/fairlead/v1/token.ts';
import { Connection, type Control } from './connection.ts';
import { readLog, type LogMessage } from './log-reader.ts';
import { waitForAction, type WaitOptions } from './wait-for-action.ts';
import {
  maintainView,
  resume,
  wholeBatches,
  type ResumeDeps,
  type View,
  type WatchMessage,
} from './watch.ts';

export interface ConnectOptions {
  /** Longest time until the answer of a unary call. Default 10,000. */
  readonly deadlineMs?: number;
  /** Longest time until a connection works. Default 10,000. */
  readonly connectTimeoutMs?: number;
  /** Told when a watch lost its stream, and of the wait before it is resumed. */
  readonly onWatchLost?: (error: unknown, waitMs: number) => void;
  readonly clock?: Clock;
  /** Uniform in [0, 1). For the jitter of back-off. */
  readonly random?: () => number;
}

interface CallScope {
  readonly signal: AbortSignal;
}

/** A client of one coordinator: the whole API in `control`, and what scripts need around it. */
export class FairleadClient implements AsyncDisposable {
  /** Every RPC of the contract, by its own name. Stays valid when the connection is replaced. */
  readonly control: Control;
  readonly #connection: Connection;
  readonly #clock: Clock;
  readonly #resumeDeps: ResumeDeps;

  constructor(address: Address, options: ConnectOptions) {
    this.#clock = options.clock ?? systemClock;
    this.#connection = new Connection(address, {
      clock: this.#clock,
      deadlineMs: options.deadlineMs ?? 10_000,
      connectTimeoutMs: options.connectTimeoutMs ?? 10_000,
    });
    this.control = this.#connection.control;
    this.#resumeDeps = {
      clock: this.#clock,
      random: options.random ?? (() => systemRandom.fraction()),
      onLost: options.onWatchLost ?? (() => undefined),
    };
  }

  /** Resolves when the connection works, opening a new one if need be. */
  async ready(signal: AbortSignal = never()): Promise<void> {
    await this.#connection.ready(signal);
  }

  /**
   * Resolves with the action once it succeeded. Throws an ActionError if it ended otherwise, a
   * FairleadError with the reason WAIT_TIMED_OUT if it took too long; it then goes on by itself.
   */
  async waitForAction(
    actionId: string,
    options: WaitOptions = {},
    signal: AbortSignal = never(),
  ): Promise<Action> {
    const deps = {
      clock: this.#clock,
      getAction: async (id: string, scope: AbortSignal) => {
        const { action } = await this.control.getAction({ action: id }, { signal: scope });
        if (action === undefined) throw new Error('the coordinator answered without an action');
        return action;
      },
      watchActions: (target: string, scope: AbortSignal) => this.watchActions({ target }, scope),
    };
    return await waitForAction(actionId, options, deps, signal);
  }

  /** The services, kept up to date until the signal aborts; a lost connection is resumed. */
  watchServices(
    request: DeepPartial<WatchServicesRequest> = {},
    signal: AbortSignal = never(),
  ): AsyncIterable<View<Service>> {
    return this.#view(
      (cursor, scope) => this.control.watchServices({ ...request, cursor }, scope),
      ({ services }) => services,
      request.cursor,
      signal,
    );
  }

  /** The containers, kept up to date until the signal aborts; a lost connection is resumed. */
  watchContainers(
    request: DeepPartial<WatchContainersRequest> = {},
    signal: AbortSignal = never(),
  ): AsyncIterable<View<Container>> {
    return this.#view(
      (cursor, scope) => this.control.watchContainers({ ...request, cursor }, scope),
      ({ containers }) => containers,
      request.cursor,
      signal,
    );
  }

  /** The nodes, kept up to date until the signal aborts; a lost connection is resumed. */
  watchNodes(
    request: DeepPartial<WatchNodesRequest> = {},
    signal: AbortSignal = never(),
  ): AsyncIterable<View<Node>> {
    return this.#view(
      (cursor, scope) => this.control.watchNodes({ ...request, cursor }, scope),
      ({ nodes }) => nodes,
      request.cursor,
      signal,
    );
  }

  /** The node clusters, kept up to date until the signal aborts; a lost connection is resumed. */
  watchNodeClusters(
    request: DeepPartial<WatchNodeClustersRequest> = {},
    signal: AbortSignal = never(),
  ): AsyncIterable<View<NodeCluster>> {
    return this.#view(
      (cursor, scope) => this.control.watchNodeClusters({ ...request, cursor }, scope),
      ({ nodeClusters }) => nodeClusters,
      request.cursor,
      signal,
    );
  }

  /** The certificates, kept up to date until the signal aborts; a lost connection is resumed. */
  watchCertificates(
    request: DeepPartial<WatchCertificatesRequest> = {},
    signal: AbortSignal = never(),
  ): AsyncIterable<View<Certificate>> {
    return this.#view(
      (cursor, scope) => this.control.watchCertificates({ ...request, cursor }, scope),
      ({ certificates }) => certificates,
      request.cursor,
      signal,
    );
  }

  /** The endpoints, kept up to date until the signal aborts; a lost connection is resumed. */
  watchEndpoints(
    request: DeepPartial<WatchEndpointsRequest> = {},
    signal: AbortSignal = never(),
  ): AsyncIterable<View<Endpoint>> {
    return this.#view(
      (cursor, scope) => this.control.watchEndpoints({ ...request, cursor }, scope),
      ({ endpoints }) => endpoints,
      request.cursor,
      signal,
    );
  }

  /** The proxies, kept up to date until the signal aborts; a lost connection is resumed. */
  watchProxies(
    request: DeepPartial<WatchProxiesRequest> = {},
    signal: AbortSignal = never(),
  ): AsyncIterable<View<Proxy>> {
    return this.#view(
      (cursor, scope) => this.control.watchProxies({ ...request, cursor }, scope),
      ({ proxies }) => proxies,
      request.cursor,
      signal,
    );
  }

  /** The actions, kept up to date until the signal aborts; a lost connection is resumed. */
  watchActions(
    request: DeepPartial<WatchActionsRequest> = {},
    signal: AbortSignal = never(),
  ): AsyncIterable<View<Action>> {
    return this.#view(
      (cursor, scope) => this.control.watchActions({ ...request, cursor }, scope),
      ({ actions }) => actions,
      request.cursor,
      signal,
    );
  }

  /** The tokens, kept up to date until the signal aborts; a lost connection is resumed. */
  watchTokens(
    request: DeepPartial<WatchTokensRequest> = {},
    signal: AbortSignal = never(),
  ): AsyncIterable<View<Token>> {
    return this.#view(
      (cursor, scope) => this.control.watchTokens({ ...request, cursor }, scope),
      ({ tokens }) => tokens,
      request.cursor,
      signal,
    );
  }

  /**
   * Events as they come, until the signal aborts or `until` has come; a lost connection is resumed from the
   * last one. Throws OUT_OF_RANGE if what comes after the cursor is no longer kept.
   */
  async *followEvents(
    request: DeepPartial<WatchEventsRequest> = {},
    signal: AbortSignal = never(),
  ): AsyncGenerator<Event, void, undefined> {
    using scope = this.#scope(signal);
    const control = this.control;
    using unfinished = new ChildController(scope.signal);
    const open = async function* (cursor: string, attempt: AbortSignal) {
      yield* control.watchEvents({ ...request, cursor }, { signal: attempt });
      // A watch that has no end is only ever broken off.
      if (request.until !== undefined) unfinished.abort();
    };
    const from = request.cursor ?? '';
    const responses = resume(open, from, this.#resumeDeps, unfinished.signal);
    for await (const { events } of responses) yield* events;
  }

  /** What a container wrote; a lost connection is resumed with no line lost or doubled. */
  containerLogs(
    request: DeepPartial<ContainerLogsRequest>,
    signal: AbortSignal = never(),
  ): AsyncIterable<LogMessage> {
    return this.#log(
      (after, scope) => this.control.containerLogs({ ...request, ...after }, scope),
      request,
      signal,
    );
  }

  /** What the containers of a service wrote, in the order of time; resumed as that of a container is. */
  serviceLogs(
    request: DeepPartial<ServiceLogsRequest>,
    signal: AbortSignal = never(),
  ): AsyncIterable<LogMessage> {
    return this.#log(
      (after, scope) => this.control.serviceLogs({ ...request, ...after }, scope),
      request,
      signal,
    );
  }

  /** Ends the connection and everything that goes on over it. */
  async close(): Promise<void> {
    await this.#connection.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async *#log<M extends LogMessage>(
    open: (from: { after?: LogPosition[] }, scope: CallScope) => AsyncIterable<M>,
    { follow = false }: { readonly follow?: boolean | undefined },
    signal: AbortSignal,
  ): AsyncGenerator<LogMessage, void, undefined> {
    using scope = this.#scope(signal);
    yield* readLog(
      {
        open: (places, attempt) =>
          open(places.length > 0 ? { after: places } : {}, { signal: attempt }),
        follow,
      },
      this.#resumeDeps,
      scope.signal,
    );
  }

  async *#view<M extends WatchMessage, T extends { readonly id: string }>(
    open: (cursor: string, scope: CallScope) => AsyncIterable<M>,
    itemsOf: (message: M) => readonly T[],
    from: string | undefined,
    signal: AbortSignal,
  ): AsyncGenerator<View<T>, void, undefined> {
    using scope = this.#scope(signal);
    yield* maintainView(
      resume(
        (cursor, attempt) => wholeBatches(open(cursor, { signal: attempt }), itemsOf),
        from ?? '',
        this.#resumeDeps,
        scope.signal,
      ),
    );
  }

  /** Aborts with the caller's signal, and when the client is closed. */
  #scope(signal: AbortSignal): Disposable & CallScope {
    const scope = new ChildController(signal);
    const subscription = onAbort(this.#connection.closed, () => {
      scope.abort();
    });
    return {
      signal: scope.signal,
      [Symbol.dispose]() {
        subscription[Symbol.dispose]();
        scope[Symbol.dispose]();
      },
    };
  }
}

/**
 * Connects to a coordinator. Throws a FairleadError with the reason COORDINATOR_UNREACHABLE that says
 * why, if it cannot be reached in time.
 */
export async function connect(
  address: Address,
  options: ConnectOptions = {},
  signal: AbortSignal = never(),
): Promise<FairleadClient> {
  const client = new FairleadClient(address, options);
  try {
    await client.ready(signal);
    return client;
  } catch (error) {
    await client.close();
    throw error;
  }
}

function never(): AbortSignal {
  return new AbortController().signal;
}
