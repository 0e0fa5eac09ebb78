import { expect, test } from 'vitest';
import type { EngineContainer } from '../../../../agent/node/docker/engine.ts';
import type { EngineLogQuery, LogLine } from '../../../../agent/node/docker/log-lines.ts';
import {
  readLog,
  type LogEngine,
  type LogNews,
  type LogsOrder,
} from '../../../../agent/node/read-log.ts';
import type { ContainerId } from '../../../../shared/ids.ts';

const { signal } = new AbortController();

function at(ms: number): string {
  return new Date(1_700_000_000_000 + ms).toISOString().replace('Z', '000000Z');
}

function line(ms: number, size = 1): LogLine {
  return { stream: 'stdout', time: at(ms), data: Buffer.alloc(size, 120), continued: false };
}

/** An engine whose container writes more between one question and the next. */
class WritingEngine implements LogEngine {
  readonly asked: EngineLogQuery[] = [];
  log: LogLine[];
  readonly #later: LogLine[];

  constructor(log: LogLine[], later: LogLine[] = []) {
    this.log = log;
    this.#later = later;
  }

  find(containerId: ContainerId): Promise<EngineContainer | undefined> {
    const container = { engineId: `engine-${containerId}` } as EngineContainer;
    return Promise.resolve(containerId === 'none' ? undefined : container);
  }

  async *logs(_engineId: string, query: EngineLogQuery): AsyncGenerator<LogLine[]> {
    this.asked.push(query);
    await Promise.resolve();
    const since = Number(query.since ?? 0) * 1_000;
    const found = this.log.filter(({ time }) => Date.parse(time) >= since);
    yield query.tail === undefined ? found : found.slice(found.length - query.tail);
    this.log = [...this.log, ...this.#later.splice(0)];
  }
}

const order: LogsOrder = {
  ...{ containerId: 'web' as ContainerId, follow: false },
  ...{ tail: undefined, sinceMs: undefined, untilMs: undefined, after: undefined },
};

async function read(engine: LogEngine, wish: Partial<LogsOrder>): Promise<LogNews[]> {
  const news = [];
  for await (const each of readLog(engine, { ...order, ...wish }, signal)) news.push(each);
  return news;
}

const timesOf = (news: readonly LogNews[]) =>
  news.flatMap((each) => (each.kind === 'lines' ? each.lines.map(({ time }) => time) : []));

test('what is written between its two questions is told once', async () => {
  const engine = new WritingEngine([line(0), line(0), line(500)], [line(500), line(501)]);
  const news = await read(engine, { follow: true });
  expect(timesOf(news)).toEqual([0, 0, 500, 500, 501].map(at));
  expect(news.map(({ kind }) => kind)).toEqual(['lines', 'caught-up', 'lines']);
});

test('asked for nothing of what there is, it tells the place after it', async () => {
  const engine = new WritingEngine([line(0), line(500)], [line(501)]);
  const news = await read(engine, { follow: true, tail: 0 });
  expect(news).toMatchObject([
    { kind: 'caught-up', position: { time: at(500), lines: 1 } },
    { kind: 'lines', lines: [{ time: at(501) }] },
  ]);
});

test('the place after an empty log is where it was to begin', async () => {
  const caughtUp = async (wish: Partial<LogsOrder>) =>
    (await read(new WritingEngine([]), { follow: true, ...wish }))[0];
  expect(await caughtUp({})).toMatchObject({
    position: { time: '1970-01-01T00:00:00.000000000Z' },
  });
  expect(await caughtUp({ sinceMs: 1_700_000_000_000 })).toMatchObject({
    position: { time: at(0), lines: 0 },
  });
});

test('goes on after a place, whatever the tail', async () => {
  const engine = new WritingEngine([line(0), line(10), line(10), line(20)]);
  const after = { time: at(10), lines: 2 };
  expect(timesOf(await read(engine, { after, tail: 0 }))).toEqual([at(20)]);
  expect(engine.asked[0]).toMatchObject({ since: '1700000000.010000000', tail: undefined });
});

test('tells large logs in batches', async () => {
  const engine = new WritingEngine(Array.from({ length: 100 }, (_, i) => line(i, 1_000)));
  const news = await read(engine, {});
  expect(timesOf(news)).toHaveLength(100);
  expect(news.length).toBe(7);
});

test('says if there is no such container', async () => {
  expect(await read(new WritingEngine([]), { containerId: 'none' as ContainerId })).toEqual([
    { kind: 'missing' },
  ]);
});
