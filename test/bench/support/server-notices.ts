import { closeSync, fstatSync, openSync, readSync, watch, type FSWatcher } from 'node:fs';
import { Expectations } from './expectations.ts';
import type { FineWallClock } from './wall-clock.ts';

/** HAProxy's word that a server takes requests from now on, or none any more. */
export interface ServerNotice {
  readonly kind: 'in' | 'out';
  readonly backend: string;
  readonly server: string;
  /** When it was seen, by the wall clock. */
  readonly atMs: number;
}

const patterns = [
  { kind: 'in', pattern: /Server ([^/\s]+)\/(\S+) is (?:UP|DOWN)\/READY \(leaving forced maint/ },
  {
    kind: 'out',
    pattern: /Server ([^/\s]+)\/(\S+) (?:is going DOWN for maint|was DOWN and now enters maint)/,
  },
] as const;

/**
 * Follows what an HAProxy writes to its log when the state of a server is changed.
 *
 * It costs HAProxy nothing that it does not do anyway, however many servers there are, and tells the
 * moment to a fraction of a millisecond: asking its socket in a loop would do neither.
 */
export class ServerNotices implements Disposable {
  readonly #clock: FineWallClock;
  readonly #file: number;
  readonly #watcher: FSWatcher;
  readonly #expectations = new Expectations<ServerNotice>();
  #position: number;
  #rest = '';

  constructor(logPath: string, clock: FineWallClock) {
    this.#clock = clock;
    this.#file = openSync(logPath, 'r');
    this.#position = fstatSync(this.#file).size;
    this.#watcher = watch(logPath, () => {
      this.#read(this.#clock.now());
    });
  }

  /** The next notice of this kind on a server whose name matches. */
  async expect(
    kind: ServerNotice['kind'],
    name: RegExp,
    timeoutMs: number,
    signal: AbortSignal,
  ): Promise<ServerNotice> {
    return await this.#expectations.expect(
      `server ${name.source} ${kind}`,
      (notice) => notice.kind === kind && name.test(notice.server),
      timeoutMs,
      signal,
    );
  }

  [Symbol.dispose](): void {
    this.#watcher.close();
    closeSync(this.#file);
  }

  #read(atMs: number): void {
    const { size } = fstatSync(this.#file);
    // The agent empties the log when it gets long.
    if (size < this.#position) {
      this.#position = 0;
      this.#rest = '';
    }
    const chunk = Buffer.alloc(size - this.#position);
    this.#position += readSync(this.#file, chunk, 0, chunk.length, this.#position);
    const lines = (this.#rest + chunk.toString('latin1')).split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines) {
      for (const { kind, pattern } of patterns) {
        const [, backend, server] = pattern.exec(line) ?? [];
        if (backend === undefined || server === undefined) continue;
        this.#expectations.offer({ kind, backend, server, atMs });
      }
    }
  }
}
