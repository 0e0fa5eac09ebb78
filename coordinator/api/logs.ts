import { ChildController } from '../../shared/abort.ts';
import type { Clock } from '../../shared/clock.ts';
import { DomainError, type FieldViolation } from '../../shared/errors.ts';
import type * as proto from '../../shared/gen/fairlead/v1/control_service.ts';
import { LogSourceState } from '../../shared/gen/fairlead/v1/log.ts';
import type { ContainerId } from '../../shared/ids.ts';
import type { LogPosition } from '../../shared/log-place.ts';
import type { Dispatcher } from '../dispatcher/dispatcher.ts';
import type { Container, Service } from '../model.ts';
import type { ObservedState } from '../observed/observed-state.ts';
import type { Store } from '../store/store.ts';
import { ContainerLog } from '../streams/container-log.ts';
import type { LogRange } from '../streams/log-line.ts';
import { LogMerge } from '../streams/log-merge.ts';
import { LogWatch } from '../streams/log-watch.ts';
import type { NodeStreams } from '../streams/node-streams.ts';
import { requireScope } from './authorization.ts';
import type { Call } from './call.ts';
import { positionsFromProto, rangeFromProto } from './convert-logs.ts';
import type { Lookup } from './lookup.ts';
import { LogTeller, type LogMessage } from './log-teller.ts';
import { throwIfInvalid } from './validate.ts';

export interface LogApiDeps {
  readonly store: Store;
  readonly observed: ObservedState;
  readonly dispatcher: Dispatcher;
  readonly streams: NodeStreams;
  readonly lookup: Lookup;
  readonly clock: Clock;
}

/** Containers whose logs are read in one call. */
const maxSources = 256;
/** Lines of a service that are held back until it is known which are the newest. */
const maxTailOfService = 10_000;
const maxTailOfContainer = 100_000;
/** What was written before the end of a range may arrive so much later. */
const arrivalMs = 1_000;

/** What one call reads. */
interface Reading {
  readonly service: Service;
  readonly containers: readonly Container[];
  readonly range: LogRange;
  readonly after: ReadonlyMap<string, LogPosition>;
  /** Containers that come later join. */
  readonly isOpen: boolean;
  /** Only so many of the newest lines of all together; null: all that comes. */
  readonly tail: number | null;
}

/** The API's methods that read logs. */
export class LogApi {
  readonly #deps: LogApiDeps;

  constructor(deps: LogApiDeps) {
    this.#deps = deps;
  }

  async *containerLogs(
    request: proto.ContainerLogsRequest,
    call: Call,
  ): AsyncGenerator<proto.ContainerLogsResponse> {
    const { range, after } = readRange(request, maxTailOfContainer);
    const { container, service } = this.#deps.lookup.container(call, request.container);
    if (!range.follow) this.#requireReadable(container);
    const reading = { service, containers: [container], range, after, isOpen: false, tail: null };
    for await (const message of this.#read(reading, call)) {
      const failed = message.sources.find(({ state }) => state === LogSourceState.FAILED);
      if (failed !== undefined) throw unreadable(container, failed.message);
      yield message;
    }
  }

  async *serviceLogs(
    request: proto.ServiceLogsRequest,
    call: Call,
  ): AsyncGenerator<proto.ServiceLogsResponse> {
    const { range, after } = readRange(request, maxTailOfService);
    const service = this.#deps.lookup.service(call, request.service);
    const containers = this.#deps.store.containersOf(service.id);
    if (containers.length > maxSources) throw tooMany(service, containers.length);
    yield* this.#read(
      { service, containers, range, after, isOpen: range.follow, tail: range.tail },
      call,
    );
  }

  async *#read(reading: Reading, call: Call): AsyncGenerator<LogMessage> {
    const { store, clock } = this.#deps;
    const { service, range } = reading;
    using ending = new ChildController(call.signal);
    using watch = new LogWatch(this.#deps);
    const merge = new LogMerge(this.#deps);
    const members = new Map<ContainerId, Container>();
    let excess: DomainError | undefined;
    const join = (container: Container, { isNew }: { readonly isNew: boolean }) => {
      members.set(container.id, container);
      const from = isNew ? entire(reading) : reading;
      const log = this.#open(from, container.id, { watch, call });
      merge.add(container.id, log.read(ending.signal), { holds: !isNew });
    };
    for (const container of reading.containers) join(container, { isNew: false });
    if (!reading.isOpen) merge.close();
    watch.onMembers(service.id, () => {
      for (const id of members.keys()) {
        if (merge.has(id) || store.containers.get(id) !== undefined) continue;
        members.delete(id);
        watch.forget(id);
      }
      if (!reading.isOpen) return;
      for (const container of store.containersOf(service.id)) {
        if (members.has(container.id)) continue;
        if (merge.size >= maxSources) {
          excess = tooMany(service, merge.size + 1);
          ending.abort();
          return;
        }
        join(container, { isNew: true });
      }
      if (store.services.get(service.id) === undefined) merge.close();
    });
    using _until = clock.after(timeLeft(range, clock.now()), () => {
      ending.abort();
    });
    const teller = new LogTeller({ store, merge, members }, { tail: reading.tail });
    for await (const message of teller.read(ending.signal)) {
      requireScope(call, service);
      yield message;
    }
    if (excess !== undefined) throw excess;
  }

  #open(
    { range, after }: Reading,
    id: ContainerId,
    { watch, call }: { readonly watch: LogWatch; readonly call: Call },
  ): ContainerLog {
    const { clock } = this.#deps;
    const streams = this.#deps.streams.of(call.principal.id);
    const standing = (each: ContainerId) => watch.standing(each);
    return new ContainerLog(
      id,
      { range, after: after.get(id) ?? null },
      { clock, streams, standing, wakeup: watch.wakeupOf(id) },
    );
  }

  /** Throws 'precondition' if a container has no log, or its node is away. */
  #requireReadable({ id, name }: Container): void {
    using watch = new LogWatch(this.#deps);
    const standing = watch.standing(id);
    if (standing.kind === 'not-begun') {
      throw new DomainError(
        'precondition',
        `${name} has no log: ${standing.why}; follow it to wait for it`,
        { reason: 'CONTAINER_NOT_BEGUN' },
      );
    }
    if (standing.kind === 'gone' || standing.away === '' || standing.mayReturn) return;
    this.#deps.dispatcher.requireConnected(standing.nodeId);
  }
}

/** All that there is of a container which came after the reading began. */
function entire(reading: Reading): Reading {
  return { ...reading, range: { ...reading.range, tail: null } };
}

function readRange(
  request: proto.ContainerLogsRequest | proto.ServiceLogsRequest,
  maxTail: number,
) {
  const violations: FieldViolation[] = [];
  const range = rangeFromProto(request, maxTail, violations);
  const after = positionsFromProto(request.after, violations);
  throwIfInvalid(violations);
  return { range: after.size > 0 ? { ...range, tail: null } : range, after };
}

/** How long it may go on. */
function timeLeft({ follow, untilMs }: LogRange, nowMs: number): number {
  if (!follow || untilMs === null) return Infinity;
  return Math.max(0, untilMs - nowMs) + arrivalMs;
}

function unreadable({ name }: Container, why: string): DomainError {
  return new DomainError('precondition', `the log of ${name} cannot be read: ${why}`, {
    reason: 'LOG_UNREADABLE',
  });
}

function tooMany({ name }: Service, count: number): DomainError {
  return new DomainError(
    'exhausted',
    `${name} has ${count} containers; at most ${maxSources} are read together: name single ones`,
    { reason: 'TOO_MANY_STREAMS' },
  );
}
