import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { setPriority } from 'node:os';
import { fileURLToPath } from 'node:url';
import { systemClock } from '../../../shared/clock.ts';
import type { NodeIdentity } from '../support/simulated-node.ts';
import type { CrowdAnswer, CrowdOrder } from './messages.ts';

const program = fileURLToPath(new URL('crowd.ts', import.meta.url));

/**
 * Agents that share a process. A host has one: it looks at its connection at once, and hangs up when a ping was not
 * answered for two seconds. A process that dials for thousands is busy with that for longer, and takes its own
 * delay for that of the server, so that its agents cut each other off for ever.
 */
const agentsInProcess = 200;
/** Agents run on other hosts: whatever the server wants to do goes before them. */
const niceness = 5;

/** The crowd of simulated agents, in processes of their own, seen from the benchmark. One order at a time. */
export class Crowd implements AsyncDisposable {
  readonly #parts: readonly CrowdProcess[];

  constructor(agents: number) {
    const processes = Math.ceil(agents / agentsInProcess);
    this.#parts = Array.from({ length: processes }, () => new CrowdProcess());
  }

  /** Members by certificates that somebody else made. */
  async take(identities: readonly NodeIdentity[], signal: AbortSignal): Promise<void> {
    await this.#all(identities.length, signal, ({ first, count }) => {
      return { kind: 'take', first, identities: identities.slice(first, first + count) };
    });
  }

  /** Has so many members join as any host does, so many at a time; resolves with how long that took. */
  async join(
    count: number,
    {
      atOnce,
      ...by
    }: { readonly coordinator: string; readonly token: string; readonly atOnce: number },
    signal: AbortSignal,
  ): Promise<number> {
    return await this.#all(count, signal, (part) => {
      return { kind: 'join', ...by, ...part, atOnce: Math.ceil(atOnce / part.parts) };
    });
  }

  /**
   * Has members open sessions, so many at a time, until `total` have; from then on they dial again whenever they
   * must. Resolves with how long it took until all of them were welcomed.
   */
  async open(
    total: number,
    { coordinator, atOnce }: { readonly coordinator: string; readonly atOnce: number },
    signal: AbortSignal,
  ): Promise<number> {
    return await this.#all(total, signal, ({ count, parts }) => {
      return { kind: 'open', coordinator, total: count, atOnce: Math.ceil(atOnce / parts) };
    });
  }

  /** From now on every member is to be welcomed once more; resolves with how long that took. */
  async awaitReturn(signal: AbortSignal): Promise<number> {
    const startedAt = systemClock.monotonic();
    await Promise.all(this.#parts.map((part) => part.order({ kind: 'await-return' }, signal)));
    return systemClock.monotonic() - startedAt;
  }

  /** Has every member hang up and dial again; resolves when all were welcomed. */
  async redial(signal: AbortSignal): Promise<void> {
    await Promise.all(this.#parts.map((part) => part.order({ kind: 'redial' }, signal)));
  }

  /** Containers that were started or stopped since the return was awaited last. */
  async countChanges(signal: AbortSignal): Promise<number> {
    const answers = await Promise.all(
      this.#parts.map((part) => part.order({ kind: 'count' }, signal)),
    );
    return answers.reduce((sum, { changes }) => sum + changes, 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#parts.map((part) => part[Symbol.asyncDispose]()));
  }

  /** Orders something for so many agents, each process its own; resolves with how long it took. */
  async #all(
    agents: number,
    signal: AbortSignal,
    orderFor: (part: { first: number; count: number; parts: number }) => CrowdOrder,
  ): Promise<number> {
    const parts = Math.ceil(agents / agentsInProcess);
    const startedAt = systemClock.monotonic();
    await Promise.all(
      this.#parts.slice(0, parts).map((part, index) => {
        const first = index * agentsInProcess;
        const count = Math.min(agents - first, agentsInProcess);
        return part.order(orderFor({ first, count, parts }), signal);
      }),
    );
    return systemClock.monotonic() - startedAt;
  }
}

/** One process of the crowd. */
class CrowdProcess implements AsyncDisposable {
  readonly #child: ChildProcess = fork(program, { execArgv: ['--import', 'tsx'] });
  readonly #ended: Promise<unknown>;

  constructor() {
    this.#ended = once(this.#child, 'exit');
    if (this.#child.pid !== undefined) setPriority(this.#child.pid, niceness);
  }

  /** Has an order carried out; throws if it could not be. */
  async order(order: CrowdOrder, signal: AbortSignal): Promise<CrowdAnswer> {
    this.#child.send(order);
    const ended = this.#ended.then(() => {
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
    await this.#ended;
  }
}
