import { mkdir, open, readFile, stat } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join, resolve } from 'node:path';
import { replaceFile, writeDurably } from '../../shared/durable-file.ts';
import { DomainError, messageOf } from '../../shared/errors.ts';
import type { Logger } from '../../shared/logger.ts';
import { makePrivateDirectory } from '../../shared/private-directory.ts';

/** HAProxy binds `PATH.PID.tmp` first, and a socket's path has at most 107 bytes. */
const maxDirectoryLength = 80;

/** Files of a proxy agent and its HAProxy. */
export interface StatePaths {
  readonly directory: string;
  /** What HAProxy runs, or would run after a crash. */
  readonly config: string;
  /** A configuration that is being checked. */
  readonly candidate: string;
  readonly adminSocket: string;
  readonly masterSocket: string;
  readonly pidFile: string;
  /** What HAProxy says on its output. */
  readonly log: string;
  readonly serverState: string;
  /** The last good list. */
  readonly list: string;
  readonly proxyId: string;
  /** Port at which HAProxy asks the agent about pauses. */
  readonly pausePort: string;
  /** What HAProxy tells by whether a client is gone. */
  readonly goneScript: string;
  /** What HAProxy gives metrics of routes by. */
  readonly routesScript: string;
  /** What an old worker is told by to repeat requests at its successor, and where it does. */
  readonly successorScript: string;
  readonly successorSocket: string;
  /** What clients of sticky services leave backups by. */
  readonly stickyScript: string;
  /** Whom to trust as the coordinator. */
  readonly trust: string;
  /** Directory of certificates and their keys. */
  readonly certificates: string;
  readonly handoffSocket: (port: number) => string;
  /** Maps of routes that `config` refers to. */
  readonly maps: string;
  /** Those that `candidate` refers to. */
  readonly candidateMaps: string;
}

/** Where everything is in a state directory; refuses one whose name is too long for sockets. */
export function statePaths(stateDir: string): StatePaths {
  const directory = resolve(stateDir);
  if (Buffer.byteLength(directory) > maxDirectoryLength) {
    throw new DomainError(
      'invalid',
      `the state directory ${directory} has too long a name for sockets in it: at most ` +
        `${maxDirectoryLength} bytes`,
      { reason: 'CONFIGURATION_INVALID' },
    );
  }
  return {
    directory,
    config: join(directory, 'haproxy.cfg'),
    candidate: join(directory, 'haproxy.new.cfg'),
    adminSocket: join(directory, 'admin.sock'),
    masterSocket: join(directory, 'master.sock'),
    pidFile: join(directory, 'haproxy.pid'),
    log: join(directory, 'haproxy.log'),
    serverState: join(directory, 'server.state'),
    list: join(directory, 'list.json'),
    proxyId: join(directory, 'proxy-id'),
    pausePort: join(directory, 'pause-port'),
    goneScript: join(directory, 'gone.lua'),
    routesScript: join(directory, 'routes.lua'),
    successorScript: join(directory, 'successor.lua'),
    successorSocket: join(directory, 'next.sock'),
    stickyScript: join(directory, 'sticky.lua'),
    trust: join(directory, 'trust.json'),
    certificates: join(directory, 'certificates'),
    handoffSocket: (port) => join(directory, `h${port}.sock`),
    maps: join(directory, 'maps'),
    candidateMaps: join(directory, 'maps.new'),
  };
}

/**
 * Makes the directory private and takes it for this process; refuses if another agent has it.
 *
 * The lock is an abstract socket named after the directory's inode: the kernel gives it to one process
 * alone and takes it back when that process ends, however it ends.
 */
