import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Dispatcher } from '../../../../coordinator/dispatcher/dispatcher.ts';
import type { InventoryEntry } from '../../../../coordinator/dispatcher/node-hello.ts';
import type { NodeLink } from '../../../../coordinator/dispatcher/node-link.ts';
import type { Container, ObservedPhase, Wanted } from '../../../../coordinator/model.ts';
import { ObservedState } from '../../../../coordinator/observed/observed-state.ts';
import { viewOf } from '../../../../coordinator/orchestrator/view-of.ts';
import { Store } from '../../../../coordinator/store/store.ts';
import { NodeUpgrades } from '../../../../coordinator/upgrades/node-upgrades.ts';
import type { Volume } from '../../../../shared/container-options.ts';
import { createLogger } from '../../../../shared/logger.ts';
import {
  aContainer,
  aDefinition,
  aNode,
  aReport,
  aService,
  containerId,
  nodeId,
  serviceId,
} from '../../../support/builders.ts';
import { FakeClock } from '../../../support/fake-clock.ts';

const own = containerId('db-1-id');
const orphan = containerId('orphan-id');
const description = {
  ...{ hostname: 'host', operatingSystem: 'Debian', os: 'linux', architecture: 'amd64' },
  ...{ engineVersion: '1', engineApiVersion: '1', agentVersion: '1', cpus: 2, memoryBytes: 1 },
};
const data: Volume = {
  containerPath: '/data',
  source: { kind: 'named', name: 'data', external: false },
  readOnly: false,
};
const routing = {
  admissionOf: () => ({ admitted: false, drained: true }),
  subscribe: () => ({ [Symbol.dispose]: () => undefined }),
};

type Orphans = Readonly<Record<string, ObservedPhase>>;

/** A coordinator whose older backup was restored: db-1 is to be on node-1, whose engine does not have it. */
class Restored implements AsyncDisposable {
  readonly clock = new FakeClock();
  readonly store = new Store(':memory:', { clock: this.clock });
  readonly observed = new ObservedState(new Map(), { clock: this.clock });
  readonly settling = { settled: true };
  readonly #dispatcher: Dispatcher;
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;
  readonly #links = new Map<string, NodeLink>();
  #sequence = 1;
  #boots = 0;

  constructor({ volumes = [data] }: { readonly volumes?: readonly Volume[] } = {}) {
    this.store.transact((tx) => {
      tx.nodes.put(aNode({ description }));
      tx.nodes.put(aNode({ name: 'node-2', description }));
      tx.services.put(aService({ name: 'db' }));
      const definition = aDefinition({ volumes: [...volumes] });
      const record = { id: own, name: 'db-1', serviceId: serviceId('db-id'), definition };
      tx.containers.put(aContainer({ ...record, arrived: true }));
    });
    // The picture that was in the backup.
    this.observed.report(own, aReport());
    const { store, observed, clock, settling } = this;
    const log = createLogger({ level: 'silent', process: 'test' });
    const upgrades = new NodeUpgrades();
    const newId = () => `session-${++this.#boots}`;
    this.#dispatcher = new Dispatcher(
      { store, observed, routing, settling, upgrades, clock, newId, log },
      { downGraceMs: 8_000 },
    );
    this.#running = this.#dispatcher.run(this.#stop.signal);
  }

  attach(node: string, orphans: Orphans = {}, engine = { reachable: true, message: '' }): void {
    const link = this.#dispatcher.attach(
      nodeId(node),
      {
        ...{ verbs: [], bootId: `boot-${node}`, sequence: this.#sequence, description },
        ...{ advertiseAddress: '10.0.0.1', publicAddress: '10.0.0.1', engine, clockMs: null },
        inventory: Object.entries(orphans).map(([id, phase]) => entry(id, phase)),
        certificate: { authority: '', untilMs: 1 },
      },
      { wake: () => undefined, close: () => undefined },
    );
    this.#links.set(node, link);
  }

  detach(node: string): void {
    const link = this.#links.get(node);
    if (link !== undefined) this.#dispatcher.detach(link);
    this.#links.delete(node);
  }

  report(node: string, id: string, phase: ObservedPhase): void {
    const link = this.#links.get(node);
    if (link !== undefined)
      this.#dispatcher.report(link, ++this.#sequence, [entry(id, phase)], null);
  }

  want(wanted: Wanted): void {
    this.store.transact((tx) => {
      tx.containers.put({ ...this.record(), wanted });
    });
  }

  record(): Container {
    return this.store.containers.get(own)!;
  }

  /** What node-1 is told of db-1 now; undefined: nothing. */
  told(): string | undefined {
    const assignments = this.#links.get('node-1')?.nextMessage()?.assignments ?? [];
    return assignments.find((each) => each.containerId === own)?.wanted;
  }

  view() {
    const { store, observed } = this;
    return viewOf(this.record(), { store, observed, routing });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#running;
    this.store[Symbol.dispose]();
  }
}

