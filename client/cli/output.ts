import { once } from 'node:events';
import type { Kind } from './kinds.ts';
import { describe } from './describe.ts';
import { oneLine, paint, renderTable, type Tone } from './table.ts';

/** A stream to write to: the process's own, or a test's. */
export interface Sink {
  readonly isTTY?: boolean;
  /** False: it has more than it can take for now, and says 'drain' when it can again. */
  write(data: string | Uint8Array): unknown;
}

export interface OutputOptions {
  readonly stdout: Sink;
  readonly stderr: Sink;
  readonly json: boolean;
  /** False where the user wants none; a pipe gets none anyway. */
  readonly colours: boolean;
  readonly now: () => number;
}

const clearScreen = '\u001b[H\u001b[2J\u001b[3J';

/**
 * What the command line writes. Results go to stdout, and with `--json` nothing but JSON does;
 * everything that is said to a person goes to stderr.
 */
export class Output {
  readonly json: boolean;
  readonly #options: OutputOptions;

  constructor(options: OutputOptions) {
    this.#options = options;
    this.json = options.json;
  }

  /** Whether somebody looks at stderr while it is written. */
  get isWatched(): boolean {
    return this.#options.stderr.isTTY === true;
  }

  /** One JSON document. */
  document(value: unknown): void {
    this.#options.stdout.write(`${JSON.stringify(value, undefined, 2)}\n`);
  }

  /** One JSON document on a line of its own, of a stream of them. */
  documentLine(value: unknown): void {
    this.#options.stdout.write(`${JSON.stringify(value)}\n`);
  }

  /** A plain line of the result. */
  line(text: string): void {
    this.#options.stdout.write(`${text}\n`);
  }

  /**
   * Bytes that a program in a container wrote, to the stream that it wrote them to. Resolves when more can
   * be taken: who pipes us to a slow reader is not to fill our memory.
   */
  async bytes(stream: 'stdout' | 'stderr', data: Uint8Array): Promise<void> {
    const sink = this.#options[stream];
    if (sink.write(data) === false) await once(sink as unknown as NodeJS.WritableStream, 'drain');
  }

  /** A list: an array of documents, or a table. */
  list<T>(kind: Kind<T>, items: readonly T[]): void {
    if (this.json) this.document(items.map((item) => kind.toJSON(item)));
    else this.table(kind, items);
  }

  /** One object: a document, or a table of one row. */
  one<T>(kind: Kind<T>, item: T): void {
    if (this.json) this.document(kind.toJSON(item));
    else this.table(kind, [item]);
  }

  /** All that is known of some objects: a document of one, an array of more. */
  allDetails<T>(kind: Pick<Kind<T>, 'toJSON'>, items: readonly T[]): void {
    const values = items.map((item) => kind.toJSON(item));
    if (this.json) this.document(values.length === 1 ? values[0] : values);
    else
      for (const line of values.length === 1 ? describe(values[0]) : describe(values))
        this.line(line);
  }

  table<T>(kind: Pick<Kind<T>, 'columns'>, items: readonly T[]): void {
    const { stdout, now } = this.#options;
    const colours = this.#inColour(stdout);
    const lines = renderTable(kind.columns, items, { nowMs: now(), colours });
    stdout.write(`${lines.join('\n')}\n`);
  }

  /** Rows that follow a table whose titles were written before, such as those of a stream. */
  rows<T>(kind: Pick<Kind<T>, 'columns'>, items: readonly T[]): void {
    for (const item of items) {
      const cells = kind.columns.map(({ cell }) => cell(item, this.#options.now()));
      this.line(
        cells.map((cell) => oneLine(typeof cell === 'string' ? cell : cell.text)).join('  '),
      );
    }
  }

  /** Begins a new picture of a list that is watched: over the old one, or below it in a pipe. */
  newPicture(isFirst: boolean): void {
    if (this.#options.stdout.isTTY === true) this.#options.stdout.write(clearScreen);
    else if (!isFirst) this.line('');
  }

  /** A line for the person at the terminal. */
  note(text: string, tone: Tone = 'plain'): void {
    const { stderr } = this.#options;
    stderr.write(`${paint(oneLine(text), tone, this.#inColour(stderr))}\n`);
  }

  /** What went wrong, and what to do. */
  failure(message: string, hints: readonly string[] = []): void {
    const { stderr } = this.#options;
    const lines = message.split('\n');
    const prefix = paint('fairlead:', 'bad', this.#inColour(stderr));
    stderr.write(`${prefix} ${lines.map(oneLine).join('\n  ')}\n`);
    for (const hint of hints) stderr.write(`  ${oneLine(hint)}\n`);
  }

  #inColour(sink: Sink): boolean {
    return this.#options.colours && sink.isTTY === true;
  }
}
