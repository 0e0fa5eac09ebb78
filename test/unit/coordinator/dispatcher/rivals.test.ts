import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  claimsOf,
  explainRivals,
  judge,
  rivalsOf,
  type AgentRun,
  type Claims,
} from '../../../../coordinator/dispatcher/rivals.ts';

const runOf = (host: string, bootId: string, address = '10.0.0.1'): AgentRun => ({
  bootId,
  hostname: host,
  address,
});

/** Dials one after the other, a second apart, while the session of the last that got it lives on. */
class Node {
  claims: Claims = claimsOf(null);
  nowMs = 0;
  #holder: string | undefined;

  dial(run: AgentRun, holderLives = this.#holder !== undefined): 'take' | 'refuse' {
    this.nowMs += 1_000;
    const { verdict, claims } = judge(this.claims, run, {
      nowMs: this.nowMs,
      holderHeardAtMs: this.nowMs - 500,
      holderLives,
    });
    this.claims = claims;
    if (verdict === 'take') this.#holder = run.bootId;
    return verdict;
  }

  get holder(): string | undefined {
    return this.#holder;
  }

  /** The boot ids of rivals, the holder having been heard just now or never since. */
  rivals(holderHeardAtMs = this.nowMs + 1): string[] {
    const options = { nowMs: this.nowMs + 1, holderHeardAtMs };
    return rivalsOf(this.claims, options).map(({ bootId }) => bootId);
  }
}

describe('one host', () => {
  test('takes over from itself however often its agent is restarted, killed and cut off', () => {
    const restarts = fc.array(fc.record({ again: fc.nat(3), lives: fc.boolean() }));
    fc.assert(
      fc.property(restarts, (runs) => {
        const node = new Node();
        runs.forEach(({ again, lives }, boot) => {
          for (let dial = 0; dial <= again; dial++) {
            // Its session before may seem alive: its end is not always heard of.
            const verdict = node.dial(runOf('a', `boot-${boot}`), lives);
            expect(verdict).toBe('take');
            expect(node.rivals()).toEqual([]);
          }
        });
      }),
    );
  });

  test('may come back with another name and address', () => {
    const node = new Node();
    node.dial(runOf('a', 'a1'));
    expect(node.dial(runOf('b', 'b1', '10.0.0.2'), false)).toBe('take');
    expect(node.rivals()).toEqual([]);
  });

  test('is known over a restart of the coordinator', () => {
    const node = new Node();
    node.claims = claimsOf({ hostname: 'a', address: '10.0.0.1' });
    expect(node.dial(runOf('copy', 'c1'), true)).toBe('refuse');
    expect(node.dial(runOf('a', 'a1'), true)).toBe('take');
    expect(node.rivals()).toEqual(['c1']);
  });
});

describe('another host with the same identity', () => {
  test('is refused while the first lives, and is a rival once that was heard again', () => {
    const node = new Node();
    node.dial(runOf('a', 'a1'));
    expect(node.dial(runOf('a', 'b1', '10.0.0.2'))).toBe('refuse');
    expect(node.rivals(node.nowMs - 1)).toEqual([]);
    expect(node.rivals()).toEqual(['b1']);
  });

  test('is no rival any more half a minute after it was seen last', () => {
    const node = new Node();
    node.dial(runOf('a', 'a1'));
    node.dial(runOf('b', 'b1'));
    node.nowMs += 29_000;
    expect(node.rivals()).toEqual(['b1']);
    node.nowMs += 2_000;
    expect(node.rivals()).toEqual([]);
  });

  test('gets the session once the first is gone; then that one is the rival', () => {
    const node = new Node();
    node.dial(runOf('a', 'a1'));
    node.dial(runOf('b', 'b1'));
    expect(node.dial(runOf('b', 'b1'), false)).toBe('take');
    expect(node.rivals()).toEqual([]);
    expect(node.dial(runOf('a', 'a1'))).toBe('refuse');
    expect(node.rivals()).toEqual(['a1']);
  });
});

describe('two agents that look the same', () => {
  test('are told apart when the first comes back, which keeps the session from then on', () => {
    const node = new Node();
    const verdicts = ['1', '2', '1', '2', '1', '2'].map((boot) => node.dial(runOf('a', boot)));
    expect(verdicts).toEqual(['take', 'take', 'take', 'refuse', 'take', 'refuse']);
    expect(node.rivals()).toEqual(['2']);
  });

  test('never take turns for ever: a session changes hands at most once per process', () => {
    const dials = fc.array(fc.tuple(fc.constantFrom('a', 'b'), fc.nat(5)), { maxLength: 60 });
    fc.assert(
      fc.property(dials, (list) => {
        const node = new Node();
        let changes = 0;
        for (const [host, boot] of list) {
          const before = node.holder;
          node.dial(runOf(host, `${host}${boot}`));
          if (before !== undefined && node.holder !== before) changes++;
        }
        // Of the six that can be started on a host, each takes over when it is new and when it is elder.
        expect(changes).toBeLessThanOrEqual(2 * 6);
      }),
    );
  });
});

test('a node says who has its identity, and what to do', () => {
  const holder = runOf('host-1', 'x');
  expect(explainRivals(holder, [runOf('host-1', 'y', '10.0.0.2')])).toBe(
    "two hosts speak with this node's identity: host-1 (10.0.0.1), which is served, and host-1 (10.0.0.2), which is refused; if a disk was cloned, stop the agent on the copy, move its state directory away and let it join anew",
  );
  expect(explainRivals(holder, [runOf('host-1', 'y')])).toMatch(
    /^two agents on host-1 \(10.0.0.1\)/,
  );
});
