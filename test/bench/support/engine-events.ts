import Docker from 'dockerode';
import { jsonLines } from '../../../agent/node/docker/json-lines.ts';
import { Expectations } from './expectations.ts';

/** An event of a container, and when the engine says that it happened. */
export interface EngineEvent {
  readonly action: string;
  readonly engineId: string;
  /** By the wall clock, with fractions of a millisecond. */
  readonly atMs: number;
}

/** What Docker sends of an event, as far as it is read. */
interface RawEvent {
  readonly Action: string;
  readonly Actor: { readonly ID: string };
  readonly timeNano: number;
}

/** The events of an engine, on a stream of the benchmark's own. */
export class EngineEvents implements AsyncDisposable {
  readonly #expectations = new Expectations<EngineEvent>();
  readonly #stop = new AbortController();
  #reading: Promise<void> = Promise.resolve();

  private constructor() {}

  static async open(dockerSocket: string): Promise<EngineEvents> {
    const events = new EngineEvents();
    const stream = await new Docker({ socketPath: dockerSocket }).getEvents({
      filters: { type: ['container'], event: ['die', 'start'] },
      abortSignal: events.#stop.signal,
    });
    events.#reading = events.#read(stream);
    return events;
  }

  /** The next event of this kind of one container. */
  async expect(
    action: 'die' | 'start',
    engineId: string,
    timeoutMs: number,
    signal: AbortSignal,
  ): Promise<EngineEvent> {
    return await this.#expectations.expect(
      `event "${action}" of container ${engineId.slice(0, 12)}`,
      (event) => event.engineId === engineId && event.action === action,
      timeoutMs,
      signal,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#reading;
  }

  async #read(stream: NodeJS.ReadableStream): Promise<void> {
    try {
      for await (const line of jsonLines(stream as AsyncIterable<Buffer>)) {
        const { Action: action, Actor: actor, timeNano } = line as RawEvent;
        this.#expectations.offer({ action, engineId: actor.ID, atMs: timeNano / 1e6 });
      }
    } catch {
      // Closed by us, or by the engine's end: then whoever expects an event is told by the time-out.
    }
  }
}