function entry(id: string, phase: ObservedPhase): InventoryEntry {
  const engineId = phase === 'pulling' ? '' : `engine-${id}`;
  const reported = aReport({ phase, ready: false, engineId });
  return { containerId: containerId(id), name: 'db-1', reported };
}

describe('a container that an older backup brings back', () => {
  test('is made at once where nothing has its slot', async () => {
    await using restored = new Restored();
    restored.attach('node-1');
    expect(restored.told()).toBe('running');
  });

  test('waits while an orphan of its slot runs, is stopped, and is made when that has ended', async () => {
    await using restored = new Restored();
    restored.attach('node-1', { [orphan]: 'running' });
    expect(restored.told()).toBeUndefined();
    expect(restored.view()).toMatchObject({
      phase: 'pending',
      ready: false,
      message: expect.stringContaining('node-1 runs the orphan db-1') as string,
    });
    restored.report('node-1', orphan, 'stopping');
    expect(restored.told()).toBeUndefined();
    expect(restored.view().message).toContain('node-1 is stopping the orphan db-1');
    restored.report('node-1', orphan, 'stopped');
    expect(restored.told()).toBe('running');
    expect(restored.view()).toMatchObject({ phase: 'starting' });
  });

  test('does not wait where it writes nothing that another could write', async () => {
    await using restored = new Restored({ volumes: [{ ...data, readOnly: true }] });
    restored.attach('node-1', { [orphan]: 'running' });
    expect(restored.told()).toBe('running');
  });

  test('waits for the nodes that may still tell of an orphan', async () => {
    await using restored = new Restored();
    restored.settling.settled = false;
    restored.attach('node-1');
    expect(restored.told()).toBeUndefined();
    restored.attach('node-2', { [orphan]: 'running' });
    restored.settling.settled = true;
    await restored.clock.advance(1_000);
    expect(restored.told()).toBeUndefined();
    restored.report('node-2', orphan, 'removed');
    expect(restored.told()).toBe('running');
  });

  test('waits no longer than for those', async () => {
    await using restored = new Restored();
    restored.settling.settled = false;
    restored.attach('node-1');
    expect(restored.told()).toBeUndefined();
    restored.settling.settled = true;
    await restored.clock.advance(1_000);
    expect(restored.told()).toBe('running');
  });

  test('does not wait for them where its node is at it already', async () => {
    await using restored = new Restored();
    restored.settling.settled = false;
    restored.attach('node-1', { [own]: 'pulling' });
    expect(restored.told()).toBe('running');
  });

  test('waits for an orphan that is out of reach, until its node is removed', async () => {
    await using restored = new Restored();
    restored.attach('node-2', { [orphan]: 'running' });
    restored.detach('node-2');
    await restored.clock.advance(20_000);
    restored.attach('node-1');
    expect(restored.told()).toBeUndefined();
    expect(restored.view().message).toContain('node-2 is not in reach');
    restored.observed.forgetNode(nodeId('node-2'));
    expect(restored.told()).toBe('running');
  });

  test('waits while the engine that ran the orphan does not answer', async () => {
    await using restored = new Restored();
    restored.attach('node-1', { [orphan]: 'running' });
    const away = { reachable: false, message: 'away' };
    restored.attach('node-1', {}, away);
    expect(restored.told()).toBeUndefined();
    restored.attach('node-1');
    expect(restored.told()).toBe('running');
  });

  test('is not taken away from its node once it is there', async () => {
    await using restored = new Restored();
    restored.attach('node-1');
    expect(restored.told()).toBe('running');
    restored.report('node-1', own, 'running');
    restored.attach('node-2', { [orphan]: 'running' });
    expect(restored.view().phase).toBe('running');
    restored.attach('node-1', { [own]: 'running' });
    expect(restored.told()).toBe('running');
  });

  test('can be taken away while it waits, without having been made', async () => {
    await using restored = new Restored();
    restored.attach('node-1', { [orphan]: 'running' });
    restored.want('draining');
    expect(restored.told()).toBeUndefined();
    restored.want('removed');
    expect(restored.told()).toBe('removed');
  });
});

