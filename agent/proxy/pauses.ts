import { createHash } from 'node:crypto';
import type { Structure } from './backend-list.ts';
import type { MapEntries } from './route-maps.ts';

/** What the agent answers of requests that may go on, and of those that were held for long enough. */
export const goesOnAddress = '127.0.0.1';
export const isOverAddress = '127.0.0.2';

/** HAProxy asks again so often; so the end of a pause is exact to this. */
const askAgainMs = 1_000;

/** A request that is held, as HAProxy asks about it. */
export interface Held {
  /** Names the pause that it is held by. */
  readonly pause: string;
  readonly forMs: number;
  /** When it came, by the clock of the host as it was then. */
  readonly sinceMs: number;
}

/**
 * What is paused, by route id or name of a backend: the names under which HAProxy asks whether requests may go
 * on, of what holds them and for how long.
 */
export function pausesOf({ frontends, backends }: Structure): MapEntries {
  const routes = frontends
    .filter(({ protocol }) => protocol === 'http')
    .flatMap((frontend) => frontend.routes)
    .map(({ id, route }) => [id, route.pauseMs] as const);
  const pools = backends.map(({ name, balancing }) => [name, balancing?.pauseMs ?? 0] as const);
  const paused = [...new Map([...pools, ...routes])].filter(([, ms]) => ms > 0);
  return paused.map(([key, ms]) => {
    const token = createHash('sha256').update(key).digest('hex').slice(0, 16);
    return [key, `p${token}-${ms}`];
  });
}

/**
 * The same pauses by other names, one for each time that the clock was set: where it went back a second comes once more,
 * and what comes in it would be one with what is held since it came first.
 */
export function ofEra(entries: MapEntries, era: number): MapEntries {
  return era === 0 ? entries : entries.map(([key, value]) => [key, `${value}-${era}`]);
}

/** The names of the pauses of a map. */
export function namesIn(entries: MapEntries): Set<string> {
  return new Set(entries.map(([, value]) => value.split('-')[0] ?? value));
}

/** Reads the host that HAProxy asks for: the value of the map, a dot, the second in which the request came. */
export function readHeld(host: string): Held | undefined {
  const [, pause, ms, second] =
    /^(p[0-9a-f]{16})-(\d{1,6})(?:-\d{1,9})?\.(\d{1,11})$/.exec(host) ?? [];
  if (pause === undefined) return undefined;
  return { pause, forMs: Number(ms), sinceMs: Number(second) * 1_000 };
}

/** The section by which HAProxy asks the agent, at a port of the loopback address. */
export function resolverLines(port: number): string[] {
  return [
    `nameserver agent 127.0.0.1:${port}`,
    // With no agent to answer, requests are held for as long as any may be.
    `resolve_retries ${60_000 / askAgainMs}`,
    `timeout retry ${askAgainMs}ms`,
    // Every answer is for those who wait for it.
    ...['valid', 'nx', 'other', 'refused', 'timeout'].map((kind) => `hold ${kind} 0s`),
  ];
}
