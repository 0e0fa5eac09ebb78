import { beforeEach, describe, expect, test } from 'vitest';
import {
  watchEngine,
  type EngineChange,
} from '../../../../../agent/node/docker/container-events.ts';
import { FakeClock } from '../../../../support/fake-clock.ts';
import { anEngineContainer, startedAt } from '../builders.ts';
import { FakeEngine } from '../fake-engine.ts';

describe('watching an engine', () => {
  let clock: FakeClock;
  let engine: FakeEngine;
  let changes: EngineChange[];
  const container = anEngineContainer();
  const random = { fraction: () => 0.5, id: () => '', secret: () => '' };
  const kinds = () => changes.map(({ kind }) => kind);

  beforeEach(() => {
    clock = new FakeClock();
    engine = new FakeEngine();
    changes = [];
    engine.containers.set(container.engineId, container);
  });

  /** Watches while the test goes on; the watch ends with it. */
  async function watching(test: () => Promise<void>): Promise<void> {
    const stop = new AbortController();
    const watched = (async () => {
      for await (const change of watchEngine({ engine, clock, random }, stop.signal)) {
        changes.push(change);
      }
    })();
    try {
      await clock.settle();
      await test();
    } finally {
      stop.abort();
      await watched;
    }
  }

  test('begins with all it has, asked for events from before', async () => {
    await watching(async () => {
      expect(changes).toEqual([{ kind: 'present', info: engine.info, containers: [container] }]);
      expect(engine.sinceMs).toEqual([engine.info.nowMs]);
      engine.tell(container.engineId, { kind: 'ended', exitCode: 1 });
      await clock.settle();
      expect(changes[1]).toMatchObject({ kind: 'event', event: { kind: 'ended', exitCode: 1 } });
    });
    expect(kinds()).toEqual(['present', 'event']);
  });

  test('says that the engine is away, and begins anew when it is back', async () => {
    await watching(async () => {
      engine.tell(container.engineId, { kind: 'changed' });
      await clock.settle();
      engine.leave();
      await clock.settle();
      expect(changes.at(-1)).toEqual({
        kind: 'away',
        message: 'the engine ended its event stream',
      });
      await clock.advance(60_000);
      expect(changes.at(-1)).toEqual({ kind: 'away', message: 'no engine listens' });
      engine.isAway = false;
      engine.containers.clear();
      await clock.advance(5_000);
      expect(changes.at(-1)).toEqual({ kind: 'present', info: engine.info, containers: [] });
      expect(engine.sinceMs).toEqual([engine.info.nowMs, startedAt.getTime() + 1_000_000]);
    });
  });

  test('tries less and less often while the engine is away', async () => {
    engine.isAway = true;
    await watching(async () => {
      await clock.advance(60_000);
      expect(changes.length).toBeGreaterThan(15);
      expect(changes.length).toBeLessThan(30);
      expect(new Set(kinds())).toEqual(new Set(['away']));
    });
  });

  test('notices an engine that hangs although its connections stay open', async () => {
    await watching(async () => {
      await clock.advance(9_000);
      engine.hold.add('ping');
      await clock.advance(2_000);
      expect(kinds()).toEqual(['present']);
      engine.isAway = true;
      engine.release();
      await clock.settle();
      expect(changes.at(-1)).toEqual({ kind: 'away', message: 'no engine listens' });
    });
  });
});
