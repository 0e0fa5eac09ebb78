import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { CrowdAnswer, CrowdOrder } from './messages.ts';

const program = fileURLToPath(new URL('crowd.ts', import.meta.url));

/** The crowd of simulated agents, seen from the benchmark. One order at a time. */
export class CrowdProcess implements AsyncDisposable {
  readonly #child: ChildProcess = fork(program, { execArgv: ['--import', 'tsx'] });

  /** Has an order carried out; throws if it could not be. */
  async order(order: CrowdOrder, signal: AbortSignal): Promise<CrowdAnswer> {
    this.#child.send(order);
    const ended = once(this.#child, 'exit', { signal }).then(() => {
      throw new Error('the crowd ended');
    });
    const answered = once(this.#child, 'message', { signal });
    const [answer] = (await Promise.race([answered, ended])) as [CrowdAnswer];
    if (answer.failure !== '') throw new Error(`${order.kind}: ${answer.failure}`);
    return answer;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    this.#child.kill('SIGKILL');
    await once(this.#child, 'exit');
  }
}
