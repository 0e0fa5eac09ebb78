/** Simulated agents that share a process, each with an identity and a connection. Driven over IPC. */
import { setMaxListeners } from 'node:events';
import { messageOf } from '../../../shared/errors.ts';
import { SimulatedNode, type NodeIdentity } from '../support/simulated-node.ts';
import type { CrowdAnswer, CrowdOrder } from './messages.ts';

/** An address where nothing listens: no proxy looks. */
function memberOf(index: number) {
  return { name: `simulated-${index}`, tags: ['simulated'], address: '127.0.0.1', port: 9 };
}

class Crowd {
  #identities: NodeIdentity[] = [];
  #first = 0;
  readonly #members: SimulatedNode[] = [];
  readonly #stop = new AbortController();
  /** Who is to be welcomed once more. */
  readonly #awaited = new Set<number>();
  #onReturned: () => void = () => undefined;
  #changes = 0;

  constructor() {
    // One for each member.
    setMaxListeners(0, this.#stop.signal);
  }

  async carryOut(order: CrowdOrder): Promise<void> {
    switch (order.kind) {
      case 'take':
        this.#first = order.first;
        this.#identities = [...order.identities];
        return;
      case 'join':
        await this.#join(order);
        return;
      case 'open':
        await this.#open(order);
        return;
      case 'await-return':
        await this.#awaitReturn();
        return;
      case 'redial':
        await this.#redial();
        return;
      case 'count':
        return;
    }
  }

  get changes(): number {
    return this.#changes;
  }

  async #join({ coordinator, token, first, count, atOnce }: Extract<CrowdOrder, { kind: 'join' }>) {
    this.#first = first;
    await inTurns(count, atOnce, async (index) => {
      const options = { coordinator, joinToken: token, ...memberOf(first + index) };
      this.#identities[index] = await SimulatedNode.join(options, this.#stop.signal);
    });
  }

  async #open(order: Extract<CrowdOrder, { kind: 'open' }>): Promise<void> {
    const { coordinator, total, atOnce } = order;
    const known = this.#members.length;
    await inTurns(total - known, atOnce, async (turn) => {
      const index = known + turn;
      const identity = this.#identities[index]!;
      const options = { coordinator, ...memberOf(this.#first + index) };
      await new Promise<void>((resolve) => {
        const listener = {
          onWelcome: () => {
            resolve();
            if (this.#awaited.delete(index) && this.#awaited.size === 0) this.#onReturned();
          },
          onChange: () => {
            this.#changes++;
          },
        };
        const member = SimulatedNode.open(options, identity, listener, this.#stop.signal);
        this.#members.push(member);
      });
    });
  }

  async #redial(): Promise<void> {
    const returned = this.#awaitReturn();
    for (const member of this.#members) member.redial();
    await returned;
  }

  async #awaitReturn(): Promise<void> {
    this.#changes = 0;
    for (const index of this.#members.keys()) this.#awaited.add(index);
    if (this.#awaited.size === 0) return;
    await new Promise<void>((resolve) => {
      this.#onReturned = resolve;
    });
  }
}

/** Does something `count` times, so many at a time. */
async function inTurns(
  count: number,
  atOnce: number,
  work: (index: number) => Promise<void>,
): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
}

const crowd = new Crowd();

async function answer(order: CrowdOrder): Promise<CrowdAnswer> {
  let failure = '';
  try {
    await crowd.carryOut(order);
  } catch (error) {
    failure = messageOf(error) || 'it failed without a word';
  }
  return { changes: crowd.changes, failure };
}

process.on('message', (order: CrowdOrder) => {
  void answer(order).then((result) => process.send?.(result));
});
process.on('disconnect', () => process.exit());
