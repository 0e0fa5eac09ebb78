import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  openSync,
  readFileSync,
  statSync,
  writeFileSync,
  writeSync,
  closeSync,
} from 'node:fs';
import SqliteDatabase from 'better-sqlite3';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openDatabase } from '../../../../coordinator/store/database.ts';
import { moves } from '../../../../coordinator/store/migrations/0013-moves.ts';
import { definitions } from '../../../../coordinator/store/migrations/0021-definitions.ts';
import { migrations } from '../../../../coordinator/store/migrations/index.ts';
import { Store, type Change } from '../../../../coordinator/store/store.ts';
import { systemClock } from '../../../../shared/clock.ts';
import type { Action } from '../../../../coordinator/model.ts';
import { DomainError } from '../../../../shared/errors.ts';
import type { ActionId } from '../../../../shared/ids.ts';
import { someOptions } from '../../../support/container-options.ts';
import {
  aCluster,
  aContainer,
  anObservation,
  aNode,
  aService,
  aToken,
  containerId,
  nodeId,
  serviceId,
} from '../../../support/builders.ts';
import { TemporaryDirectory } from '../../../support/temporary-directory.ts';

let directory: TemporaryDirectory;
let path: string;

beforeEach(() => {
  directory = new TemporaryDirectory();
  path = directory.join('fairlead.db');
});

afterEach(async () => {
  await directory[Symbol.asyncDispose]();
});

const open = () => new Store(path, { clock: systemClock });

function refusal(attempt: () => unknown): DomainError {
  try {
    attempt();
  } catch (error) {
    if (error instanceof DomainError) return error;
    throw error;
  }
  throw new Error('nothing was refused');
}

/** Everything in a store, as it is read. */
function contentOf(store: Store) {
  return {
    services: [...store.services.values()],
    nodes: [...store.nodes.values()],
    clusters: [...store.clusters.values()],
    containers: [...store.containers.values()],
    tokens: [...store.tokens.values()],
    actions: [...store.actions.values()],
    events: store.events.after(0, {}, 1_000_000).events,
    observed: [...store.loadObserved()],
  };
}

const web1 = containerId('web-1-id');

/** A service with a container on a node, a token and an event. */
function fill(store: Store): void {
  store.transact((tx) => {
    tx.clusters.put(aCluster());
    tx.nodes.put(aNode({ clusterId: aCluster().id }));
    tx.services.put(aService());
    tx.recordRevision(aService(), { principal: 'somebody', method: 'CreateService' });
    tx.containers.put(aContainer());
    tx.tokens.put(aToken());
    tx.event({ type: 'a', objectId: 'web-id', objectName: 'web', actionId: '', message: '' });
  });
}

describe('a store that is opened again', () => {
  test('has all that was in it, in the same order', () => {
    const store = open();
    fill(store);
    store.transact((tx) => {
      tx.services.put(aService({ name: 'other' }));
      tx.services.put(aService({ version: 7 }));
      tx.tokens.delete(aToken().id);
      tx.tokens.put(aToken({ name: 'again' }));
    });
    store.saveObserved(new Map([[web1, anObservation()]]));
    const before = contentOf(store);
    store[Symbol.dispose]();
    using again = open();
    expect(contentOf(again)).toEqual(before);
    expect(again.containersOf(serviceId('web-id'))).toHaveLength(1);
    expect(again.containersOn(nodeId('node-1'))).toHaveLength(1);
    expect(again.nodesIn(aCluster().id)).toHaveLength(1);
    expect(again.clusterOf(aNode({ clusterId: aCluster().id }))).toEqual(aCluster());
    expect(again.events.newest).toBe(1);
  });

  test('has of an action what one transaction wrote of it last, and those that went are gone', () => {
    const store = open();
    const action = (id: string, message: string): Action => ({
      ...{ id: id as ActionId, method: 'ScaleService', targetKind: 'service', moves: null },
      ...{ targetId: 'web-id', targetName: 'web', serviceId: null, roll: null, timeline: [] },
      ...{ state: 'succeeded', message, principal: 'admin', peer: '', requestId: '' },
      ...{ startedAtMs: 0, endedAtMs: 0, before: null },
    });
    store.transact((tx) => {
      for (const id of ['first', 'second', 'third']) tx.actions.put(action(id, 'begun'));
      tx.actions.put(action('first', 'ended'));
      tx.actions.delete('second' as ActionId);
    });
    const refused = () => {
      store.transact((tx) => {
        tx.actions.put(action('third', 'never'));
        throw new Error('undone');
      });
    };
    expect(refused).toThrow('undone');
    store.transact((tx) => {
      tx.actions.put(action('second', 'anew'));
    });
    const before = [...store.actions.values()];
    expect(before.map(({ id, message }) => `${id} ${message}`)).toEqual([
      'first ended',
      'third begun',
      'second anew',
    ]);
    store[Symbol.dispose]();
    using again = open();
    expect([...again.actions.values()]).toEqual(before);
  });

  test('is the same installation', () => {
    const first = open();
    const id = first.installationId(() => 'one');
    first[Symbol.dispose]();
    using second = open();
    expect([id, second.installationId(() => 'another')]).toEqual(['one', 'one']);
  });
});

