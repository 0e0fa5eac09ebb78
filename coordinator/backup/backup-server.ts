import { chmodSync, readdirSync, rmSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { onAbort } from '../../shared/abort.ts';
import type { Clock } from '../../shared/clock.ts';
import { messageOf } from '../../shared/errors.ts';
import type { Logger } from '../../shared/logger.ts';
import type { Store } from '../store/store.ts';
import { version } from '../version.ts';
import { archiveOf, failureLine, type Source } from './archive.ts';
import { backupSocket, databaseName, isKept } from './state-files.ts';

/** Beginning of the names of directories that copies of the database are made in. */
const temporary = 'copy-';

export interface BackupServerDeps {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * Sends a backup to whoever connects to the socket in the state directory, which only those can who may read
 * that directory anyway: no key goes over a network, and no token gives it away. Resolves when the signal
 * has aborted and all is closed.
 */
export async function serveBackups(
  stateDir: string,
  deps: BackupServerDeps,
  signal: AbortSignal,
): Promise<void> {
  const { log } = deps;
  const path = backupSocket(stateDir);
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    // Whoever goes away while he is served must not take the coordinator with him.
    socket.on('error', (err) => {
      log.info({ reason: err.message }, 'backup not taken');
    });
    sendBackup(stateDir, deps, socket).then(
      () => {
        log.info({}, 'backup made');
      },
      (err: unknown) => {
        socket.destroySoon();
        if (!signal.aborted) log.warn({ err }, 'backup failed');
      },
    );
  });
  // Left by a coordinator that was killed; the lock of the database says that none is there.
  for (const name of readdirSync(stateDir)) {
    if (join(stateDir, name) === path || name.startsWith(temporary)) {
      rmSync(join(stateDir, name), { recursive: true });
    }
  }
  try {
    await listen(server, path);
  } catch (error) {
    log.warn({ reason: messageOf(error) }, 'backups cannot be made');
    return;
  }
  chmodSync(path, 0o600);
  server.removeAllListeners('error').on('error', (err) => {
    log.warn({ err }, 'backup connection refused');
  });
  await new Promise<void>((resolve) => {
    server.once('close', resolve);
    onAbort(signal, () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    });
  });
}

async function listen(server: Server, path: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, resolve);
  });
}

async function sendBackup(
  stateDir: string,
  { store, clock }: BackupServerDeps,
  socket: Socket,
): Promise<void> {
  const directory = await mkdtemp(join(stateDir, temporary));
  try {
    const database: Source = { name: databaseName, path: join(directory, databaseName) };
    await store.copyTo(database.path).catch((error: unknown) => {
      socket.write(failureLine(error));
      throw error;
    });
    const createdAt = new Date(clock.now()).toISOString();
    const archive = archiveOf([database, ...otherFiles(stateDir)], { createdAt, version });
    await pipeline(Readable.from(archive), socket);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** Everything in the state directory that the database does not hold: keys. */
function otherFiles(stateDir: string): Source[] {
  return readdirSync(stateDir, { withFileTypes: true })
    .filter((entry) => entry.isFile() && isKept(entry.name))
    .map(({ name }) => ({ name, path: join(stateDir, name) }));
}
