import type {
  ListEventsRequest,
  WatchEventsRequest,
} from '../../shared/gen/fairlead/v1/control_service.ts';
import type { Clock } from '../../shared/clock.ts';
import { DomainError, type FieldViolation } from '../../shared/errors.ts';
import type { ContainerId, ServiceId } from '../../shared/ids.ts';
import { Wakeup } from '../../shared/wakeup.ts';
import type { EventFilter } from '../store/event-log.ts';
import type { Store } from '../store/store.ts';
import { requireScope } from './authorization.ts';
import type { Call } from './call.ts';
import { limitFromProto } from './convert-requests.ts';
import { eventFor } from './event-objects.ts';
import type { Lookup } from './lookup.ts';
import { throwIfInvalid, validateTime } from './validate.ts';

export interface EventApiDeps {
  readonly store: Store;
  readonly lookup: Lookup;
  readonly clock: Clock;
}

/** Events in one message of a watch. */
const perMessage = 100;

/** A watch that passes over so many says how far it is. */
const passedOver = 1_000;

/** Types, or services, in one request. */
const maxNames = 100;

const typeForm = /^[a-z]+(-[a-z]+)*(\.[a-z]+(-[a-z]+)*)?$/;

/** What requests for events have in common. */
type Range = Omit<WatchEventsRequest, 'cursor'>;

/** What happened: the events that are kept, and those to come. */
export class EventApi {
  readonly #deps: EventApiDeps;

  constructor(deps: EventApiDeps) {
    this.#deps = deps;
  }

  listEvents(request: ListEventsRequest, call: Call) {
    const { events } = this.#deps.store;
    const violations: FieldViolation[] = [];
    const limit = limitFromProto(request.limit, violations);
    const from = cursorOf(request.cursor, violations);
    validate(request, violations);
    throwIfInvalid(violations);
    if (from !== null) this.#requireKept(from);
    const found = events.after(from ?? events.oldest, this.#filterOf(request, call)(), limit);
    return {
      events: found.events.map((event) => eventFor(call, event)),
      cursor: String(found.cursor),
    };
  }

  async *watchEvents(request: WatchEventsRequest, call: Call) {
    const { events } = this.#deps.store;
    const violations: FieldViolation[] = [];
    const from = cursorOf(request.cursor, violations);
    validate(request, violations);
    throwIfInvalid(violations);
    const filter = this.#filterOf(request, call);
    let cursor = from ?? (request.since === undefined ? events.newest : events.oldest);
    this.#requireKept(cursor);
    const wakeup = new Wakeup();
    using _events = events.subscribe(() => {
      wakeup.notify();
    });
    let told = cursor;
    yield { cursor: String(cursor), events: [] };
    while (!call.signal.aborted) {
      // While a slow reader took the last ones, those that follow may have gone.
      this.#requireKept(cursor);
      const batch = events.after(cursor, filter(), perMessage);
      ({ cursor } = batch);
      if (batch.events.length > 0 || cursor - told >= passedOver) {
        told = cursor;
        yield {
          cursor: String(cursor),
          events: batch.events.map((event) => eventFor(call, event)),
        };
        continue;
      }
      if (!(await this.#more(wakeup, request.until, call.signal))) return;
    }
  }

  /** Waits for events; false: the time until which they are told has come. */
  async #more(wakeup: Wakeup, until: Date | undefined, signal: AbortSignal): Promise<boolean> {
    if (until === undefined) {
      await wakeup.wait(signal);
      return true;
    }
    const { clock } = this.#deps;
    const leftMs = until.getTime() - clock.now();
    if (leftMs > 0) await wakeup.waitFor(leftMs, clock, signal);
    return leftMs > 0;
  }

  #requireKept(cursor: number): void {
    const { events } = this.#deps.store;
    if (cursor >= events.oldest && cursor <= events.newest) return;
    throw new DomainError(
      'out-of-range',
      `events after ${cursor} are not kept any more; list what is there and watch from now on`,
      { reason: 'CURSOR_TOO_OLD' },
    );
  }

  /** What a caller asks for and reaches, which changes while a watch goes on. */
  #filterOf(request: Range, call: Call): () => EventFilter {
    const { lookup } = this.#deps;
    const services = new Set(request.services.map((name) => lookup.service(call, name).id));
    this.#requireScope(request.objectId, call);
    return () => ({
      types: request.types,
      object: request.objectId,
      owners: ownersOf(services, call),
      sinceMs: request.since?.getTime() ?? 0,
      untilMs: request.until?.getTime() ?? Number.MAX_SAFE_INTEGER,
      objects: !request.omitObjects,
    });
  }

  /** One that is there and out of reach is refused; of others there is nothing to see. */
  #requireScope(object: string, call: Call): void {
    const { store } = this.#deps;
    const container = store.containers.get(object as ContainerId);
    const service = store.serviceNamed(container?.serviceId ?? object);
    if (service !== undefined) requireScope(call, service);
  }
}

/** The services and node clusters whose events are to be told; null: all events. */
function ownersOf(services: ReadonlySet<ServiceId>, { principal }: Call): string[] | null {
  const { scope, clusters } = principal;
  if (services.size > 0) return [...services].filter((id) => scope === null || scope.has(id));
  return scope === null ? null : [...scope, ...(clusters ?? [])];
}

function cursorOf(cursor: string, into: FieldViolation[]): number | null {
  if (cursor === '') return null;
  const number = Number(cursor);
  if (!Number.isSafeInteger(number) || number < 0) {
    into.push({ field: 'cursor', rule: 'must be a cursor that an event or a watch gave' });
  }
  return number;
}

function validate({ types, services, since, until }: Range, into: FieldViolation[]): void {
  const rule = `must have at most ${maxNames}`;
  if (types.length > maxNames) into.push({ field: 'types', rule });
  if (services.length > maxNames) into.push({ field: 'services', rule });
  for (const [index, type] of types.entries()) {
    if (typeForm.test(type)) continue;
    const like = 'must be a type, such as "container.ready", or what types begin with: "container"';
    into.push({ field: `types[${index}]`, rule: like });
  }
  validateTime(since, 'since', into);
  validateTime(until, 'until', into);
  if (since !== undefined && until !== undefined && since >= until) {
    into.push({ field: 'until', rule: 'must be later than since' });
  }
}
