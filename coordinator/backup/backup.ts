import { createConnection, type Socket } from 'node:net';
import { open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { onAbort } from '../../shared/abort.ts';
import { syncDirectory } from '../../shared/durable-file.ts';
import { DomainError, messageOf } from '../../shared/errors.ts';
import { readArchive, type Manifest } from './archive.ts';
import { backupSocket } from './state-files.ts';

/** A coordinator that says nothing for so long is stuck. */
const silenceMs = 60_000;

/**
 * Has the coordinator that runs on a state directory write a backup to a file, mode 0600: all of it, checked
 * and on disk, or nothing.
 */
export async function takeBackup(
  { stateDir, file }: { readonly stateDir: string; readonly file: string },
  signal: AbortSignal,
): Promise<Manifest> {
  const temporary = `${file}.new`;
  try {
    await receive(stateDir, temporary, signal);
    const manifest = await readArchive(temporary);
    await rename(temporary, file);
    await syncDirectory(dirname(file));
    return manifest;
  } catch (error) {
    await rm(temporary, { force: true });
    signal.throwIfAborted();
    throw error;
  }
}

async function receive(stateDir: string, path: string, signal: AbortSignal): Promise<void> {
  const socket = await dial(stateDir);
  using _abort = onAbort(signal, () => socket.destroy());
  socket.setTimeout(silenceMs, () => socket.destroy(new Error('the coordinator is silent')));
  await rm(path, { force: true });
  const failed = (error: unknown): never => {
    throw notWritten(path, error);
  };
  const target = await open(path, 'wx', 0o600).catch((error: unknown) => {
    socket.destroy();
    return failed(error);
  });
  try {
    for await (const chunk of socket) await target.appendFile(chunk as Buffer).catch(failed);
    await target.sync().catch(failed);
  } finally {
    socket.destroy();
    await target.close();
  }
}

function notWritten(path: string, error: unknown): DomainError {
  return new DomainError(
    'unavailable',
    `the backup could not be written to ${path}: ${messageOf(error)}; free space on its disk, or name another place`,
    { reason: 'BACKUP_FAILED', cause: error },
  );
}

async function dial(stateDir: string): Promise<Socket> {
  const socket = createConnection({ path: backupSocket(stateDir) });
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve).once('error', reject);
    });
    return socket;
  } catch (error) {
    throw new DomainError(
      'unavailable',
      `no coordinator that runs on ${stateDir} can be asked for a backup (${messageOf(error)}); name its --state-dir, and be its user`,
      { reason: 'COORDINATOR_UNREACHABLE', cause: error },
    );
  }
}