describe('a transaction', () => {
  test('that fails leaves memory and file as they were, indexes and order too', () => {
    const store = open();
    fill(store);
    store.transact((tx) => {
      tx.tokens.put(aToken({ id: 'b' as never, name: 'b' }));
      tx.tokens.put(aToken({ id: 'c' as never, name: 'c' }));
    });
    const before = contentOf(store);
    const heard: (readonly Change[])[] = [];
    store.subscribe((changes) => {
      heard.push(changes);
    });
    expect(() => {
      store.transact((tx) => {
        tx.services.put(aService({ revision: 2 }));
        tx.services.put(aService({ name: 'new' }));
        tx.containers.put(aContainer({ slot: 2 }));
        tx.containers.delete(web1);
        tx.tokens.delete(aToken().id);
        tx.tokens.put(aToken({ id: 'b' as never, name: 'renamed' }));
        tx.event({ type: 'b', objectId: '', objectName: '', actionId: '', message: '' });
        throw new Error('on purpose');
      });
    }).toThrow('on purpose');
    expect(contentOf(store)).toEqual(before);
    expect(store.containersOf(serviceId('web-id')).map(({ id }) => id)).toEqual([web1]);
    expect(store.events.newest).toBe(1);
    expect(heard).toEqual([]);
    store[Symbol.dispose]();
    using again = open();
    expect(contentOf(again)).toEqual(before);
  });

  test('can go on after one that failed', () => {
    using store = open();
    expect(() =>
      store.transact(() => {
        throw new Error('on purpose');
      }),
    ).toThrow();
    fill(store);
    expect(store.services.size).toBe(1);
  });

  test('that waits for no disk is told, and stays, as any other; and fails as any other', () => {
    const store = open();
    const told: Change[] = [];
    store.subscribe((changes) => told.push(...changes));
    store.transactSoon((tx) => {
      tx.nodes.put(aNode());
    });
    expect(told).toMatchObject([{ table: 'nodes' }]);
    const failing = () =>
      store.transactSoon((tx) => {
        tx.services.put(aService());
        throw new Error('no');
      });
    expect(failing).toThrow('no');
    expect(store.services.size).toBe(0);
    store.transact((tx) => {
      tx.services.put(aService());
    });
    store[Symbol.dispose]();
    using again = open();
    expect([again.nodes.size, again.services.size]).toEqual([1, 1]);
  });

  test('may not be opened within another', () => {
    using store = open();
    expect(() => {
      store.transact(() => {
        store.transact(() => undefined);
      });
    }).toThrow('a transaction is already open');
  });

  test('is told after the commit, once, with what it touched', () => {
    using store = open();
    const heard: string[][] = [];
    using _feed = store.subscribe((changes) => {
      // What listeners see is stored.
      expect(store.services.get(serviceId('web-id'))).toBeDefined();
      heard.push(changes.map(({ table, id }) => `${table} ${id}`));
    });
    fill(store);
    expect(heard).toEqual([
      [
        'services web-id',
        'clusters edge-id',
        'nodes node-1',
        'containers web-1-id',
        'tokens 00000000000000aa',
      ],
    ]);
    store.transact(() => undefined);
    expect(heard).toHaveLength(1);
  });

  test('is not told to who listens no more', () => {
    using store = open();
    let heard = 0;
    const subscription = store.subscribe(() => heard++);
    fill(store);
    subscription[Symbol.dispose]();
    store.transact((tx) => {
      tx.services.put(aService({ version: 2 }));
    });
    expect(heard).toBe(1);
  });

  test('refuses a container of a service or on a node that is not there', () => {
    using store = open();
    expect(() => {
      store.transact((tx) => {
        tx.containers.put(aContainer());
      });
    }).toThrow(/FOREIGN KEY/);
    expect(store.containers.size).toBe(0);
    fill(store);
    expect(() => {
      store.transact((tx) => {
        tx.nodes.delete(nodeId('node-1'));
      });
    }).toThrow(/FOREIGN KEY/);
    expect(store.nodes.size).toBe(1);
  });

  test('refuses a second service of the same name', () => {
    using store = open();
    fill(store);
    expect(() => {
      store.transact((tx) => {
        tx.services.put(aService({ id: serviceId('other') }));
      });
    }).toThrow(/UNIQUE/);
  });
});

