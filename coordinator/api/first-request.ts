import { onAbort } from '../../shared/abort.ts';
import type { Clock } from '../../shared/clock.ts';
import { silent } from './session.ts';

/**
 * The first message of a peer. Throws 'unavailable' if it says nothing for as long as its lease: a stream
 * that was opened and left costs memory for nothing.
 */
export async function firstRequest<Request>(
  requests: AsyncIterator<Request>,
  { clock, leaseMs }: { readonly clock: Clock; readonly leaseMs: number },
  signal: AbortSignal,
): Promise<Request | undefined> {
  const first = requests.next();
  return await new Promise<Request | undefined>((resolve, reject) => {
    const timer = clock.after(leaseMs, () => {
      reject(silent(leaseMs));
    });
    const subscription = onAbort(signal, () => {
      resolve(undefined);
    });
    // Heard too late, it is heard by nobody.
    first
      .then(({ done, value }) => {
        resolve(done === true ? undefined : value);
      }, reject)
      .finally(() => {
        timer[Symbol.dispose]();
        subscription[Symbol.dispose]();
      });
  });
}
