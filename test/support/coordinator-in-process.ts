import { readFileSync } from 'node:fs';
import { request } from 'node:https';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { readCoordinatorConfig } from '../../coordinator/config.ts';
import { runCoordinator } from '../../coordinator/coordinator.ts';
import { systemClock } from '../../shared/clock.ts';
import { createLogger } from '../../shared/logger.ts';
import { systemRandom } from '../../shared/random.ts';
import { eventually } from './eventually.ts';

export interface HttpRequest {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

/** An answer that has begun. Read it or cancel it. */
export interface Answer {
  readonly status: number;
  readonly text: () => Promise<string>;
  readonly cancel: () => void;
}

/** A real coordinator within the process of the test; disposing of it stops it as SIGTERM does. */
export class CoordinatorInProcess implements AsyncDisposable {
  readonly port: number;
  readonly httpPort: number;
  readonly #stop: AbortController;
  readonly #ended: Promise<void>;
  readonly #lines: readonly string[];

  readonly #stateDir: string;

  private constructor(
    stateDir: string,
    { port, httpPort }: { readonly port: number; readonly httpPort: number },
    running: {
      readonly stop: AbortController;
      readonly ended: Promise<void>;
      readonly lines: readonly string[];
    },
  ) {
    this.#stateDir = stateDir;
    this.port = port;
    this.httpPort = httpPort;
    this.#stop = running.stop;
    this.#ended = running.ended;
    this.#lines = running.lines;
  }

  /** Starts one on any free ports; resolves when it answers. */
  static async start(
    stateDir: string,
    more: Readonly<Record<string, unknown>> = {},
  ): Promise<CoordinatorInProcess> {
    const lines: string[] = [];
    const write = (line: string) => lines.push(line);
    const log = createLogger({ level: 'debug', process: 'coordinator' }, { write });
    const flags = { stateDir, listen: '127.0.0.1:0', httpListen: '127.0.0.1:0', ...more };
    const stop = new AbortController();
    const deps = { clock: systemClock, random: systemRandom, log };
    const ended = runCoordinator(readCoordinatorConfig({ flags, env: {} }), deps, stop.signal);
    const started = eventually(() => {
      const line = lines.find((each) => each.includes('"coordinator started"'));
      if (line === undefined) throw new Error(`it has not started:\n${lines.join('')}`);
      return JSON.parse(line) as { readonly port: number; readonly httpPort: number };
    });
    const ports = await Promise.race([started, ended.then(() => started)]);
    return new CoordinatorInProcess(stateDir, ports, { stop, ended, lines });
  }

  /** Where it answers DNS, if it was told to. */
  get dnsPort(): number {
    const line = this.#lines.find((each) => each.includes('"dns answers"'));
    return (JSON.parse(line ?? '{}') as { readonly port: number }).port;
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  /** Certificates of its authorities, PEM. */
  get authorities(): string {
    return readFileSync(join(this.#stateDir, 'ca.pem'), 'utf8');
  }

  /** Asks its HTTPS side; resolves when the answer begins. */
  async fetch(path: string, { method = 'GET', headers = {}, body }: HttpRequest): Promise<Answer> {
    return await new Promise((resolve, reject) => {
      const where = { host: '127.0.0.1', port: this.httpPort, ca: this.authorities };
      request({ ...where, path, method, headers }, (response) => {
        resolve({
          status: response.statusCode ?? 0,
          text: () => text(response),
          cancel: () => void response.destroy(),
        });
      })
        .once('error', reject)
        .end(body);
    });
  }

  /** All it logged, as text. */
  log(): string {
    return this.#lines.join('');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#ended;
  }
}
