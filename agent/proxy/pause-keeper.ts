import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import type { Clock } from '../../shared/clock.ts';
import type { Logger } from '../../shared/logger.ts';
import { goesOnAddress, isOverAddress, readHeld, type Held } from './pauses.ts';
import { readIfThere, writeAtomically } from './state-directory.ts';

const address = '127.0.0.1';
/** Nobody waits for more: HAProxy asks once for all requests of a second, and for none longer than a minute. */
const maxWaiting = 10_000;
/** HAProxy gives up after a minute, and has rounded down the second in which a request came. */
const oldestMs = 62_000;
/** A clock that is corrected little by little goes no further from one question to the next. */
const clockWasSetMs = 500;

export interface PauseKeeperDeps {
  readonly clock: Pick<Clock, 'now' | 'monotonic'>;
  readonly log: Logger;
}

/** A question of HAProxy's that has no answer yet. */
interface Waiting {
  readonly pause: string;
  /** On the clock that never jumps. */
  readonly untilMs: number;
  readonly question: Buffer;
  readonly port: number;
}

/**
 * Tells HAProxy when requests that are held may go on, or are over. HAProxy asks by DNS, again and again: so what
 * is lost, and an agent that was away, cost a second.
 */
export class PauseKeeper implements AsyncDisposable {
  readonly #deps: PauseKeeperDeps;
  readonly #socket: Socket;
  /** By name of what is asked for. */
  readonly #waiting = new Map<string, Waiting>();
  #paused: ReadonlySet<string> | undefined;
  /** The clock of the host less the one that never jumps, at the last question. */
  #clockOffsetMs: number;
  /** Called when that has jumped. While anything is held, HAProxy asks every second. */
  onClockSet: (() => void) | undefined;

  private constructor(socket: Socket, deps: PauseKeeperDeps) {
    this.#deps = deps;
    this.#socket = socket;
    this.#clockOffsetMs = deps.clock.now() - deps.clock.monotonic();
    socket.on('error', (error) => {
      deps.log.warn({ err: error }, 'could not tell HAProxy of the end of a pause');
    });
    socket.on('message', (question, { port }) => {
      this.#hear(question, port);
    });
  }

  /** Listens at the port of the last time, so that HAProxy finds it again; the file keeps it. */
  static async open(portFile: string, deps: PauseKeeperDeps): Promise<PauseKeeper> {
    const kept = Number((await readIfThere(portFile))?.trim() ?? 0);
    const last = Number.isInteger(kept) && kept > 0 && kept < 65_536 ? kept : 0;
    const socket = (await listen(last)) ?? (await listen(0));
    if (socket === undefined) throw new Error(`no UDP port of ${address} can be had`);
    const { port } = socket.address();
    if (port !== last) await writeAtomically(portFile, `${port}\n`);
    return new PauseKeeper(socket, deps);
  }

  /** Where HAProxy asks. */
  get port(): number {
    return this.#socket.address().port;
  }

  /** HAProxy holds requests by these from now on, and by no others: those go on. */
  set(paused: ReadonlySet<string>): void {
    this.#paused = paused;
    for (const [name, waiting] of this.#waiting) {
      if (paused.has(waiting.pause)) continue;
      this.#waiting.delete(name);
      this.#answer(waiting, true);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.close();
    await once(this.#socket, 'close');
  }

  #hear(question: Buffer, port: number): void {
    const name = nameIn(question);
    const held = name === undefined ? undefined : readHeld(name);
    // Before anything is known of pauses nothing can be said of them.
    if (name === undefined || held === undefined || this.#paused === undefined) return;
    this.#noteClock();
    const untilMs = this.#waiting.get(name)?.untilMs ?? this.#endOf(held);
    const asked = { pause: held.pause, untilMs, question, port };
    this.#waiting.delete(name);
    if (!this.#paused.has(held.pause)) this.#answer(asked, true);
    else if (untilMs <= this.#deps.clock.monotonic()) this.#answer(asked, false);
    else this.#wait(name, asked);
  }

  #noteClock(): void {
    const { clock, log } = this.#deps;
    const offsetMs = clock.now() - clock.monotonic();
    const byMs = Math.round(offsetMs - this.#clockOffsetMs);
    this.#clockOffsetMs = offsetMs;
    if (Math.abs(byMs) < clockWasSetMs) return;
    log.info({ byMs }, 'the clock of this host was set');
    this.onClockSet?.();
  }

  /**
   * When to end what is asked about for the first time. That is as soon as it came, but for what was held while no
   * agent was there: so the clock of the host says how old it is, and may be set from then on. What is said to be
   * older than HAProxy asks about, or to come yet, came before it was set.
   */
  #endOf({ forMs, sinceMs }: Held): number {
    const { clock } = this.#deps;
    const ageMs = clock.now() - sinceMs;
    const isTrue = ageMs >= 0 && ageMs < oldestMs;
    return clock.monotonic() + forMs - (isTrue ? ageMs : 0);
  }

  #wait(name: string, asked: Waiting): void {
    this.#waiting.set(name, asked);
    const [oldest] = this.#waiting.keys();
    if (this.#waiting.size > maxWaiting && oldest !== undefined) this.#waiting.delete(oldest);
  }

  #answer({ question, port }: Waiting, goesOn: boolean): void {
    this.#socket.send(answerTo(question, goesOn), port, address);
  }
}

async function listen(port: number): Promise<Socket | undefined> {
  const socket = createSocket('udp4');
  try {
    const listening = once(socket, 'listening');
    socket.bind({ port, address, exclusive: true });
    await listening;
    return socket;
  } catch {
    socket.close();
    return undefined;
  }
}

const headerBytes = 12;

/** The name that a DNS message asks for; undefined: it is none. */
function nameIn(message: Buffer): string | undefined {
  const labels: string[] = [];
  let at = headerBytes;
  for (let size = message[at]; size !== 0; size = message[at]) {
    if (size === undefined || size > 63 || at + size >= message.length) return undefined;
    labels.push(message.toString('latin1', at + 1, at + 1 + size));
    at += 1 + size;
  }
  return at + 5 > message.length ? undefined : labels.join('.');
}

/** One address for what goes on, another for what is over: after a refusal HAProxy would ask again. */
function answerTo(question: Buffer, goesOn: boolean): Buffer {
  const end = question.indexOf(0, headerBytes) + 5;
  const header = Buffer.from(question.subarray(0, headerBytes));
  // An answer, recursion is there, no error; one question, one record.
  header.writeUInt16BE(0x8180, 2);
  for (const [place, count] of [1, 1, 0, 0].entries()) header.writeUInt16BE(count, 4 + 2 * place);
  // The name of the question, an address (A, IN), for 0 s, of 4 bytes.
  const bytes = (goesOn ? goesOnAddress : isOverAddress).split('.').map(Number);
  const record = Buffer.from([0xc0, headerBytes, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, ...bytes]);
  return Buffer.concat([header, question.subarray(headerBytes, end), record]);
}