describe('actions and events', () => {
  const anAction = (index: number, state: 'succeeded' | 'in-progress') => ({
    ...{ id: `action-${index}` as never, method: 'X', targetKind: 'service' as const },
    ...{ targetId: '', targetName: '', serviceId: null, roll: null, before: null, moves: null },
    ...{ state, message: '' },
    ...{
      principal: '',
      peer: '',
      requestId: '',
      timeline: [],
      startedAtMs: index,
      endedAtMs: null,
    },
  });

  test('are bounded: the oldest that have ended go first', () => {
    using store = open();
    store.transact((tx) => {
      tx.actions.put(anAction(0, 'in-progress'));
      for (let i = 1; i <= 1_000; i++) tx.actions.put(anAction(i, 'succeeded'));
    });
    expect(store.actions.size).toBe(1_000);
    const ids = [...store.actions.values()].map(({ id }) => id);
    expect(ids.slice(0, 2)).toEqual(['action-0', 'action-2']);
  });

  test('are bounded, and the last of each service stay as long as it is there', () => {
    using store = open();
    const of = (id: string) => ({ ...anAction(0, 'succeeded'), id: id as never });
    store.transact((tx) => {
      tx.services.put(aService());
      for (let i = 1; i <= 7; i++) tx.actions.put({ ...of(`web-${i}`), targetId: aService().id });
      for (let i = 1; i <= 1_000; i++) tx.actions.put(anAction(i, 'succeeded'));
    });
    const kept = () => [...store.actions.values()].map(({ id }) => id);
    expect(kept()).toHaveLength(1_000);
    expect(kept().slice(0, 6)).toEqual([
      ...['web-3', 'web-4', 'web-5', 'web-6', 'web-7'],
      'action-6',
    ]);
    store.transact((tx) => {
      tx.services.delete(aService().id);
      tx.actions.put(anAction(1_001, 'succeeded'));
    });
    expect(kept()).toHaveLength(1_000);
    expect(kept()[0]).toBe('web-4');
  });

  test('are bounded: the oldest events go', () => {
    using store = open();
    const event = { type: 'x', objectId: '', objectName: '', actionId: '', message: '' };
    for (let batch = 0; batch < 22; batch++) {
      store.transact((tx) => {
        for (let i = 0; i < 1_000; i++) tx.event(event);
      });
    }
    expect(store.events.newest).toBe(22_000);
    expect(store.events.oldest).toBe(2_000);
    expect(store.events.after(0, {}, 1).events[0]?.cursor).toBe(2_001);
  });
});

