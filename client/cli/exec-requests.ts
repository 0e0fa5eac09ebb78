import type { ReadStream, WriteStream } from 'node:tty';
import { Wakeup } from '../../shared/wakeup.ts';
import type { ExecContainerRequest } from '../../shared/gen/fairlead/v1/control_service.ts';
import type { ExecInput, TerminalSize } from '../../shared/gen/fairlead/v1/exec.ts';
import { CommandFailure, exitStatus } from './exit-status.ts';

type Input = NonNullable<ExecInput['input']>;

const forwarded = { SIGINT: 'INT', SIGTERM: 'TERM', SIGHUP: 'HUP', SIGQUIT: 'QUIT' } as const;
const never = new AbortController().signal;

/** How a command is run. */
export interface ExecManner {
  /** It reads what is typed or piped in. */
  readonly interactive: boolean;
  readonly terminal: boolean;
}

/**
 * What a command is sent while it runs: what is typed or piped in, no faster than it is taken; the size of
 * the terminal; and the signals that this process gets, which are meant for the command.
 */
export class ExecRequests implements Disposable {
  readonly #stdin: ReadStream;
  readonly #stdout: WriteStream;
  readonly #wakeup = new Wakeup();
  readonly #queue: Input[] = [];
  readonly #controller = new AbortController();
  #hasBegun = false;
  #hasEnded = false;
  #isRaw = false;

  constructor(stdin: ReadStream, stdout: WriteStream) {
    this.#stdin = stdin;
    this.#stdout = stdout;
  }

  /** Whether the command runs. */
  get hasBegun(): boolean {
    return this.#hasBegun;
  }

  /** The size of the terminal that a command is to have; throws if what is typed comes from none. */
  sizeFor({ interactive, terminal }: ExecManner): TerminalSize | undefined {
    if (interactive && terminal && !this.#stdin.isTTY) {
      throw new CommandFailure(exitStatus.usage, 'the input is no terminal: leave --tty out');
    }
    return terminal ? this.#size() : undefined;
  }

  /** The first request, and then all that is to be sent. */
  async *after(start: ExecContainerRequest): AsyncGenerator<ExecContainerRequest> {
    yield start;
    for (;;) {
      const input = this.#queue.shift();
      if (input !== undefined) {
        yield { message: { $case: 'input', value: { input } } };
        this.#resumeInput();
      } else if (this.#hasEnded) return;
      else await this.#wakeup.wait(never);
    }
  }

  /** The command runs: it gets what comes from now on. */
  begin({ interactive, terminal }: ExecManner): void {
    this.#hasBegun = true;
    if (terminal) this.#stdout.on('resize', this.#onResize);
    if (!interactive) return;
    if (terminal) this.#setRaw(true);
    this.#stdin.on('data', this.#onData).once('end', this.#onEnd).once('error', this.#onEnd);
  }

  /** Aborts when a signal comes that no command is there for, or a second one comes in place of its effect. */
  interrupts(): Disposable & { readonly signal: AbortSignal } {
    const times = new Map<NodeJS.Signals, number>();
    const onSignal = (name: NodeJS.Signals) => {
      const count = (times.get(name) ?? 0) + 1;
      times.set(name, count);
      if (this.#hasBegun && count === 1) {
        this.#send({ $case: 'signal', value: forwarded[name as keyof typeof forwarded] });
        return;
      }
      const status = name === 'SIGTERM' ? exitStatus.terminated : exitStatus.interrupted;
      this.#controller.abort(new CommandFailure(status, ''));
    };
    const names = Object.keys(forwarded) as (keyof typeof forwarded)[];
    for (const name of names) process.on(name, onSignal);
    return {
      signal: this.#controller.signal,
      [Symbol.dispose]() {
        for (const name of names) process.off(name, onSignal);
      },
    };
  }

  /** The terminal is as it was before, and nothing keeps the process. */
  [Symbol.dispose](): void {
    this.#hasEnded = true;
    this.#wakeup.notify();
    this.#stdout.off('resize', this.#onResize);
    this.#setRaw(false);
    if (this.#hasBegun) this.#stdin.off('data', this.#onData).destroy();
  }

  readonly #onData = (data: Buffer): void => {
    this.#send({ $case: 'stdin', value: data });
    // One chunk at a time: the next one is read when this one was taken.
    this.#stdin.pause();
  };

  readonly #onEnd = (): void => {
    this.#send({ $case: 'stdinEnd', value: {} });
  };

  readonly #onResize = (): void => {
    const size = this.#size();
    if (size !== undefined) this.#send({ $case: 'resize', value: size });
  };

  #size(): TerminalSize | undefined {
    const { isTTY, rows, columns } = this.#stdout;
    return isTTY ? { rows, columns } : undefined;
  }

  #resumeInput(): void {
    if (this.#hasBegun && this.#queue.length === 0 && this.#stdin.isPaused()) this.#stdin.resume();
  }

  #send(input: Input): void {
    this.#queue.push(input);
    this.#wakeup.notify();
  }

  #setRaw(isRaw: boolean): void {
    if (!this.#stdin.isTTY || this.#isRaw === isRaw) return;
    this.#isRaw = isRaw;
    this.#stdin.setRawMode(isRaw);
  }
}
