import { once } from 'node:events';
import { createServer } from 'node:net';
import { systemClock } from '../../../../shared/clock.ts';
import { systemRandom } from '../../../../shared/random.ts';

/**
 * Waits for a lock that one process of this machine holds at a time. It is a name in the abstract
 * namespace: the kernel frees it with its holder, however that one ends.
 */
export async function takeLock(name: string, signal: AbortSignal): Promise<AsyncDisposable> {
  for (;;) {
    signal.throwIfAborted();
    const server = createServer();
    server.listen(`\0${name}`);
    try {
      await once(server, 'listening');
      return {
        async [Symbol.asyncDispose]() {
          server.close();
          await once(server, 'close');
        },
      };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
    }
    await systemClock.sleep(20 + 30 * systemRandom.fraction(), signal);
  }
}
