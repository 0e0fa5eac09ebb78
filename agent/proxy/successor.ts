import { ownPrefix } from './config-settings.ts';
import { section } from './config-words.ts';

/** Name of the server that every pool of HTTP has besides its own, out of use: the worker that comes next. */
export const successorName = `${ownPrefix}next`;

/** Has a worker that was replaced repeat requests at its successor. */
export const handOverCommand = 'fairlead hand over';

/**
 * No command changes a server of a worker that was replaced ("Proxy is disabled"), but a script does: it has the
 * successor take what is repeated, and takes out of turn all others that it sees, as the worker cannot be told of those
 * that go. Before 2.8 scripts do not see servers that were added at run time.
 */
export const successorScript = `core.register_cli({ "fairlead", "hand", "over" }, "${handOverCommand}", function(applet)
  for _, backend in pairs(core.backends) do
    local successor = backend.servers["${successorName}"]
    if successor ~= nil then
      successor:set_ready()
      for name, server in pairs(backend.servers) do
        if name ~= "${successorName}" then server:set_drain() end
      end
    end
  end
end)
`;

/** Tells a successor for which pool a request is; to be said of every frontend whose requests may be repeated. */
export const originLine = 'unique-id-format %b';

/**
 * A request that is in flight when HAProxy reloads stays with the old worker. If its server dies, that would repeat
 * it at servers as they were then, of which none may be left. The successor is out of use until then. It has as much
 * weight as there is, for the sake of servers that the script does not see.
 */
export function successorLine(socketPath: string): string {
  return (
    `server ${successorName} unix@${socketPath} send-proxy-v2 proxy-v2-options unique-id ` +
    `id ${successorNumber} weight 256 disabled`
  );
}

/** Far from those of containers, by which some algorithms spread requests. */
const successorNumber = 1_000_000_000;

/**
 * Where old workers repeat requests. Their frontends have done all that there is to do with a request, and bound it in
 * time.
 */
export function successorSection(socketPath: string, timeouts: boolean): string {
  return section(`frontend ${ownPrefix}repeated from ${ownPrefix}http`, [
    `bind unix@${socketPath} mode 600 accept-proxy`,
    'timeout client 1h',
    originLine,
    ...(timeouts ? ['http-request set-var(txn.response_ms) int(3600000)'] : []),
    'use_backend %[fc_pp_unique_id]',
  ]);
}
