import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { Socket } from 'node:net';
import { onAbort } from '../../shared/abort.ts';

/** Node tells here of every connection that any server of the process accepts. */
const accepted = 'net.server.socket';

/** The connections of a server, by the address of the peer: a call does not tell of its own. */
export class Connections {
  readonly #sockets = new Map<string, Socket>();

  /** Follows those to a local port until the signal aborts. To be called before the first is accepted. */
  follow(port: number, signal: AbortSignal): void {
    const onAccepted = (message: unknown) => {
      const { socket } = message as { readonly socket: Socket };
      if (socket.localPort === port) this.#add(socket);
    };
    subscribe(accepted, onAccepted);
    onAbort(signal, () => {
      unsubscribe(accepted, onAccepted);
    });
  }

  /** The open connection of a peer, `HOST:PORT`. */
  of(peer: string): Pick<Socket, 'bytesRead'> | undefined {
    return this.#sockets.get(peer);
  }

  /** Cuts all of them. */
  cut(): void {
    for (const socket of this.#sockets.values()) socket.destroy();
  }

  #add(socket: Socket): void {
    const peer = `${socket.remoteAddress}:${socket.remotePort}`;
    this.#sockets.set(peer, socket);
    socket.once('close', () => {
      if (this.#sockets.get(peer) === socket) this.#sockets.delete(peer);
    });
  }
}
