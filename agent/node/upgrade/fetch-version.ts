import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { chmod, mkdir, open, rename, rm } from 'node:fs/promises';
import { get } from 'node:https';
import type { IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createSecureContext } from 'node:tls';
import { promisify } from 'node:util';
import { createGunzip } from 'node:zlib';
import { ChildController } from '../../../shared/abort.ts';
import type { Clock } from '../../../shared/clock.ts';
import { messageOf } from '../../../shared/errors.ts';
import { coordinatorName } from '../../../shared/rpc/trust.ts';
import { backoffMs } from '../../../shared/retry.ts';
import { syncDirectory } from '../../../shared/durable-file.ts';
import type { Program } from './program.ts';
import { Versions } from './versions.ts';

/** What is to be fetched. */
export interface Wanted {
  readonly attempt: string;
  readonly version: string;
  readonly url: string;
  readonly sha256: string;
  readonly size: number;
}

export interface FetchDeps {
  readonly clock: Clock;
  readonly random: () => number;
  /** Certificates of the authorities of the coordinator, PEM. */
  readonly trustPem: string;
  /** What it is to be another version of. */
  readonly program: Program;
  readonly versions: Versions;
}

/** For one try. */
const downloadMs = 120_000;
/** A coordinator that restarts is back by then. */
const tries = 5;
const backoff = { minMs: 500, maxMs: 10_000 };
/** More than an agent ever had, packed and unpacked. */
const maxBytes = 256 * 1024 * 1024;
const maxUnpackedBytes = 1024 * 1024 * 1024;
/** A program that says its version takes less, on a host that is busy. */
const answerMs = 20_000;

/** Nothing that is tried again makes this better. */
class Unusable extends Error {}

/**
 * Downloads a version into its directory and checks it: its hash, and that it runs on this host and is what it
 * is said to be. Resolves to the name of the directory; throws the reason in words, and leaves nothing then.
 */
export async function fetchVersion(
  wanted: Wanted,
  deps: FetchDeps,
  signal: AbortSignal,
): Promise<string> {
  const { program, versions } = deps;
  requireSensible(wanted);
  using life = new ChildController(signal);
  const work = join(versions.path, 'fetching');
  try {
    await rm(work, { recursive: true, force: true });
    await mkdir(work, { mode: 0o700 });
    const path = join(work, program.file);
    await downloadPatiently(wanted, join(work, 'download'), deps, life.signal);
    await unpack(join(work, 'download'), path, program);
    await requireRunning(path, program, wanted.version, life.signal);
    const name = Versions.nameOf(wanted.version, wanted.attempt);
    await syncDirectory(work);
    await rename(work, join(versions.path, name));
    await syncDirectory(versions.path);
    return name;
  } catch (error) {
    await rm(work, { recursive: true, force: true });
    throw error instanceof Error && 'code' in error && error.code === 'ENOSPC'
      ? new Error(`there is no room for it in ${versions.path}`)
      : error;
  }
}

/** Names become parts of paths, and of a line that a shell reads. */
function requireSensible({ attempt, version, url, sha256, size }: Wanted): void {
  const sensible =
    /^[0-9A-Za-z]{1,64}$/.test(attempt) &&
    /^[0-9A-Za-z][0-9A-Za-z.+~-]{0,63}$/.test(version) &&
    /^https:\/\/[^\s]+$/.test(url) &&
    /^[0-9a-f]{64}$/.test(sha256) &&
    size > 0 &&
    size <= maxBytes;
  if (!sensible) throw new Unusable('what the coordinator asks for makes no sense to this version');
}

async function downloadPatiently(
  wanted: Wanted,
  path: string,
  deps: FetchDeps,
  signal: AbortSignal,
): Promise<void> {
  const { clock, random } = deps;
  for (let failures = 0; ; failures++) {
    try {
      await download(wanted, path, deps, signal);
      return;
    } catch (error) {
      const mayPass = !(error instanceof Unusable) && !isLocal(error);
      if (signal.aborted || !mayPass || failures + 1 === tries) throw error;
    }
    await clock.sleep(backoffMs(failures, backoff, random), signal);
  }
}

/** A file that cannot be written stays so. */
function isLocal(error: unknown): boolean {
  const { code } = error as { readonly code?: unknown };
  return ['ENOSPC', 'EDQUOT', 'EACCES', 'EROFS', 'EIO'].includes(String(code));
}