type Happening =
  | { readonly kind: 'attach'; readonly node: string; readonly reachable: boolean }
  | { readonly kind: 'detach'; readonly node: string }
  | { readonly kind: 'phase'; readonly node: string; readonly phase: ObservedPhase }
  | { readonly kind: 'wait'; readonly ms: number };

const node = fc.constantFrom('node-1', 'node-2');
const happening: fc.Arbitrary<Happening> = fc.oneof(
  fc.record({ kind: fc.constant('attach'), node, reachable: fc.boolean() }),
  fc.record({ kind: fc.constant('detach'), node }),
  fc.record({
    ...{ kind: fc.constant('phase'), node },
    phase: fc.constantFrom<ObservedPhase>('starting', 'running', 'stopping', 'stopped', 'removed'),
  }),
  fc.record({ kind: fc.constant('wait'), ms: fc.constantFrom(100, 600, 5_000, 30_000) }),
);

const living: readonly ObservedPhase[] = ['starting', 'running', 'stopping'];

test('whatever happens, it is not made beside an orphan that was seen, and it is made when there is none', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(happening, { maxLength: 15 }), async (happenings) => {
      await using restored = new Restored();
      /** What each engine has, and what was last heard of it. */
      const there = new Map<string, ObservedPhase>();
      const heard = new Map<string, ObservedPhase>();
      const attached = new Set<string>();
      const attach = (at: string, reachable = true) => {
        const phase = there.get(at);
        const known = phase !== undefined && phase !== 'removed';
        const shown = known && reachable ? { [`${orphan}-${at}`]: phase } : {};
        restored.attach(at, shown, { reachable, message: '' });
        attached.add(at);
        if (!reachable) return;
        if (known) heard.set(at, phase);
        else heard.delete(at);
      };
      const check = () => {
        const told = restored.told();
        const seen = [...heard.values()].some((phase) => living.includes(phase));
        if (seen) expect(told).toBeUndefined();
        return told;
      };
      for (const each of happenings) {
        if (each.kind === 'attach') attach(each.node, each.reachable);
        else if (each.kind === 'detach') {
          restored.detach(each.node);
          attached.delete(each.node);
        } else if (each.kind === 'phase') {
          there.set(each.node, each.phase);
          if (attached.has(each.node)) {
            heard.set(each.node, each.phase);
            restored.report(each.node, `${orphan}-${each.node}`, each.phase);
          }
        } else await restored.clock.advance(each.ms);
        // What was told once cannot be taken back.
        if (check() === 'running') return;
      }
      there.clear();
      attach('node-2');
      attach('node-1');
      expect(restored.told()).toBe('running');
    }),
    { numRuns: 200 },
  );
});
