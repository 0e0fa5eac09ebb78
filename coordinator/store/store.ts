import { closeSync, openSync } from 'node:fs';
import type {
  ActionId,
  CertificateId,
  ContainerId,
  NodeClusterId,
  NodeId,
  ServiceId,
  TokenId,
} from '../../shared/ids.ts';
import type { Clock } from '../../shared/clock.ts';
import type {
  Action,
  Container,
  Event,
  KeptRevision,
  Node,
  NodeCluster,
  Observed,
  Service,
  Token,
} from '../model.ts';
import type { Certificate } from '../tls-model.ts';
import { openDatabase, toStoreError, type Database } from './database.ts';
import { EventLog } from './event-log.ts';
import { ownerOf } from './event-owner.ts';
import { IndexMap } from './index-map.ts';
import { Revisions } from './revisions.ts';
import { SharedParts } from './shared-parts.ts';
import { Table, type Change, type ReadonlyTable, type TableName } from './table.ts';

export type { Change } from './table.ts';

/** What may be done inside one transaction. */
export interface Transaction {
  readonly nowMs: number;
  readonly services: Table<ServiceId, Service>;
  readonly containers: Table<ContainerId, Container>;
  readonly nodes: Table<NodeId, Node>;
  readonly clusters: Table<NodeClusterId, NodeCluster>;
  readonly tokens: Table<TokenId, Token>;
  readonly certificates: Table<CertificateId, Certificate>;
  readonly actions: Table<ActionId, Action>;
  containersOf(service: ServiceId): readonly Container[];
  /** Keeps the definition of a service under its current revision; drops the oldest that are too many. */
  recordRevision(service: Service, by: Pick<KeptRevision, 'principal' | 'method'>): void;
  event(event: Omit<Event, 'cursor' | 'timeMs'>): void;
}

/** Actions that are kept; the oldest that have ended go first, but for the newest of each service. */
const keptActions = 1_000;
const keptOfService = 5;

/**
 * Desired state: in memory for reading, in SQLite for good.
 *
 * Every write is a numbered transaction; those who follow are told after the commit which records it
 * touched, and look at what they are now.
 */
export class Store implements Disposable {
  readonly #database: Database;
  readonly #path: string;
  readonly #clock: Clock;
  readonly #services: Table<ServiceId, Service>;
  readonly #containers: Table<ContainerId, Container>;
  readonly #nodes: Table<NodeId, Node>;
  readonly #clusters: Table<NodeClusterId, NodeCluster>;
  readonly #tokens: Table<TokenId, Token>;
  readonly #certificates: Table<CertificateId, Certificate>;
  readonly #actions: Table<ActionId, Action>;
  readonly #byService = new IndexMap<ServiceId, Container>((container) => container.serviceId);
  readonly #byNode = new IndexMap<NodeId, Container>((container) => container.nodeId);
  readonly #byCluster = new IndexMap<NodeClusterId, Node>((node) => node.clusterId);
  readonly #listeners = new Set<(changes: readonly Change[]) => void>();
  readonly events: EventLog;
  readonly revisions: Revisions;
  #objectOf: (event: Event) => Uint8Array | null = () => null;
  #open = false;
  /** As many actions as were left when they were bounded last. */
  #boundedActions = keptActions;

