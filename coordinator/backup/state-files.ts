import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { DomainError } from '../../shared/errors.ts';

/** The database's name in a state directory and in a backup. */
export const databaseName = 'fairlead.db';

/** Where a coordinator that runs gives backups. */
export function backupSocket(stateDir: string): string {
  return join(stateDir, 'backup.sock');
}

/** Where a restore puts things together, until all is in its place. */
export function restoringDirectory(stateDir: string): string {
  return join(stateDir, 'restoring');
}

/** Files that hang on the database: a first start makes it before them. */
const keyFiles = ['authority.json', 'token.key', 'certificates.key'];

/** Whether a file of a state directory belongs into a backup as it is: no database, nothing half written. */
export function isKept(name: string): boolean {
  return !name.startsWith(databaseName) && !name.endsWith('.new') && !name.endsWith('.probe');
}

/** Throws 'precondition' if a restore into the directory has not come to its end. */
export function refuseHalfRestored(stateDir: string): void {
  if (!existsSync(restoringDirectory(stateDir))) return;
  throw new DomainError(
    'precondition',
    `a restore into ${stateDir} was interrupted; run it again with --force: "fairlead coordinator restore FILE --force"`,
    { reason: 'RESTORE_INTERRUPTED' },
  );
}

/**
 * Throws 'precondition' if the database of a coordinator that ran before is not there: with an empty one it would
 * know none of its nodes, services and tokens.
 */
export function refuseLostDatabase(stateDir: string): void {
  const path = join(stateDir, databaseName);
  const bytes = statSync(path, { throwIfNoEntry: false })?.size;
  if (bytes !== undefined && bytes > 0) return;
  const key = keyFiles.map((name) => join(stateDir, name)).find(isFile);
  if (key === undefined) return;
  throw new DomainError(
    'precondition',
    `${path} is ${bytes === undefined ? 'missing' : 'empty'} beside ${key}: put it back, or restore a backup ("fairlead coordinator restore FILE --force"). To begin anew, with no node, service or token of before, move the files in ${stateDir} away`,
    { reason: 'STORE_MISSING' },
  );
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() === true;
}