describe('the schema', () => {
  test.each(Array.from({ length: migrations.length }, (_, version) => version))(
    'is brought to the newest from version %i',
    (version) => {
      openDatabase(path, migrations.slice(0, version)).close();
      const store = open();
      fill(store);
      store[Symbol.dispose]();
      expect(versionOf()).toBe(migrations.length);
    },
  );

  test('gives nodes and tokens of the first version what they lacked', () => {
    const database = openDatabase(path, migrations.slice(0, 1));
    const put = (table: string, record: object) => {
      database
        .prepare(`INSERT INTO ${table} (id, name, record) VALUES (?, ?, ?)`)
        .run('a', 'a', JSON.stringify(record));
    };
    put('nodes', { id: 'a', name: 'a', description: { hostname: 'host' } });
    put('tokens', { id: 'a', name: 'a' });
    database.close();
    using store = open();
    expect([...store.nodes.values()]).toEqual([
      {
        ...{ id: 'a', name: 'a', description: { hostname: 'host', os: '' }, clusterId: null },
        volumes: [],
        certificate: null,
        drain: null,
      },
    ]);
    expect([...store.tokens.values()]).toEqual([
      { id: 'a', name: 'a', clusterId: null, maxUses: 0, uses: 0, clusterIds: [] },
    ]);
    expect(store.clusters.size).toBe(0);
  });

  test('goes on emptying the nodes that were emptied before there were limits', () => {
    const database = openDatabase(path, migrations.slice(0, migrations.indexOf(moves)));
    const insert = database.prepare('INSERT INTO nodes (id, name, record) VALUES (?, ?, ?)');
    for (const availability of ['active', 'draining']) {
      const record = { id: availability, name: availability, availability, joinedAtMs: 7 };
      insert.run(availability, availability, JSON.stringify(record));
    }
    database.close();
    using store = open();
    expect([...store.nodes.values()].map(({ drain }) => drain)).toEqual([
      null,
      { parallelism: 0, deadlineAtMs: null, force: false, sinceMs: 7 },
    ]);
  });

  test('takes what ran before there were rollouts for what one goes back to', () => {
    const database = openDatabase(path, migrations.slice(0, 5));
    const put = (id: string, record: object) => {
      database
        .prepare('INSERT INTO services (id, name, record) VALUES (?, ?, ?)')
        .run(id, id, JSON.stringify({ id, revision: 3, updatedAtMs: 7, spec: {}, ...record }));
    };
    put('calm', { halt: null });
    put('halted', { halt: { revision: 3, reason: 'because' } });
    put('halted-before', { halt: { revision: 2, reason: 'because' } });
    database.close();
    using store = open();
    const noCanaries = { canary: 0, autoPromote: false };
    const update = {
      settleMs: 0,
      failureBudget: 0,
      onFailure: 'roll-back',
      revisionsKept: 10,
      ...noCanaries,
    };
    const base = (revision: number) => ({ base: { revision, alike: [] }, alike: [] });
    const services = [...store.services.values()];
    expect(services).toMatchObject([
      { id: 'calm', ...base(3), rollout: null, spec: { update } },
      {
        ...{ id: 'halted', ...base(2) },
        rollout: { state: 'failed', reason: 'because', failedSlots: [], sinceMs: 7, canaries: 0 },
      },
      { id: 'halted-before', ...base(3), rollout: null },
    ]);
    for (const service of services) expect(service).not.toHaveProperty('halt');
  });

  test('runs what there was before there were options as it ran', () => {
    const database = openDatabase(path, migrations.slice(0, 2));
    const put = (table: string, columns: string, ...values: string[]) => {
      const places = values.map(() => '?').join(', ');
      database.prepare(`INSERT INTO ${table} (${columns}) VALUES (${places})`).run(...values);
    };
    const container = { id: 'c', serviceId: 's', name: 'web-1', definition: { image: 'web' } };
    const pending = { ...container, id: 'd', definition: null };
    put(
      'services',
      'id, name, record',
      's',
      'web',
      JSON.stringify({ id: 's', name: 'web', spec: {} }),
    );
    put('containers', 'id, service_id, record', 'c', 's', JSON.stringify(container));
    put('containers', 'id, service_id, record', 'd', 's', JSON.stringify(pending));
    database.close();
    using store = open();
    const options = someOptions();
    expect([...store.services.values()]).toMatchObject([{ spec: { container: options } }]);
    expect([...store.containers.values()]).toMatchObject([
      { definition: { image: 'web', hostname: '', options } },
      { definition: null },
    ]);
  });

  test('keeps of definitions what does not follow from who their container is', () => {
    const database = openDatabase(path, migrations.slice(0, migrations.indexOf(definitions)));
    database.prepare(`INSERT INTO services (id, name, record) VALUES ('s', 's', '{}')`).run();
    const insert = database.prepare(
      `INSERT INTO containers (id, service_id, record) VALUES (?, 's', ?)`,
    );
    const environment = { COLOUR: 'red', FAIRLEAD_ADDRESS: 'here', FAIRLEAD_NODE_FQDN: 'there' };
    for (const hostname of ['web-1', 'other']) {
      const definition = { image: 'web', environment, hostname };
      insert.run(hostname, JSON.stringify({ id: hostname, name: 'web-1', definition }));
    }
    insert.run('pending', JSON.stringify({ id: 'pending', name: 'web-2', definition: null }));
    database.close();
    using store = open();
    const definition = { image: 'web', environment: { COLOUR: 'red' } };
    expect([...store.containers.values()]).toEqual([
      { id: 'web-1', name: 'web-1', definition: { ...definition, hostname: '' } },
      { id: 'other', name: 'web-1', definition: { ...definition, hostname: 'other' } },
      { id: 'pending', name: 'web-2', definition: null },
    ]);
  });

  const versionOf = () => {
    const database = new SqliteDatabase(path, { readonly: true });
    try {
      return database.pragma('user_version', { simple: true });
    } finally {
      database.close();
    }
  };

  test('keeps what was there: each step is applied once, in order', () => {
    const steps = ['CREATE TABLE a (x) STRICT', 'INSERT INTO a VALUES (1)'].map((sql) =>
      sql.replace('(x) STRICT', '(x INTEGER) STRICT'),
    );
    for (let times = 0; times < 2; times++) {
      const database = openDatabase(path, steps);
      expect(database.prepare('SELECT count(*) FROM a').pluck().get()).toBe(1);
      database.close();
    }
  });

  test('is left alone by a step that fails', () => {
    openDatabase(path, ['CREATE TABLE a (x INTEGER) STRICT']).close();
    const steps = [
      'CREATE TABLE a (x INTEGER) STRICT',
      'CREATE TABLE b (x INTEGER) STRICT; nonsense',
    ];
    expect(() => openDatabase(path, steps)).toThrow(/nonsense/);
    const database = openDatabase(path, steps.slice(0, 1));
    const tables = database.prepare(`SELECT name FROM sqlite_schema`).pluck().all();
    expect(tables).toEqual(['a']);
    database.close();
  });

  test('of a newer version is refused, and not touched', () => {
    openDatabase(path, [...migrations, 'CREATE TABLE future (x INTEGER) STRICT']).close();
    const before = readFileSync(path);
    const error = refusal(open);
    expect(error).toMatchObject({ kind: 'precondition', reason: 'STORE_TOO_NEW' });
    expect(error.message).toBe(
      `${path} was written by a newer version of Fairlead (schema ${migrations.length + 1}, this one knows ${migrations.length}); run that version or a later one`,
    );
    expect(readFileSync(path).equals(before)).toBe(true);
  });
});