export async function lockDirectory(directory: string): Promise<AsyncDisposable> {
  makePrivateDirectory(directory);
  const { dev, ino } = await stat(directory);
  const server = createServer((socket) => socket.destroy());
  await new Promise<void>((held, refused) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      refused(
        error.code === 'EADDRINUSE'
          ? new DomainError(
              'precondition',
              `another proxy agent runs on the state directory ${directory}: stop it first, or give ` +
                'this one a directory of its own (--state-dir)',
              { reason: 'STATE_DIRECTORY_IN_USE' },
            )
          : error,
      );
    });
    server.listen(`\0fairlead-proxy-${dev}-${ino}`, held);
  });
  server.unref();
  return {
    [Symbol.asyncDispose]: () =>
      new Promise((closed) => {
        server.close(() => {
          closed();
        });
      }),
  };
}

/**
 * Replaces a file as a whole, readable by its owner alone: a crash leaves the old or the new one. A long text
 * may come in parts, and is gone through twice.
 */
export async function writeAtomically(
  path: string,
  text: string | Iterable<string>,
): Promise<void> {
  if (!(await holds(path, text))) await replaceBy(writeDurably, path, text);
}

/**
 * As `writeAtomically`, of what is saved again and again and can be had anew: it is written as cheaply as can be, and
 * after a loss of power it may be the one before.
 */
export async function saveAtomically(path: string, text: string | Iterable<string>): Promise<void> {
  await replaceBy(replaceFile, path, text);
}

async function replaceBy(
  replace: typeof replaceFile,
  path: string,
  text: string | Iterable<string>,
): Promise<void> {
  try {
    await replace(path, piecesOf(text));
  } catch (error) {
    throw unwritable(path, error);
  }
}

/** Makes a directory of the state directory, for its owner alone, if it is not there. */
export async function makeDirectory(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw unwritable(path, error);
  }
}

function unwritable(path: string, error: unknown): DomainError {
  return new DomainError(
    'precondition',
    `${path} cannot be written: ${messageOf(error)}; free space on its disk, or see that it may be written to`,
    { reason: 'STATE_DIR_NOT_WRITABLE', cause: error },
  );
}

/** Whether there is a file with this text. */
export async function holds(path: string, text: string | Iterable<string>): Promise<boolean> {
  await using file = await open(path).catch(() => undefined);
  if (file === undefined) return false;
  let position = 0;
  for (const part of piecesOf(text)) {
    const wanted = Buffer.from(part);
    const found = Buffer.allocUnsafe(wanted.length);
    const { bytesRead } = await file.read(found, 0, found.length, position);
    if (bytesRead < found.length || !found.equals(wanted)) return false;
    position += found.length;
  }
  return (await file.stat()).size === position;
}

/** So much of a text is written or read at once: each piece is another round trip through the pool of threads. */
const pieceLength = 64 * 1024;

function* piecesOf(text: string | Iterable<string>): Generator<string> {
  let piece = '';
  for (const part of typeof text === 'string' ? [text] : text) {
    piece += part;
    if (piece.length < pieceLength) continue;
    yield piece;
    piece = '';
  }
  if (piece !== '') yield piece;
}

/** The file's text; undefined if there is none. */
export async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw unreadable(path, `${messageOf(error)}; see that it is a file that the agent may read`);
  }
}

/** What a file holds that can be had anew; undefined, said in the log, if it is damaged. */
export async function readJson(path: string, log: Logger): Promise<unknown> {
  try {
    const text = await readIfThere(path);
    return text === undefined ? undefined : JSON.parse(text);
  } catch (error) {
    sayUnusable(log, path, messageOf(error));
    return undefined;
  }
}

/** Says that a file is damaged, and what comes of it. */
export function sayUnusable(log: Logger, path: string, why: string): void {
  const advice = 'the coordinator is asked instead, and the file is then written anew';
  log.warn({ file: path, reason: why, advice }, 'a file of the state directory cannot be used');
}

/** The refusal of a file that is not made anew. */
export function unreadable(path: string, why: string): DomainError {
  return new DomainError('precondition', `${path} cannot be read: ${why}`, {
    reason: 'STATE_FILE_UNREADABLE',
  });
}
