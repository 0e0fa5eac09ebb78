import { closeSync, openSync } from 'node:fs';
import SqliteDatabase from 'better-sqlite3';
import { DomainError, messageOf } from '../../shared/errors.ts';
import { migrations } from './migrations/index.ts';

export type Database = SqliteDatabase.Database;

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

function migrate(database: Database, steps: readonly string[], path: string): void {
  const version = database.pragma('user_version', { simple: true }) as number;
  if (version > steps.length) {
    throw new DomainError(
      'precondition',
      `${path} was written by a newer version of Fairlead (schema ${version}, this one knows ${steps.length}); run that version or a later one`,
      { reason: 'STORE_TOO_NEW' },
    );
  }
  for (const [index, sql] of steps.entries()) {
    if (index < version) continue;
    database.transaction(() => {
      database.exec(sql);
      database.pragma(`user_version = ${index + 1}`);
    })();
  }
}

/** What SQLite says, as a failure that names the file and what to do. */
export function toStoreError(error: unknown, path: string): Error {
  if (error instanceof DomainError) return error;
  const code = error instanceof SqliteDatabase.SqliteError ? error.code : '';
  if (code.startsWith('SQLITE_BUSY') || code.startsWith('SQLITE_LOCKED')) {
    return new DomainError(
      'precondition',
      `${path} is in use by another process; only one coordinator may run on a state directory`,
      { reason: 'STORE_IN_USE', cause: error },
    );
  }
  if (code.startsWith('SQLITE_FULL') || code.startsWith('SQLITE_IOERR')) {
    return new DomainError(
      'unavailable',
      `the change was not stored: ${messageOf(error)}; free space on the disk of ${path} and try again`,
      { reason: 'STORE_FULL', cause: error },
    );
  }
  if (code.startsWith('SQLITE_CORRUPT') || code.startsWith('SQLITE_NOTADB')) {
    return new DomainError(
      'precondition',
      `${path} is damaged (${messageOf(error)}); restore a backup of the state directory`,
      { reason: 'STORE_DAMAGED', cause: error },
    );
  }
  return error instanceof Error ? error : new Error(messageOf(error));
}