  constructor(path: string, { clock }: { readonly clock: Clock }) {
    const database = openDatabase(path);
    this.#database = database;
    this.#path = path;
    this.#clock = clock;
    try {
      this.#services = namedTable(database, 'services');
      this.#clusters = namedTable(database, 'clusters');
      this.#nodes = new Table(database, {
        name: 'nodes',
        columnNames: ['name', 'cluster_id'],
        columns: ({ name, clusterId }) => ({ name, cluster_id: clusterId }),
        onWrite: (before, after) => {
          this.#byCluster.update(after?.id ?? before?.id ?? '', before, after);
        },
      });
      const parts = new SharedParts();
      this.#containers = new Table(database, {
        name: 'containers',
        columnNames: ['service_id', 'node_id'],
        columns: ({ serviceId, nodeId }) => ({ service_id: serviceId, node_id: nodeId }),
        common: 'definition',
        compact: (container) => parts.share(container),
        onWrite: (before, after) => {
          if (before !== undefined && after === undefined) parts.forget(before);
          const id = after?.id ?? before?.id ?? '';
          this.#byService.update(id, before, after);
          this.#byNode.update(id, before, after);
        },
      });
      this.#tokens = namedTable(database, 'tokens');
      this.#certificates = namedTable(database, 'certificates');
      this.#actions = new Table(database, {
        name: 'actions',
        late: true,
        columnNames: ['request_id', 'started_at_ms'],
        columns: ({ requestId, startedAtMs }) => ({
          request_id: requestId,
          started_at_ms: startedAtMs,
        }),
      });
      this.events = new EventLog(database);
      this.revisions = new Revisions(database);
    } catch (error) {
      database.close();
      throw toStoreError(error, path);
    }
  }

  get services(): ReadonlyTable<ServiceId, Service> {
    return this.#services;
  }

  get containers(): ReadonlyTable<ContainerId, Container> {
    return this.#containers;
  }

  get nodes(): ReadonlyTable<NodeId, Node> {
    return this.#nodes;
  }

  get clusters(): ReadonlyTable<NodeClusterId, NodeCluster> {
    return this.#clusters;
  }

  get tokens(): ReadonlyTable<TokenId, Token> {
    return this.#tokens;
  }

  get certificates(): ReadonlyTable<CertificateId, Certificate> {
    return this.#certificates;
  }

  get actions(): ReadonlyTable<ActionId, Action> {
    return this.#actions;
  }

  containersOf(service: ServiceId): readonly Container[] {
    return this.#byService.get(service);
  }

  containersOn(node: NodeId): readonly Container[] {
    return this.#byNode.get(node);
  }

  nodesIn(cluster: NodeClusterId): readonly Node[] {
    return this.#byCluster.get(cluster);
  }

  /** The cluster that a node is in; null: none. */
  clusterOf({ clusterId }: Pick<Node, 'clusterId'>): NodeCluster | null {
    return clusterId === null ? null : (this.#clusters.get(clusterId) ?? null);
  }

  serviceNamed(nameOrId: string): Service | undefined {
    return named(this.#services, nameOrId);
  }

  nodeNamed(nameOrId: string): Node | undefined {
    return named(this.#nodes, nameOrId);
  }

  clusterNamed(nameOrId: string): NodeCluster | undefined {
    return named(this.#clusters, nameOrId);
  }

  tokenNamed(nameOrId: string): Token | undefined {
    return named(this.#tokens, nameOrId);
  }

  certificateNamed(nameOrId: string): Certificate | undefined {
    return named(this.#certificates, nameOrId);
  }

  /**
   * Runs `write` as one transaction: all of it is stored, or nothing and the error is thrown. Must not
   * be called from within itself, nor from a listener's synchronous part.
   */
  transact<T>(write: (transaction: Transaction) => T): T {
    if (this.#open) throw new Error('a transaction is already open');
    this.#open = true;
    const tables = this.#tables();
    let result: T;
    let changes: Change[];
    try {
      result = this.#database.transaction(() => {
        const value = write(this.#transaction());
        this.#boundActions();
        this.#actions.flush();
        this.events.keepObjects(this.#objectOf);
        return value;
      })();
      changes = tables.flatMap((table) => table.commit());
      this.events.commit();
    } catch (error) {
      for (const table of tables.reverse()) table.rollback();
      this.events.rollback();
      throw toStoreError(error, this.#path);
    } finally {
      this.#open = false;
    }
    if (changes.length > 0) for (const listener of this.#listeners) listener(changes);
    return result;
  }

  /**
   * As `transact`, for what is said anew after a restart: it waits for no disk, and a host that loses its power may
   * lose it if nothing was written after it.
   */
  transactSoon<T>(write: (transaction: Transaction) => T): T {
    this.#database.exec('PRAGMA synchronous = NORMAL');
    try {
      return this.transact(write);
    } finally {
      this.#database.exec('PRAGMA synchronous = FULL');
    }
  }

  /** Calls `listener` after every commit; it must only note what to look at. */
  subscribe(listener: (changes: readonly Change[]) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  /** From now on events carry what `objectOf` says of their object, at the end of their transaction. */
  describeEvents(objectOf: (event: Event) => Uint8Array | null): void {
    this.#objectOf = objectOf;
  }

  /** Permanent id of this installation, made on the first call. */
  installationId(newId: () => string): string {
    const select = this.#database.prepare(`SELECT value FROM meta WHERE key = 'installation'`);
    const known = select.pluck().get() as string | undefined;
    if (known !== undefined) return known;
    const id = newId();
    this.#database.prepare(`INSERT INTO meta (key, value) VALUES ('installation', ?)`).run(id);
    return id;
  }

  /** The write-behind copy of what agents reported. */
  loadObserved(): Map<ContainerId, Observed> {
    const select = this.#database.prepare('SELECT container_id, record FROM observed').raw();
    const observed = new Map<ContainerId, Observed>();
    for (const row of select.iterate()) {
      const [id, record] = row as [id: ContainerId, record: string];
      // Its own text of the id need not be a second one.
      observed.set(this.#containers.get(id)?.id ?? id, JSON.parse(record) as Observed);
    }
    return observed;
  }

  /** Writes what changed since the last call; null deletes. */
  saveObserved(changed: ReadonlyMap<ContainerId, Observed | null>): void {
    const put = this.#database.prepare(
      `INSERT INTO observed (container_id, record) VALUES (?, ?)
       ON CONFLICT (container_id) DO UPDATE SET record = excluded.record`,
    );
    const remove = this.#database.prepare('DELETE FROM observed WHERE container_id = ?');
    try {
      this.#database.transaction(() => {
        for (const [id, observed] of changed) {
          if (observed === null) remove.run(id);
          else put.run(id, JSON.stringify(observed));
        }
      })();
    } catch (error) {
      throw toStoreError(error, this.#path);
    }
  }

  /** Copies the database as it is now to a file, mode 0600, while all goes on. */
  async copyTo(path: string): Promise<void> {
    closeSync(openSync(path, 'wx', 0o600));
    try {
      await this.#database.backup(path);
    } catch (error) {
      throw toStoreError(error, path);
    }
  }

  [Symbol.dispose](): void {
    this.#database.close();
  }

  #tables() {
    return [
      ...[this.#services, this.#clusters, this.#nodes, this.#containers],
      ...[this.#tokens, this.#certificates, this.#actions],
    ];
  }

  #transaction(): Transaction {
    const nowMs = this.#clock.now();
    return {
      nowMs,
      services: this.#services,
      containers: this.#containers,
      nodes: this.#nodes,
      clusters: this.#clusters,
      tokens: this.#tokens,
      certificates: this.#certificates,
      actions: this.#actions,
      containersOf: (service) => this.#byService.get(service),
      recordRevision: (service, by) => {
        this.revisions.record(service, { ...by, createdAtMs: nowMs });
      },
      event: (event) => {
        const ownerId = ownerOf(event, this) ?? this.events.lastOwnerOf(event.objectId);
        this.events.append({ ...event, timeMs: nowMs, ownerId });
      },
    };
  }

  #boundActions(): void {
    // Looked at only when there are more than the last look left.
    if (this.#actions.size <= this.#boundedActions) return;
    const newest = this.#newestOfServices();
    for (const { id, state } of this.#actions.values()) {
      if (this.#actions.size <= keptActions) break;
      if (state !== 'in-progress' && !newest.has(id)) this.#actions.delete(id);
    }
    this.#boundedActions = Math.max(keptActions, this.#actions.size);
  }

  /** The last few of each service that there is: what is done often must not hide what happened to the others. */
  #newestOfServices(): ReadonlySet<ActionId> {
    const counts = new Map<string, number>();
    const newest = [...this.#actions.values()].reverse().filter(({ targetId }) => {
      if (this.#services.get(targetId as ServiceId) === undefined) return false;
      const count = (counts.get(targetId) ?? 0) + 1;
      counts.set(targetId, count);
      return count <= keptOfService;
    });
    return new Set(newest.map(({ id }) => id));
  }
}

/** A table of what has a name, and is looked for by nothing else. */
function namedTable<Id extends string, Row extends { readonly id: Id; readonly name: string }>(
  database: Database,
  name: TableName,
): Table<Id, Row> {
  return new Table(database, {
    name,
    columnNames: ['name'],
    columns: (row) => ({ name: row.name }),
  });
}

function named<Id extends string, Row extends { readonly id: Id; readonly name: string }>(
  table: ReadonlyTable<Id, Row>,
  nameOrId: string,
): Row | undefined {
  const byId = table.get(nameOrId as Id);
  if (byId !== undefined) return byId;
  for (const row of table.values()) if (row.name === nameOrId) return row;
  return undefined;
}
