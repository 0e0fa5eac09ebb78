import { closeSync, existsSync, openSync } from 'node:fs';
import SqliteDatabase from 'better-sqlite3';
import { DomainError, messageOf } from '../../shared/errors.ts';
import { migrations } from './migrations/index.ts';

export type Database = SqliteDatabase.Database;

/** Pages that SQLite keeps. All records are in memory anyway: the default of 16 MiB would hold them twice. */
const cacheKib = 1_024;

/**
 * Opens a database file and brings it to the newest schema.
 *
 * One process at a time: the file is locked for as long as it is open. `path` may be ':memory:'.
 */
export function openDatabase(path: string, steps: readonly string[] = migrations): Database {
  const database = openFile(path);
  try {
    database.pragma('locking_mode = EXCLUSIVE');
    database.pragma('journal_mode = WAL');
    database.pragma('synchronous = FULL');
    database.pragma('foreign_keys = ON');
    database.pragma(`cache_size = -${cacheKib}`);
    migrate(database, steps, path);
    return database;
  } catch (error) {
    database.close();
    throw toStoreError(error, path);
  }
}

function openFile(path: string): Database {
  try {
    // SQLite gives the files beside it the same mode.
    if (path !== ':memory:') closeSync(openSync(path, 'a', 0o600));
    return new SqliteDatabase(path, { timeout: 0 });
  } catch (error) {
    throw toStoreError(error, path);
  }
}

/** The version of the schema; throws 'precondition' if it is newer than this program. */
function refuseNewer(database: Database, steps: readonly string[], path: string): number {
  const version = database.pragma('user_version', { simple: true }) as number;
  if (version <= steps.length) return version;
  throw new DomainError(
    'precondition',
    `${path} was written by a newer version of Fairlead (schema ${version}, this one knows ${steps.length}); run that version or a later one`,
    { reason: 'STORE_TOO_NEW' },
  );
}

function migrate(database: Database, steps: readonly string[], path: string): void {
  const version = refuseNewer(database, steps, path);
  for (const [index, sql] of steps.entries()) {
    if (index < version) continue;
    database.transaction(() => {
      database.exec(sql);
      database.pragma(`user_version = ${index + 1}`);
    })();
  }
}

/** Throws 'precondition' if a process has the database open; a file that is not there is in nobody's use. */
export function refuseIfInUse(path: string): void {
  if (!existsSync(path)) return;
  let database: Database | undefined;
  try {
    database = new SqliteDatabase(path, { timeout: 0 });
    database.pragma('locking_mode = EXCLUSIVE');
    database.exec('BEGIN EXCLUSIVE; ROLLBACK');
  } catch (error) {
    // One that is damaged is being replaced for that very reason.
    if (reasonOf(error) === 'STORE_IN_USE') throw toStoreError(error, path);
  } finally {
    database?.close();
  }
}

/** Throws 'precondition' unless the file is a whole database that this version can open. */
export function checkDatabase(path: string): void {
  let found: string[];
  try {
    const database = new SqliteDatabase(path, { timeout: 0 });
    try {
      found = database.pragma('integrity_check') as string[];
      refuseNewer(database, migrations, path);
    } finally {
      database.close();
    }
  } catch (error) {
    throw toStoreError(error, path);
  }
  const [first] = found as unknown as readonly { readonly integrity_check: string }[];
  if (first?.integrity_check === 'ok') return;
  const error = Object.assign(new Error(first?.integrity_check), { code: 'SQLITE_CORRUPT' });
  throw toStoreError(error, path);
}

/** A row is not what was written. */
export class DamagedRecordError extends Error {
  override readonly name = 'DamagedRecordError';

  constructor(table: string, cause: unknown) {
    super(`a record of the table ${table} cannot be read`, { cause });
  }
}

/** What SQLite says, as a failure that names the file and what to do. */
export function toStoreError(error: unknown, path: string): Error {
  if (error instanceof DomainError) return error;
  const why = messageOf(error);
  switch (reasonOf(error)) {
    case 'STORE_IN_USE':
      return new DomainError(
        'precondition',
        `${path} is in use by another process; only one coordinator may run on a state directory`,
        { reason: 'STORE_IN_USE', cause: error },
      );
    case 'STORE_FULL':
      return new DomainError(
        'unavailable',
        `the change was not stored: ${why}; free space on the disk of ${path} and try again`,
        { reason: 'STORE_FULL', cause: error },
      );
    case 'STORE_DAMAGED':
      return new DomainError(
        'precondition',
        `${path} is damaged (${why}); restore a backup of the state directory`,
        { reason: 'STORE_DAMAGED', cause: error },
      );
    case 'STORE_UNUSABLE':
      return new DomainError(
        'precondition',
        `${path} cannot be opened: ${why}; see that its directory is there and may be written to`,
        { reason: 'STORE_UNUSABLE', cause: error },
      );
    case null:
      return error instanceof Error ? error : new Error(why);
  }
}

type StoreFailure = 'STORE_IN_USE' | 'STORE_FULL' | 'STORE_DAMAGED' | 'STORE_UNUSABLE';

/** Beginnings of SQLite's result codes, and the system's codes for a file that cannot be opened. */
const failures: readonly (readonly [StoreFailure, readonly string[]])[] = [
  ['STORE_IN_USE', ['SQLITE_BUSY', 'SQLITE_LOCKED']],
  ['STORE_FULL', ['SQLITE_FULL', 'SQLITE_IOERR']],
  ['STORE_DAMAGED', ['SQLITE_CORRUPT', 'SQLITE_NOTADB']],
  ['STORE_UNUSABLE', ['SQLITE_CANTOPEN', 'SQLITE_READONLY']],
  ['STORE_UNUSABLE', ['ENOENT', 'ENOTDIR', 'EISDIR', 'EACCES', 'EPERM', 'EROFS']],
];

function reasonOf(error: unknown): StoreFailure | null {
  if (error instanceof DamagedRecordError) return 'STORE_DAMAGED';
  const code = (error as NodeJS.ErrnoException | null)?.code ?? '';
  const found = failures.find(([, codes]) => codes.some((each) => code.startsWith(each)));
  return found?.[0] ?? null;
}