async function download(
  { url, sha256, size }: Wanted,
  path: string,
  { clock, trustPem }: FetchDeps,
  signal: AbortSignal,
): Promise<void> {
  using limit = new ChildController(signal);
  using _timer = clock.after(downloadMs, () => {
    limit.abort(new Error(`it took longer than ${downloadMs / 1_000} s`));
  });
  const hash = createHash('sha256');
  try {
    const response = await ask(url, trustPem, limit.signal);
    const checked = bounded(size, 'it is longer than the coordinator said', (part) => {
      hash.update(part);
    });
    const file = createWriteStream(path, { mode: 0o600, flush: true });
    await pipeline(response, checked, file, { signal: limit.signal });
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof Unusable || isLocal(error)) throw error;
    const reason: unknown = limit.signal.aborted ? limit.signal.reason : error;
    throw new Error(`cannot download ${url}: ${messageOf(reason)}`, { cause: error });
  }
  const found = hash.digest('hex');
  if (found !== sha256) {
    throw new Unusable(
      `${url} is not what the coordinator said (SHA-256 ${found}, not ${sha256}): somebody changes it, or its packages were replaced while it ran`,
    );
  }
}

/** The answer to a GET, from the coordinator that this host joined and from nobody else. */
async function ask(url: string, trustPem: string, signal: AbortSignal): Promise<IncomingMessage> {
  const secureContext = createSecureContext({
    ca: trustPem,
    allowPartialTrustChain: true,
    minVersion: 'TLSv1.2',
  });
  return await new Promise((resolve, reject) => {
    const options = { agent: false, signal, secureContext, servername: coordinatorName } as const;
    get(url, options, (response) => {
      if (response.statusCode === 200) {
        resolve(response);
        return;
      }
      response.destroy();
      reject(new Error(`it answers with the status ${response.statusCode ?? 0}`));
    }).once('error', (error) => {
      reject(new Error(error.message, { cause: error }));
    });
  });
}

/** Lets so much through and no more. */
function bounded(limit: number, words: string, onPart: (part: Buffer) => void): Transform {
  let bytes = 0;
  return new Transform({
    transform(part: Buffer, _encoding, done) {
      bytes += part.length;
      if (bytes > limit) {
        done(new Unusable(words));
        return;
      }
      onPart(part);
      done(null, part);
    },
  });
}

async function unpack(packed: string, path: string, { interpreter }: Program): Promise<void> {
  if (interpreter !== null) {
    await rename(packed, path);
    return;
  }
  const unbounded = bounded(maxUnpackedBytes, 'it is too large unpacked', () => undefined);
  const file = createWriteStream(path, { mode: 0o700 });
  try {
    await pipeline(createReadStream(packed), createGunzip(), unbounded, file);
  } catch (error) {
    if (String((error as { code?: unknown }).code).startsWith('Z_')) {
      throw new Unusable(`it cannot be unpacked: ${messageOf(error)}`);
    }
    throw error;
  }
  await rm(packed);
  await chmod(path, 0o700);
  const written = await open(path, 'r');
  try {
    await written.sync();
  } finally {
    await written.close();
  }
}

/** Most of what is broken shows here, while this version still runs. */
async function requireRunning(
  path: string,
  { interpreter }: Program,
  version: string,
  signal: AbortSignal,
): Promise<void> {
  const [command, args] = interpreter === null ? [path, []] : [interpreter, [path]];
  let said: string;
  try {
    const options = { env: {}, timeout: answerMs, killSignal: 'SIGKILL', signal } as const;
    said = (await promisify(execFile)(command, [...args, '--version'], options)).stdout.trim();
  } catch (error) {
    signal.throwIfAborted();
    throw new Unusable(`it does not run on this host: ${whyNot(error, path)}`);
  }
  if (said !== version) {
    throw new Unusable(`it says that it is version ${said.slice(0, 64)}, not ${version}`);
  }
}

function whyNot(error: unknown, path: string): string {
  const { code, killed, stderr } = error as {
    readonly code?: unknown;
    readonly killed?: boolean;
    readonly stderr?: string;
  };
  if (code === 'EACCES') return `${path} may not be run; is its file system mounted with noexec?`;
  if (killed === true) return `it did not say its version within ${answerMs / 1_000} s`;
  const [words = ''] = (stderr ?? '').trim().split('\n').slice(-1);
  return words === '' ? messageOf(error) : words;
}