describe('a file', () => {
  test('that another process has open is refused', async () => {
    await using writer = await Writer.start(path);
    await writer.line();
    expect(refusal(open)).toMatchObject({ kind: 'precondition', reason: 'STORE_IN_USE' });
    expect(refusal(open).message).toContain('only one coordinator may run on a state directory');
  });

  test('that this process has open is refused', () => {
    using _first = open();
    expect(refusal(open)).toMatchObject({ reason: 'STORE_IN_USE' });
  });

  test('that is no database is refused', () => {
    writeFileSync(
      path,
      'this is no database, but it is long enough to look like one. '.repeat(100),
    );
    const error = refusal(open);
    expect(error).toMatchObject({ kind: 'precondition', reason: 'STORE_DAMAGED' });
    expect(error.message).toContain('restore a backup');
  });

  test('with a damaged page is refused', () => {
    const store = open();
    fill(store);
    store.transact((tx) => {
      for (let i = 0; i < 200; i++) tx.services.put(aService({ name: `service-${i}` }));
    });
    store[Symbol.dispose]();
    const { size } = statSync(path);
    const file = openSync(path, 'r+');
    for (let page = 5; page < size / 4096; page++) {
      writeSync(file, Buffer.alloc(100, 0xff), 0, 100, page * 4096);
    }
    closeSync(file);
    expect(refusal(open)).toMatchObject({ kind: 'precondition', reason: 'STORE_DAMAGED' });
  });

  test('with a damaged record is refused, by its name', () => {
    const store = open();
    fill(store);
    store[Symbol.dispose]();
    const database = new SqliteDatabase(path);
    database.exec(`UPDATE services SET record = '{"id": "web-'`);
    database.close();
    const error = refusal(open);
    expect(error).toMatchObject({ kind: 'precondition', reason: 'STORE_DAMAGED' });
    expect(error.message).toContain('services');
    // Nothing holds the file any more.
    expect(refusal(open)).toMatchObject({ reason: 'STORE_DAMAGED' });
  });

  test('in a directory that is not there is refused', () => {
    const missing = directory.join('missing', 'fairlead.db');
    expect(refusal(() => new Store(missing, { clock: systemClock }))).toMatchObject({
      kind: 'precondition',
      reason: 'STORE_UNUSABLE',
    });
  });
});

