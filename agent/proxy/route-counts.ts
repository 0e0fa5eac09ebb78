import { ownPrefix } from './config-settings.ts';
import { section } from './config-words.ts';

/** Where routes are counted. HAProxy's own counters are of ports, pools and servers: routes may share all of them. */
const table = `${ownPrefix}routes`;
const isRouted = '{ var(txn.route) -m found }';

/** Path at which the counts are given, beside those of HAProxy's own exporter. */
export const routeMetricsPath = '/metrics/routes';

/** Answers a scrape with what the table of routes has. A route is counted since its first request. */
export const routesScript = `local counters = {
  { "requests_total", "http_req_cnt", "Requests, those that were refused too." },
  { "client_errors_total", "http_err_cnt", "Requests that were answered with a status of 400 to 499." },
  { "server_errors_total", "http_fail_cnt", "Requests that were answered with a status of 500 to 599." },
  { "connections_total", "conn_cnt", "Connections of routes that are not HTTP." },
  { "bytes_in_total", "bytes_in_cnt", "Bytes from clients." },
  { "bytes_out_total", "bytes_out_cnt", "Bytes to clients." },
}

core.register_service("fairlead_routes", "http", function(applet)
  local rows = core.backends["${table}"].stktable:dump()
  local names = {}
  for name in pairs(rows) do names[#names + 1] = name end
  table.sort(names)
  local lines = {}
  for _, counter in ipairs(counters) do
    local metric = "fairlead_route_" .. counter[1]
    lines[#lines + 1] = "# HELP " .. metric .. " " .. counter[3] .. "\\n"
    lines[#lines + 1] = "# TYPE " .. metric .. " counter\\n"
    for _, name in ipairs(names) do
      local row = rows[name]
      if counter[1] ~= "connections_total" or row["http_req_cnt"] == 0 then
        lines[#lines + 1] = metric .. '{route="' .. name .. '"} ' .. tostring(row[counter[2]]) .. "\\n"
      end
    end
  end
  local text = table.concat(lines)
  applet:set_status(200)
  applet:add_header("content-type", "text/plain; version=0.0.4")
  applet:add_header("content-length", tostring(#text))
  applet:start_response()
  applet:send(text)
end)
`;

/** The section that has the counts: of more routes than anybody has. */
export function countsSection(): string {
  const counts = 'http_req_cnt,http_err_cnt,http_fail_cnt,conn_cnt,bytes_in_cnt,bytes_out_cnt';
  // One more than a name has: HAProxy counts its end.
  return section(`backend ${table}`, [`stick-table type string len 201 size 20k store ${counts}`]);
}

/** The line that counts what is done by a route, under a condition besides. */
export function countRule(rule: 'http-request' | 'tcp-request content', condition = ''): string {
  return `${rule} track-sc1 var(txn.route) table ${table} if ${isRouted}${condition}`;
}

/** The line that answers a scrape. */
export const countsAnswer = `http-request use-service lua.fairlead_routes if { path ${routeMetricsPath} }`;
