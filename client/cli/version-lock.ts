import { Status } from 'nice-grpc-common';
import { FairleadError } from '../fairlead-error.ts';
import type { MutationFlags } from './mutation-flags.ts';

const maxReads = 10;

/**
 * Runs a change that reads an object and writes it back with the version that it read, again while
 * somebody else writes in between. A version that the user named is not replaced by a newer one.
 */
export async function retryOnVersionMismatch<T>(
  { ifVersion }: MutationFlags,
  change: () => Promise<T>,
): Promise<T> {
  for (let reads = 1; ; reads++) {
    try {
      return await change();
    } catch (error) {
      const isMismatch =
        error instanceof FairleadError &&
        error.code === Status.ABORTED &&
        error.reason === 'VERSION_MISMATCH';
      if (!isMismatch || ifVersion !== undefined || reads === maxReads) throw error;
    }
  }
}
