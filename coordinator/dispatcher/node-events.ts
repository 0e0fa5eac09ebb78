import { messageOf } from '../../shared/errors.ts';
import type { NodeId } from '../../shared/ids.ts';
import type { Logger } from '../../shared/logger.ts';
import type { Node, NodeState } from '../model.ts';
import type { Store } from '../store/store.ts';

interface Told {
  readonly state: NodeState;
  /** What is odd about it, of that which makes an event. */
  readonly rivalry: string;
  readonly clockIsWrong: boolean;
}

interface News {
  readonly node: Node;
  readonly now: Told;
  /** What is said of its state. */
  readonly message: string;
  /** What is said of its clock. */
  readonly clock: string;
}

/** Puts on record when a node comes, goes, shares its identity or has a wrong clock: off the path of its messages. */
export class NodeEvents {
  readonly #store: Store;
  readonly #log: Logger;
  readonly #told = new Map<NodeId, Told>();
  #failing = false;

  constructor({ store, log }: { readonly store: Store; readonly log: Logger }) {
    this.#store = store;
    this.#log = log;
  }

  /** A node that joined just now: that is on record already. */
  joined(id: NodeId): void {
    this.#told.set(id, { state: 'joining', rivalry: '', clockIsWrong: false });
  }

  forget(id: NodeId): void {
    this.#told.delete(id);
  }

  /** Whether this was told of a node already, so that there is nothing to tell. */
  isTold(id: NodeId, { state, rivalry, clockIsWrong }: Told): boolean {
    const told = this.#told.get(id);
    if (told?.state !== state || told.rivalry !== rivalry) return false;
    return told.clockIsWrong === clockIsWrong;
  }

  /** Writes what is news of these nodes. What cannot be written is tried again with the next call. */
  tell(nodes: readonly News[]): void {
    const news = nodes.flatMap(({ node, now, ...words }) => {
      const before = this.#told.get(node.id);
      const events = eventsOf(before, now, words);
      // The state that a coordinator which restarted finds is no news if all is well.
      if (events.length === 0) this.#told.set(node.id, now);
      return events.length === 0 ? [] : [{ node, now, events }];
    });
    if (news.length === 0) return;
    try {
      this.#store.transact((tx) => {
        for (const { node, events } of news) {
          for (const { type, message } of events) {
            const object = { objectId: node.id, objectName: node.name };
            tx.event({ type, ...object, actionId: '', message });
          }
        }
      });
      for (const { node, now, events } of news) {
        this.#told.set(node.id, now);
        const clock = events.find(({ type }) => type === clockWrong);
        if (clock !== undefined) this.#log.warn({ node: node.name }, clock.message);
      }
      this.#failing = false;
    } catch (error) {
      const reason = messageOf(error);
      if (!this.#failing) this.#log.warn({ reason }, 'events of nodes are not recorded');
      this.#failing = true;
    }
  }
}

const clockWrong = 'node.clock-wrong';

function eventsOf(
  before: Told | undefined,
  now: Told,
  { message, clock }: { readonly message: string; readonly clock: string },
) {
  const type = eventOf(before?.state, now.state);
  const shared = now.rivalry !== '' && now.rivalry !== before?.rivalry;
  const wrong = now.clockIsWrong && before?.clockIsWrong !== true;
  return [
    ...(type === null ? [] : [{ type, message }]),
    ...(shared ? [{ type: 'node.identity-shared', message: now.rivalry }] : []),
    ...(wrong ? [{ type: clockWrong, message: clock }] : []),
  ];
}

function eventOf(before: NodeState | undefined, now: NodeState): string | null {
  if (before === now) return null;
  switch (now) {
    case 'unknown':
    case 'joining':
      return null;
    case 'ready':
      return before === undefined || before === 'unknown' ? null : 'node.ready';
    case 'engine-away':
    case 'unreachable':
    case 'down':
      return `node.${now}`;
  }
}
