import { systemClock } from '../../../shared/clock.ts';
import { usualReplicas } from './application.ts';
import type { Running } from './engines.ts';
import type { Side } from './side.ts';

/** How a scene went. */
export interface Outcome {
  /** Null: it did not come to its end in its time. */
  readonly tookMs: number | null;
  /** On the monotonic clock: when something was killed. */
  readonly incidentAtMs?: number;
}

/** Something that is done to the service, or happens to it, under load. */
export interface Scene {
  readonly name: string;
  /** The most that it may take. */
  readonly aimMs?: number;
  /** Something dies: what is in flight there may fail. What begins so much later may not, nor wait. */
  readonly harmMs?: number;
  /** What it did stays: nothing is as before when it is over. */
  readonly isLast?: boolean;
  readonly run: (side: Side, signal: AbortSignal) => Promise<Outcome>;
}

/** How long nobody decides. */
const awayMs = 1_000;
/** A container that is not back by then does not come back by itself. */
const patienceMs = 15_000;

async function timed(work: () => Promise<void>): Promise<Outcome> {
  const beganAtMs = systemClock.monotonic();
  await work();
  return { tookMs: systemClock.monotonic() - beganAtMs };
}

/** Kills one container in this way; the time until another runs in its place, or itself again. */
async function killOne(
  side: Side,
  kill: (victim: Running & { readonly pid: number }) => Promise<void>,
  signal: AbortSignal,
): Promise<Outcome> {
  const before = await side.engines.running();
  const victim = before.find(({ host }) => host.name === 'host-1') ?? before[0]!;
  const { pid, startedAt } = await side.engines.processOf(victim);
  const incidentAtMs = systemClock.monotonic();
  await kill({ ...victim, pid });
  const isBack = await side.engines.replaced({ ...victim, startedAt }, before, patienceMs, signal);
  return { tookMs: isBack ? systemClock.monotonic() - incidentAtMs : null, incidentAtMs };
}

/** Kills what decides, and starts it again when some time has passed. */
async function withoutManager(side: Side, signal: AbortSignal): Promise<void> {
  await side.killManager(signal);
  await systemClock.sleep(awayMs, signal);
  await side.startManager(signal);
}

/** Begins something, kills what decides as soon as the first new container of it runs, and sees it to its end. */
async function interrupted(
  side: Side,
  { begin, end }: { readonly begin: () => Promise<void>; readonly end: () => Promise<void> },
  signal: AbortSignal,
): Promise<void> {
  const before = await side.engines.running();
  await begin();
  await side.engines.untilNew(before, signal);
  await withoutManager(side, signal);
  await end();
}

async function scale(side: Side, replicas: number, signal: AbortSignal): Promise<void> {
  await side.beginScale(replicas, signal);
  await side.scaled(replicas, signal);
}

async function update(side: Side, parallelism: number, signal: AbortSignal): Promise<Outcome> {
  return await timed(async () => {
    await side.beginUpdate(parallelism, signal);
    await side.updated(signal);
  });
}

/** In their order: the last one takes a host for good. */
export const scenes: readonly Scene[] = [
  {
    name: 'scale 2 to 16 to 2',
    run: async (side, signal) => {
      await scale(side, 2, signal);
      const outcome = await timed(async () => {
        await scale(side, 16, signal);
        await scale(side, 2, signal);
      });
      await scale(side, usualReplicas, signal);
      return outcome;
    },
  },
  {
    name: 'redeploy 8',
    run: (side, signal) =>
      timed(async () => {
        await side.beginRedeploy(1, signal);
        await side.updated(signal);
      }),
  },
  {
    name: 'update 8, one at a time',
    aimMs: 8_000,
    run: (side, signal) => update(side, 1, signal),
  },
  {
    name: 'update 8, two at a time',
    aimMs: 5_000,
    run: (side, signal) => update(side, 2, signal),
  },
  {
    name: 'failed update, rolled back',
    run: (side, signal) =>
      timed(async () => {
        await side.beginFailingUpdate(signal);
        await side.rolledBack(signal);
      }),
  },
  {
    name: 'node drained',
    run: async (side, signal) => {
      const outcome = await timed(async () => {
        await side.beginDrain('host-2', signal);
        await side.drained('host-2', signal);
      });
      await side.activate('host-2', signal);
      return outcome;
    },
  },
  {
    name: 'container killed',
    aimMs: 1_000,
    harmMs: 0,
    run: (side, signal) =>
      killOne(
        side,
        async ({ id, host }) => {
          await host.docker(['kill', id], signal);
        },
        signal,
      ),
  },
  {
    name: 'container crashed, manager away',
    aimMs: 1_500,
    harmMs: 0,
    run: async (side, signal) => {
      await side.killManager(signal);
      const outcome = await killOne(
        side,
        ({ pid }) => {
          process.kill(pid, 'SIGKILL');
          return Promise.resolve();
        },
        signal,
      );
      await side.startManager(signal);
      return outcome;
    },
  },
  {
    name: 'manager killed in an update',
    run: (side, signal) => {
      const begin = () => side.beginUpdate(2, signal);
      const end = () => side.updated(signal);
      return timed(() => interrupted(side, { begin, end }, signal));
    },
  },
  {
    name: 'manager killed in a redeploy',
    run: (side, signal) => {
      const begin = () => side.beginRedeploy(2, signal);
      const end = () => side.updated(signal);
      return timed(() => interrupted(side, { begin, end }, signal));
    },
  },
  {
    name: 'manager killed while scaling 2 to 16 to 2',
    run: async (side, signal) => {
      await scale(side, 2, signal);
      const outcome = await timed(async () => {
        const begin = () => side.beginScale(16, signal);
        const end = () => side.scaled(16, signal);
        await interrupted(side, { begin, end }, signal);
        await side.beginScale(2, signal);
        await side.engines.untilFewer(16, signal);
        await withoutManager(side, signal);
        await side.scaled(2, signal);
      });
      await scale(side, usualReplicas, signal);
      return outcome;
    },
  },
  {
    name: 'manager killed in a failed update',
    run: (side, signal) =>
      timed(async () => {
        await side.beginFailingUpdate(signal);
        await withoutManager(side, signal);
        await side.rolledBack(signal);
      }),
  },
  {
    name: 'manager killed while a node is drained',
    run: async (side, signal) => {
      const begin = () => side.beginDrain('host-2', signal);
      const end = () => side.drained('host-2', signal);
      const outcome = await timed(() => interrupted(side, { begin, end }, signal));
      await side.activate('host-2', signal);
      return outcome;
    },
  },
  {
    name: 'host dead',
    aimMs: 10_000,
    harmMs: 2_000,
    isLast: true,
    run: async (side, signal) => {
      const incidentAtMs = systemClock.monotonic();
      await side.engines.host('host-3').kill(signal);
      await side.engines.untilRunning(usualReplicas, ['host-3'], signal);
      return { tookMs: systemClock.monotonic() - incidentAtMs, incidentAtMs };
    },
  },
];