describe('a process that is killed while it writes', () => {
  test.each([1, 2, 3, 4, 5])(
    'leaves whole transactions, the last that it told of among them (%i)',
    async (round) => {
      await using writer = await Writer.start(path);
      let told = 0;
      while (told < round * 20) told = Number(await writer.line());
      writer.kill();
      told = Math.max(told, await writer.last());
      using store = open();
      const services = [...store.services.values()];
      expect(services).toHaveLength(1);
      const version = services[0]!.version;
      // What was committed and not told yet may be there as well, but at most one.
      expect([told, told + 1]).toContain(version);
      expect([...store.containers.values()].map(({ createdAtMs }) => createdAtMs)).toEqual(
        Array.from({ length: 5 }, () => version),
      );
      expect(store.events.newest).toBe(version);
    },
  );
});

/** A process that writes transactions as fast as it can, and tells the number of each after its commit. */
class Writer implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  #last = 0;

  private constructor(child: ChildProcess) {
    this.#child = child;
    this.#lines = readLines(child);
  }

  static async start(storePath: string): Promise<Writer> {
    const script = new URL('./writer.ts', import.meta.url).pathname;
    const child = spawn(process.execPath, ['--import', 'tsx', script, storePath], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(child, 'spawn');
    return new Writer(child);
  }

  async line(): Promise<string> {
    const next = await this.#lines.next();
    if (next.done === true) throw new Error('the writer ended');
    this.#last = Number(next.value);
    return next.value;
  }

  /** The last number that it told before its end. */
  async last(): Promise<number> {
    for (let next = await this.#lines.next(); next.done !== true; next = await this.#lines.next()) {
      this.#last = Number(next.value);
    }
    return this.#last;
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    this.kill();
    await once(this.#child, 'exit');
  }
}

async function* readLines(child: ChildProcess): AsyncGenerator<string> {
  let rest = '';
  for await (const chunk of child.stdout as AsyncIterable<Buffer>) {
    const lines = (rest + chunk.toString()).split('\n');
    rest = lines.pop() ?? '';
    yield* lines;
  }
}

test('a store makes its file, and nothing else', () => {
  open()[Symbol.dispose]();
  expect(existsSync(path)).toBe(true);
  expect(existsSync(`${path}-wal`)).toBe(false);
});
