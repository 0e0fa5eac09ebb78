import { EventEmitter } from 'node:events';
import { describe, expect, test } from 'vitest';
import { Handshakes } from '../../../../coordinator/api/handshakes.ts';
import { FakeClock } from '../../../support/fake-clock.ts';

const atOnce = 16;

class Connection extends EventEmitter {
  destroyed = false;

  hangUp(): void {
    this.destroyed = true;
    this.emit('close');
  }
}

/** Clients that dial, each with a number from 0 on. */
function setUp() {
  const clock = new FakeClock();
  const handshakes = new Handshakes({ clock });
  const begun: number[] = [];
  const connections: Connection[] = [];
  const dial = () => {
    const client = connections.length;
    const connection = new Connection();
    connections.push(connection);
    handshakes.begin(connection, () => void begun.push(client));
  };
  const dialAll = (count: number) => {
    for (let client = 0; client < count; client++) dial();
  };
  return { clock, handshakes, begun, connections, dialAll };
}

const upTo = (count: number) => Array.from({ length: count }, (_, client) => client);

describe('handshakes', () => {
  test('of a few begin at once', () => {
    const { begun, dialAll } = setUp();
    dialAll(atOnce);
    expect(begun).toEqual(upTo(atOnce));
  });

  test('of a crowd begin one by one as others are done, in their order', () => {
    const { begun, connections, dialAll } = setUp();
    dialAll(200);
    for (let done = 0; done < 200; done++) {
      expect(begun).toEqual(upTo(Math.min(done + atOnce, 200)));
      connections[done]?.emit('secure');
    }
    // None of their places was lost or doubled.
    dialAll(2 * atOnce);
    expect(begun).toEqual(upTo(200 + atOnce));
  });

  test('that end otherwise leave their place to others, once', () => {
    const { begun, connections, dialAll } = setUp();
    dialAll(atOnce + 3);
    connections[0]?.hangUp();
    connections[1]?.emit('secure');
    connections[1]?.hangUp();
    expect(begun).toEqual(upTo(atOnce + 2));
  });

  test('of those who hung up while they waited are not begun, and hold up nobody', () => {
    const { begun, connections, dialAll } = setUp();
    dialAll(200);
    for (const connection of connections.slice(atOnce, 190)) connection.hangUp();
    connections[0]?.emit('secure');
    expect(begun.slice(atOnce)).toEqual([190]);
    for (const connection of connections.slice(1, atOnce)) connection.emit('secure');
    expect(begun.slice(atOnce)).toEqual([190, 191, 192, 193, 194, 195, 196, 197, 198, 199]);
  });

  test('are a crowd from when one has to wait until all are over', () => {
    const { handshakes, connections, dialAll } = setUp();
    let goings = 0;
    handshakes.subscribe(() => {
      expect(handshakes.isThere).toBe(false);
      goings++;
    });
    dialAll(atOnce);
    expect(handshakes.isThere).toBe(false);
    dialAll(1);
    for (const connection of connections.slice(0, atOnce)) {
      connection.emit('secure');
      expect(handshakes.isThere).toBe(true);
    }
    connections[atOnce]?.hangUp();
    expect(handshakes.isThere).toBe(false);
    dialAll(1);
    connections.at(-1)?.emit('secure');
    expect(goings).toBe(1);
  });

  test('that do not get on hold nobody up for long', async () => {
    const { clock, begun, dialAll } = setUp();
    dialAll(2 * atOnce + 1);
    await clock.advance(99);
    expect(begun).toHaveLength(atOnce);
    await clock.advance(1);
    expect(begun).toEqual(upTo(2 * atOnce));
    await clock.advance(100);
    expect(begun).toEqual(upTo(2 * atOnce + 1));
  });
});
