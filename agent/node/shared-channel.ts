import { connectivityState } from '@grpc/grpc-js';
import type { Channel } from 'nice-grpc';
import type { Clock } from '../../shared/clock.ts';
import { openChannel } from '../../shared/rpc/client.ts';
import type { Identity, IdentityKeeper } from '../../shared/rpc/identity-keeper.ts';

export interface SharedChannelDeps {
  readonly clock: Clock;
  readonly keeper: Pick<IdentityKeeper, 'current'>;
}

interface Shared {
  readonly identity: Identity;
  readonly opening: Promise<Channel>;
  channel: Channel | undefined;
  users: number;
}

const dialTimeoutMs = 5_000;

/**
 * One connection to the coordinator for all streams that are open at a time, apart from that of the session:
 * a log of any size never stands before a report. There is none while nobody uses it.
 */
export class SharedChannel {
  readonly #deps: SharedChannelDeps;
  readonly #coordinator: string;
  #current: Shared | undefined;

  constructor(deps: SharedChannelDeps, { coordinator }: { readonly coordinator: string }) {
    this.#deps = deps;
    this.#coordinator = coordinator;
  }

  /** Runs `use` with a channel that works; it is closed when its last user is done. */
  async with(use: (channel: Channel) => Promise<void>, signal: AbortSignal): Promise<void> {
    const shared = this.#fresh(signal);
    shared.users++;
    try {
      shared.channel = await shared.opening;
      await use(shared.channel);
    } finally {
      shared.users--;
      if (shared.users === 0) {
        if (this.#current === shared) this.#current = undefined;
        shared.channel?.close();
      }
    }
  }

  /** The one that is there, unless it broke or the node has another certificate by now. */
  #fresh(signal: AbortSignal): Shared {
    const { clock, keeper } = this.#deps;
    const identity = keeper.current;
    const { channel, identity: before } = this.#current ?? {};
    const isBroken =
      channel !== undefined && channel.getConnectivityState(false) !== connectivityState.READY;
    if (this.#current !== undefined && before === identity && !isBroken) return this.#current;
    const trust = { kind: 'bundle', pem: identity.trustPem } as const;
    const target = { address: this.#coordinator, trust, certificate: identity };
    const opening = openChannel(target, { clock, timeoutMs: dialTimeoutMs }, signal);
    this.#current = { identity, opening, channel: undefined, users: 0 };
    return this.#current;
  }
}
