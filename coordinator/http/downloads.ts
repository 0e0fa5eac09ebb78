import { createHash } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { DomainError, messageOf } from '../../shared/errors.ts';
import type { Logger } from '../../shared/logger.ts';
import { version as coordinatorVersion } from '../version.ts';
import type { HttpHandler } from './connect.ts';

/** Lists every file that is served: nothing that a request says ever becomes part of a path. */
const listName = 'SHA256SUMS';
/** Says which version the packages are. */
const versionName = 'VERSION';
const scriptName = 'install.sh';
/** More are told to come back: each holds a file and a buffer. */
const defaultMaxDownloads = 256;
/** A client that takes nothing for so long is gone, or worse. */
const stalledMs = 60_000;

export interface DownloadsOptions {
  /** What `npm run package` made. */
  readonly directory: string;
  /** False: there may be nothing. */
  readonly required: boolean;
  /** How many at a time; 256 if left out. */
  readonly maxDownloads?: number;
}

/** The script that installs the agent, as it was when the coordinator started. */
interface InstallScript {
  readonly text: Buffer;
  /** SHA-256 of it in hexadecimal. */
  readonly sha256: string;
}

/**
 * The files that hosts install: the script at `/install.sh`, packages at `/packages/NAME`. They are nobody's
 * secret and are served to anybody; who downloads them checks them by hashes that come another way.
 */
export class Downloads {
  readonly #directory: string;
  /** The hashes of what is served, by name. */
  readonly #hashes: ReadonlyMap<string, string>;
  /** Version of the packages; null: nothing says it. */
  readonly version: string | null;
  readonly #script: InstallScript | null;
  readonly #log: Logger;
  readonly #maxDownloads: number;
  #running = 0;

  private constructor(
    { directory, maxDownloads = defaultMaxDownloads }: DownloadsOptions,
    hashes: ReadonlyMap<string, string>,
    log: Logger,
  ) {
    this.#directory = directory;
    this.#maxDownloads = maxDownloads;
    this.#hashes = hashes;
    this.version = hashes.has(versionName)
      ? readFileSync(join(directory, versionName), 'utf8').trim()
      : null;
    this.#log = log;
    if (this.version !== null && this.version !== coordinatorVersion) {
      const advice = 'make them from the same source, or name the right ones by --packages-dir';
      const versions = { packages: this.version, coordinator: coordinatorVersion };
      log.warn({ ...versions, directory, advice }, 'packages are of another version');
    }
    this.#script = hashes.has(scriptName) ? readScript(join(directory, scriptName)) : null;
  }

  /**
   * Reads the list of what there is. A directory that was told must have one; the usual place may be empty
   * when nobody made packages.
   */
  static open(options: DownloadsOptions, log: Logger): Downloads {
    const { directory, required } = options;
    try {
      const list = readFileSync(join(directory, listName), 'utf8');
      const lines = [...list.matchAll(/^([0-9a-f]{64}) [ *]([\w][\w.+~-]*)$/gm)];
      const hashes = new Map(lines.map(([, hash = '', name = '']) => [name, hash]));
      return new Downloads(options, hashes, log);
    } catch (error) {
      if (!required && (error as NodeJS.ErrnoException).code === 'ENOENT') {
        return new Downloads(options, new Map(), log);
      }
      throw new DomainError(
        'precondition',
        `the packages in ${directory} cannot be read: ${messageOf(error)}. Make them by "npm run package", or correct --packages-dir`,
        { reason: 'PACKAGES_UNREADABLE', cause: error },
      );
    }
  }

  /** SHA-256 of the install script; null if there is none to serve. */
  get scriptSha256(): string | null {
    return this.#script?.sha256 ?? null;
  }

  /** What an agent may become; null: that is not served. */
  packageNamed(name: string): { readonly sha256: string; readonly size: number } | null {
    const sha256 = this.#hashes.get(name);
    if (sha256 === undefined) return null;
    const size = statSync(join(this.#directory, name), { throwIfNoEntry: false })?.size ?? 0;
    return { sha256, size };
  }

  /** Answers what is below its two paths, and nothing else. */
  readonly handle: HttpHandler = (request, response) => {
    const [path = ''] = (request.url ?? '').split('?', 1);
    const name = path === `/${scriptName}` ? scriptName : /^\/packages\/([^/]*)$/.exec(path)?.[1];
    if (name === undefined) return false;
    this.#answer(name, request, response).catch((err: unknown) => {
      // Most often the client went away; what it has got is not whole, and it can tell by the length.
      if (!response.destroyed) this.#log.warn({ err, name }, 'download failed');
      response.destroy();
    });
    return true;
  };

  async #answer(name: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      refuse(response, 405, 'only GET and HEAD are answered here', { allow: 'GET, HEAD' });
    } else if (!this.#hashes.has(name)) {
      refuse(response, 404, this.#hashes.size === 0 ? noPackages : 'nothing is here');
    } else if (this.#running >= this.#maxDownloads) {
      refuse(response, 503, 'too many downloads at a time; try again', { 'retry-after': '5' });
    } else {
      this.#running++;
      try {
        await this.#send(name, request.method === 'HEAD', response);
      } finally {
        this.#running--;
      }
    }
  }

  async #send(name: string, headOnly: boolean, response: ServerResponse): Promise<void> {
    response.setTimeout(stalledMs, () => response.destroy());
    if (name === scriptName && this.#script !== null) {
      response.writeHead(200, headersOf(this.#script.text.length));
      response.end(headOnly ? undefined : this.#script.text);
      return;
    }
    await using file = await openFile(join(this.#directory, name));
    const { size } = await file.handle.stat();
    response.writeHead(200, headersOf(size));
    if (headOnly || size === 0) response.end();
    else {
      // A file that grows meanwhile is not sent further than was said; one that shrank is cut off.
      const content = file.handle.createReadStream({ autoClose: false, end: size - 1 });
      await pipeline(content, response, { end: false });
      if (content.bytesRead === size) response.end();
      else response.destroy();
    }
  }
}

const noPackages =
  'this coordinator has no packages to serve: make them by "npm run package", and tell it where they are by --packages-dir';

function readScript(path: string): InstallScript {
  const text = readFileSync(path);
  return { text, sha256: createHash('sha256').update(text).digest('hex') };
}

function headersOf(size: number): Record<string, string | number> {
  return {
    'content-type': 'application/octet-stream',
    'content-length': size,
    'x-content-type-options': 'nosniff',
    'cache-control': 'no-cache',
  };
}

function refuse(
  response: ServerResponse,
  status: number,
  words: string,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, { 'content-type': 'text/plain', ...headers }).end(`${words}\n`);
}

async function openFile(path: string) {
  const handle = await open(path, 'r');
  return { handle, [Symbol.asyncDispose]: () => handle.close() };
}
