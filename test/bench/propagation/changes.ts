import Docker from 'dockerode';
import { systemClock } from '../../../shared/clock.ts';
import { eventually } from '../../support/eventually.ts';
import type { EngineEvents } from '../support/engine-events.ts';
import type { FineWallClock } from '../support/wall-clock.ts';
import type { Side, Subject } from './side.ts';

/** How long one change took, to HAProxy's word that it is in effect. */
export interface Delays {
  /** From the SIGKILL of the process until its server takes no requests any more. */
  readonly outMs: number;
  /** From the time that the engine gives its start until the server takes requests. */
  readonly inMs: number;
}

/**
 * The engine waits 100 ms before it restarts a container, and twice as long each time if that ran for
 * less than 10 s.
 */
const restartsAtOnceAfterMs = 10_500;
const timeoutMs = 20_000;

/** Kills the processes of real containers, and measures how their servers follow. */
export class Changes {
  readonly #docker: Docker;
  readonly #events: EngineEvents;
  readonly #clock: FineWallClock;

  constructor(dockerSocket: string, events: EngineEvents, clock: FineWallClock) {
    this.#docker = new Docker({ socketPath: dockerSocket });
    this.#events = events;
    this.#clock = clock;
  }

  /** Kills the container of a side that has run the longest, and waits until it is back. */
  async make(side: Side, signal: AbortSignal): Promise<Delays> {
    const subject = longestRunning(side.subjects);
    const runsForMs = systemClock.monotonic() - subject.startedAtMs;
    await systemClock.sleep(restartsAtOnceAfterMs - runsForMs, signal);
    const delays = await this.#kill(side, subject, signal);
    subject.startedAtMs = systemClock.monotonic();
    return delays;
  }

  async #kill(side: Side, subject: Subject, signal: AbortSignal): Promise<Delays> {
    const { engineId, serverName } = subject;
    const expectStart = () => this.#events.expect('start', engineId, timeoutMs, signal);
    const expectNotice = (kind: 'in' | 'out') =>
      side.notices.expect(kind, serverName, timeoutMs, signal);
    const pid = await this.#pidOf(engineId);
    const all = Promise.all([expectNotice('out'), expectStart(), expectNotice('in')]);
    const killedAtMs = this.#clock.now();
    process.kill(pid, 'SIGKILL');
    const [out, started, back] = await all;
    await this.#confirm(side, back.server, signal);
    return { outMs: out.atMs - killedAtMs, inMs: back.atMs - started.atMs };
  }

  async #pidOf(engineId: string): Promise<number> {
    const { State: state } = await this.#docker.getContainer(engineId).inspect();
    if (!state.Running || state.Pid <= 0) throw new Error(`container ${engineId} does not run`);
    return state.Pid;
  }

  /**
   * HAProxy writes the notice while it makes the change; this makes sure that its socket says the same
   * when it is done. Off the measured path, because it looks at all servers.
   */
  async #confirm(side: Side, name: string, signal: AbortSignal): Promise<void> {
    await eventually(
      async () => {
        const server = (await side.servers()).find(({ id }) => id === name);
        if (server?.mode === 'ready') return;
        throw new Error(`HAProxy wrote that ${name} is ready, its socket says ${server?.mode}`);
      },
      { timeoutMs },
      signal,
    );
  }
}

function longestRunning(subjects: readonly Subject[]): Subject {
  const [first] = subjects.toSorted((a, b) => a.startedAtMs - b.startedAtMs);
  if (first === undefined) throw new Error('there is no real container to kill');
  return first;
}
