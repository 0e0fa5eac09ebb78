import { onAbort } from '../../shared/abort.ts';

/** Waits for work that cannot be told to stop: rejects with the signal's reason if that is first. */
export async function abortable<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  let abort!: () => void;
  const aborted = new Promise<never>((_resolve, reject) => {
    abort = () => {
      reject(signal.reason as Error);
    };
  });
  using _subscription = onAbort(signal, abort);
  return await Promise.race([work, aborted]);
}
