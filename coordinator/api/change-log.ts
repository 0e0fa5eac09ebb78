import type { ServiceId } from '../../shared/ids.ts';
import { type Wakeup } from '../../shared/wakeup.ts';
import type { ObservedState } from '../observed/observed-state.ts';
import type { Routing } from '../routing/routing.ts';
import type { Store } from '../store/store.ts';

/** What can be watched. */
export type Topic =
  | 'services'
  | 'containers'
  | 'nodes'
  | 'nodeClusters'
  | 'endpoints'
  | 'proxies'
  | 'actions'
  | 'tokens'
  | 'certificates';

/** Changes that a watcher may have missed and still resume from. */
const keptEntries = 20_000;

/** Stands for all objects of a topic: which ones changed is not worth telling apart. */
const all = '*';

/**
 * Numbers every change of what users can watch, in one order, so that a watch can say where it stands and
 * go on from there. Lives as long as the process: cursors of an earlier run are not known any more.
 */
export class ChangeLog {
  readonly #epoch: string;
  readonly #store: Store;
  readonly #watchers = new Set<Wakeup>();
  #entries: { readonly topic: Topic; readonly id: string }[] = [];
  #base = 0;

  constructor(epoch: string, { store }: { readonly store: Store }) {
    this.#epoch = epoch;
    this.#store = store;
  }

  /** Follows everything until disposed. */
  follow(observed: ObservedState, routing: Routing): Disposable {
    const subscriptions = [
      this.#store.subscribe((changes) => {
        for (const { table, id } of changes) {
          this.#add(table === 'clusters' ? 'nodeClusters' : table, id);
          if (table === 'containers') this.#containerChanged(id);
          if (table === 'services') this.#add('certificates', all);
          if (table === 'certificates') continue;
          if (table !== 'tokens' && table !== 'actions') this.#add('endpoints', all);
          if (table !== 'tokens' && table !== 'containers') this.#add('services', all);
          if (table === 'nodes') this.#add('nodeClusters', all);
          if (table === 'clusters') this.#add('nodes', all);
        }
      }),
      observed.subscribe(({ kind, id }) => {
        if (kind === 'node') {
          this.#add('nodes', id);
          this.#add('nodeClusters', all);
          this.#add('containers', all);
        } else {
          this.#add('containers', id);
          this.#containerChanged(id);
        }
        this.#add('endpoints', all);
      }),
      routing.subscribe((services) => {
        for (const id of services) this.#add('services', id);
        this.#add('proxies', all);
        this.#add('containers', all);
      }),
    ];
    return {
      [Symbol.dispose]: () => {
        for (const subscription of subscriptions) subscription[Symbol.dispose]();
      },
    };
  }

  /** The place after everything so far. */
  get cursor(): string {
    return `${this.#epoch}.${this.#base + this.#entries.length}`;
  }

  /** Ids that changed since a cursor; null: it is too old or unknown, or nobody kept count. */
  changedSince(cursor: string, topic: Topic): ReadonlySet<string> | null {
    const [epoch, number] = cursor.split('.');
    const position = Number(number) - this.#base;
    if (epoch !== this.#epoch || !Number.isInteger(position)) return null;
    if (position < 0 || position > this.#entries.length) return null;
    const ids = new Set<string>();
    for (const entry of this.#entries.slice(position)) {
      if (entry.topic === topic) ids.add(entry.id);
    }
    return ids.has(all) ? null : ids;
  }

  /** Wakes `wakeup` after every change until disposed. */
  watch(wakeup: Wakeup): Disposable {
    this.#watchers.add(wakeup);
    return { [Symbol.dispose]: () => void this.#watchers.delete(wakeup) };
  }

  #containerChanged(id: string): void {
    const container = this.#store.containers.get(id as never);
    const service: ServiceId | undefined = container?.serviceId;
    this.#add('services', service ?? all);
  }

  #add(topic: Topic, id: string): void {
    this.#entries.push({ topic, id });
    if (this.#entries.length > 2 * keptEntries) {
      this.#base += this.#entries.length - keptEntries;
      this.#entries = this.#entries.slice(-keptEntries);
    }
    for (const wakeup of this.#watchers) wakeup.notify();
  }
}
