import { chown, mkdir, readdir, rename, rm, rmdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../../shared/clock.ts';
import { syncDirectory } from '../../shared/durable-file.ts';
import { DomainError, messageOf } from '../../shared/errors.ts';
import { prepareStateDirectory } from '../identity/key-files.ts';
import { checkDatabase, refuseIfInUse } from '../store/database.ts';
import { readArchive, type Manifest } from './archive.ts';
import { backupSocket, databaseName, restoringDirectory } from './state-files.ts';

export interface RestoreOptions {
  readonly stateDir: string;
  readonly file: string;
  /** Whether what is in the state directory may be put aside. */
  readonly force: boolean;
}

export interface Restored {
  readonly manifest: Manifest;
  /** Where what was there before is now; null if nothing was. */
  readonly aside: string | null;
}

/**
 * Puts a backup into a state directory: checks all of it first, puts aside what is there, and moves the new
 * files to their place. No coordinator starts on a directory where this did not come to its end.
 */
export async function restoreBackup(
  { stateDir, file, force }: RestoreOptions,
  { clock }: { readonly clock: Clock },
): Promise<Restored> {
  await readArchive(file);
  prepareStateDirectory(stateDir);
  if ((await contentOf(stateDir)).length > 0 && !force) throw notEmpty(stateDir);
  const restoring = restoringDirectory(stateDir);
  const aside = join(stateDir, `before-restore-${new Date(clock.now()).toISOString()}`);
  const again = await exists(restoring);
  await rm(restoring, { recursive: true, force: true });
  await mkdir(restoring, { mode: 0o700 });
  let manifest: Manifest;
  try {
    // Looked at when no coordinator can start any more.
    refuseIfInUse(join(stateDir, databaseName));
    manifest = await readArchive(file, restoring);
    checkDatabase(join(restoring, databaseName));
  } catch (error) {
    // What was there before is as it was, unless an earlier restore had begun to change it.
    if (!again) await rm(restoring, { recursive: true });
    throw error instanceof DomainError ? error : notRestored(stateDir, error);
  }
  // From here on to the last line a coordinator refuses to start.
  await rm(backupSocket(stateDir), { force: true });
  const before = await contentOf(stateDir);
  if (before.length > 0) await mkdir(aside, { mode: 0o700 });
  for (const name of before) await rename(join(stateDir, name), join(aside, name));
  await giveToOwner(stateDir, [restoring, aside]);
  for (const { name } of manifest.files) {
    await giveToOwner(stateDir, [join(restoring, name)]);
    await rename(join(restoring, name), join(stateDir, name));
  }
  await syncDirectory(stateDir);
  await rmdir(restoring);
  await syncDirectory(stateDir);
  return { manifest, aside: before.length > 0 ? aside : null };
}

/** What a restore would replace: files; not what earlier ones put aside. */
async function contentOf(stateDir: string): Promise<string[]> {
  const entries = await readdir(stateDir, { withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map(({ name }) => name);
}

/** An administrator who restores as root leaves files that the coordinator's own user can read. */
async function giveToOwner(stateDir: string, paths: readonly string[]): Promise<void> {
  const { uid, gid } = await stat(stateDir);
  for (const path of paths) if (await exists(path)) await chown(path, uid, gid);
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch {
    return false;
  }
}

function notRestored(stateDir: string, error: unknown): DomainError {
  return new DomainError(
    'unavailable',
    `the backup could not be put into ${stateDir}: ${messageOf(error)}; free space on its disk and try again. What was there is as it was`,
    { reason: 'RESTORE_FAILED', cause: error },
  );
}

function notEmpty(stateDir: string): DomainError {
  return new DomainError(
    'precondition',
    `${stateDir} holds the state of a coordinator already; with --force it is put aside, in a directory beside the new one`,
    { reason: 'STATE_EXISTS' },
  );
}
