import { existsSync } from 'node:fs';
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
