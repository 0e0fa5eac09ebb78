import { ChildController } from '../../shared/abort.ts';
import { messageOf } from '../../shared/errors.ts';
import type { Logger } from '../../shared/logger.ts';
import type { Random } from '../../shared/random.ts';
import type { LogEngine } from './read-log.ts';
import type { ExecEngine } from './run-exec.ts';
import { SharedChannel, type SharedChannelDeps } from './shared-channel.ts';

export interface AgentStreamsDeps extends SharedChannelDeps {
  readonly engine: LogEngine & ExecEngine;
  readonly random: Random;
  readonly log: Logger;
}

/** More than anybody reads on one host; what is offered beyond is left to time out. */
const maxStreams = 256;

/** The streams that the coordinator asked for: one for each thing, for as long as it takes. */
export class AgentStreams {
  readonly #deps: AgentStreamsDeps;
  readonly #channel: SharedChannel;
  readonly #stopping = new AbortController();
  /** By ticket. */
  readonly #open = new Map<
    string,
    { readonly life: ChildController; readonly end: Promise<void> }
  >();

  constructor(deps: AgentStreamsDeps, options: { readonly coordinator: string }) {
    this.#deps = deps;
    this.#channel = new SharedChannel(deps, options);
  }

  /** The coordinator waits for a stream with this ticket. */
  take(ticket: string): void {
    const { log } = this.#deps;
    if (this.#open.size >= maxStreams) {
      log.warn({ open: this.#open.size }, 'stream not opened: too many are open');
      return;
    }
    const life = new ChildController(this.#stopping.signal);
    const end = this.#serve(ticket, life.signal).finally(() => {
      life[Symbol.dispose]();
      this.#open.delete(ticket);
    });
    this.#open.set(ticket, { life, end });
  }

  /** Nobody wants that stream any more: what it does is ended, though it may be held up by what nobody takes. */
  close(ticket: string): void {
    this.#open.get(ticket)?.life.abort(new Error('nobody wants it any more'));
  }

  /** Ends all of them; resolves when nothing of them is left. */
  async stop(): Promise<void> {
    this.#stopping.abort(new Error('the agent stops'));
    await Promise.all([...this.#open.values()].map(({ end }) => end));
  }

  /** Never rejects: whoever asked went away, or the connection broke, and then they ask again. */
  async #serve(ticket: string, signal: AbortSignal): Promise<void> {
    const { engine, random, log } = this.#deps;
    let messages = 0;
    const onSent = () => {
      messages++;
    };
    try {
      // Loaded when it is first needed: most hosts are never asked.
      const { serveStream } = await import('./node-stream.ts');
      await this.#channel.with(
        (channel) => serveStream({ engine, random, channel, ticket, onSent }, signal),
        signal,
      );
      log.debug({ messages }, 'stream ended');
    } catch (error) {
      log.debug({ messages, reason: messageOf(error) }, 'stream ended early');
    }
  }
}
