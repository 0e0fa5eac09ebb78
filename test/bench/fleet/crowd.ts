/** Simulated agents in a process of their own, each with an identity and a connection. Driven over IPC. */
import { setMaxListeners } from 'node:events';
import { systemClock } from '../../../shared/clock.ts';
import { messageOf } from '../../../shared/errors.ts';
import { SimulatedNode, type NodeIdentity } from '../support/simulated-node.ts';
import type { CrowdAnswer, CrowdOrder } from './messages.ts';

const joinsAtOnce = 16;
/** An address where nothing listens: no proxy looks. */
function memberOf(index: number) {
  return { name: `simulated-${index}`, tags: ['simulated'], address: '127.0.0.1', port: 9 };
}

class Crowd {
  #identities: NodeIdentity[] = [];
  readonly #members: SimulatedNode[] = [];
  readonly #stop = new AbortController();
  #welcomes = 0;
  #changes = 0;
  #onWelcome: () => void = () => undefined;

  constructor() {
    // One for each member.
    setMaxListeners(0, this.#stop.signal);
  }

  async carryOut(order: CrowdOrder): Promise<void> {
    switch (order.kind) {
      case 'take':
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
      case 'count':
        return;
      case 'close':
        await Promise.all(this.#members.splice(0).map((member) => member[Symbol.asyncDispose]()));
        return;
    }
  }

  get changes(): number {
    return this.#changes;
  }

  async #join({ coordinator, token, count }: Extract<CrowdOrder, { kind: 'join' }>) {
    const known = this.#identities.length;
    await inTurns(count, joinsAtOnce, async (turn) => {
      const index = known + turn;
      const options = { coordinator, joinToken: token, ...memberOf(index) };
      this.#identities[index] = await SimulatedNode.join(options, this.#stop.signal);
    });
  }

  async #open(order: Extract<CrowdOrder, { kind: 'open' }>): Promise<void> {
    const { coordinator, total, atOnce } = order;
    const known = this.#members.length;
    await inTurns(total - known, atOnce, async (turn) => {
      const index = known + turn;
      const identity = this.#identities[index]!;
      const options = { coordinator, ...memberOf(index) };
      await new Promise<void>((resolve) => {
        const listener = {
          onWelcome: () => {
            resolve();
            this.#welcomes++;
            this.#onWelcome();
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

  async #awaitReturn(): Promise<void> {
    this.#welcomes = 0;
    this.#changes = 0;
    await new Promise<void>((resolve) => {
      this.#onWelcome = () => {
        if (this.#welcomes >= this.#members.length) resolve();
      };
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
  const startedAt = systemClock.monotonic();
  let failure = '';
  try {
    await crowd.carryOut(order);
  } catch (error) {
    failure = messageOf(error) || 'it failed without a word';
  }
  return { ms: systemClock.monotonic() - startedAt, changes: crowd.changes, failure };
}

process.on('message', (order: CrowdOrder) => {
  void answer(order).then((result) => process.send?.(result));
});
process.on('disconnect', () => process.exit());
