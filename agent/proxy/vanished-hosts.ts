import { readFile } from 'node:fs/promises';
import type { Logger } from '../../shared/logger.ts';
import { socketAddress } from './addresses.ts';
import { pathOf } from './backend-list.ts';
import type { LiveHaproxy } from './live-haproxy.ts';
import type { ServerCounters } from './server-state.ts';
import { silentConnections } from './tcp-table.ts';

/** Of a network where answers take less than 200 ms, three seconds after it was sent first. */
const repeatsBeforeRetry = 4;
/** And that is thirteen: by then a kernel that was told to give up sooner has done so. */
const repeatsBeforeError = 6;

export interface VanishedHostsDeps {
  readonly log: Logger;
}

/**
 * Ends what was sent to a host that vanished before it could acknowledge that.
 *
 * What waits for an answer is ended by the kernel, which asks whether the peer is there (`srvtcpka`); but not while
 * there is something to acknowledge: that is sent again for a quarter of an hour, unless `tcp-ut` says otherwise, which
 * no HAProxy takes for servers that come at run time. So the agent looks at what the kernel tells of connections to
 * servers that HAProxy finds down, in the worker that serves and in those before it. That is soon, but for where a
 * kernel was told to give up sooner (`net.ipv4.tcp_retries2`) and HAProxy does not repeat a request whose stream was
 * ended, as 2.6 does: what the kernel ends is repeated by all of them, so it is left the time for it.
 *
 * `tcp-ut` would not do in the file either: the kernel also ends by it what a container that is well, but busy, takes
 * no more of for that long.
 */
export class VanishedHosts {
  readonly #deps: VanishedHostsDeps;

  constructor(deps: VanishedHostsDeps) {
    this.#deps = deps;
  }

  /** To be called again and again with servers that are down and may have something in flight. */
  async look(
    live: Pick<LiveHaproxy, 'servers' | 'repeatsEnded' | 'endStreams'>,
    down: readonly ServerCounters[],
    signal: AbortSignal,
  ): Promise<void> {
    const waits = !live.repeatsEnded && (await kernelRepeats()) < repeatsBeforeError;
    const enough = waits ? repeatsBeforeError : repeatsBeforeRetry;
    const silent = (await silentByPeer()).filter(({ repeats }) => repeats >= enough);
    if (silent.length === 0) return;
    for (const row of down) {
      const server = live.servers.get(pathOf(row));
      if (server === undefined) continue;
      const remote = socketAddress(server.address, server.port);
      const here = silent.filter((each) => each.remote === remote).map(({ local }) => local);
      if (here.length === 0) continue;
      const ended = await live.endStreams(server, new Set(here), signal);
      if (ended > 0)
        this.#deps.log.warn(
          { target: pathOf(row), ended },
          'ended what a host that vanished has not acknowledged',
        );
    }
  }
}

/** How often the kernel sends the same before it gives up, which others may change at any time. */
async function kernelRepeats(): Promise<number> {
  const said = await readFile('/proc/sys/net/ipv4/tcp_retries2', 'utf8').catch(() => '15');
  return Number(said);
}

async function silentByPeer() {
  const tables = await Promise.all(
    // A kernel without IPv6 has no such table.
    ['tcp', 'tcp6'].map((name) => readFile(`/proc/self/net/${name}`, 'utf8').catch(() => '')),
  );
  return tables.flatMap(silentConnections);
}
