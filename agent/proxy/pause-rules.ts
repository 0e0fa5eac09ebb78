import type { Backend, Structure } from './backend-list.ts';
import { ownPrefix } from './config-settings.ts';
import { goesOnAddress } from './pauses.ts';
import { pageAnswer } from './route-policies.ts';
import type { MapPath } from './route-rules.ts';

/** Name of the map from routes and backends to the pauses that hold their requests. */
export const pausesMap = 'pauses.map';

/** Requests can be paused wherever there are any. */
export function holdsRequests({ frontends }: Pick<Structure, 'frontends'>): boolean {
  return frontends.some(({ protocol }) => protocol === 'http');
}

/** Name of the section by which HAProxy asks whether a request may go on. */
export const resolversName = `${ownPrefix}pauses`;

/** A line of the kernel's has 150 bytes: 20,000 connections, which take some 40 ms. */
const maxTableBytes = 3_000_000;

/** A condition that the request was held. */
export const wasHeld = '{ var(txn.pause) -m found }';

/** A condition that another worker does what there is to do with a request. */
export const wasHanded = '{ var(txn.handed) -m found }';

/** What a frontend is rendered with that has pauses. */
export interface PauseContext {
  readonly isRouted: boolean;
  /** Names the backend of what no route takes; undefined: there is none. */
  readonly defaultBackend: string | undefined;
  readonly backends: readonly Backend[];
  readonly mapPath: MapPath;
  /** HAProxy has `goneScript`. */
  readonly noticesGone: boolean;
  /** The sample that is the address of the other end of the connection; undefined: nothing says it. */
  readonly peer: string | undefined;
}

/**
 * No word of HAProxy's tells whether a client is still there, and what was held would be passed on for nobody. Versions
 * before 2.5 cannot be asked, and from 3.0 on none of HTTP/1: nothing is read from a client whose whole request is
 * there before a server is chosen. So the kernel is asked, once for all that may go on at the same moment: of what was
 * held for more than a second, by when two readings are later than its connection. What is in neither, or was ended
 * by the client, is gone; of two, as a reading may skip a connection while others end. A table that is larger than what
 * can be read without harm to other requests says nothing.
 */
export const goneScript = `core.register_action("fairlead_gone", { "http-req" }, function(txn)
  txn:set_var("txn.gone", txn.req.may_recv ~= nil and not txn.req:may_recv())
end)

local most = ${maxTableBytes}

local function read()
  local states = {}
  for _, name in ipairs({ "tcp", "tcp6" }) do
    local file = io.open("/proc/self/net/" .. name, "rb")
    local text = file and file:read(most) or ""
    if file then file:close() end
    if #text == most then return nil end
    for key, state in string.gmatch(text, ": %x+:(%x+ %x+:%x+) (%x%x) ") do states[key] = state end
  end
  return states
end

local first, again, at = nil, nil, 0

local function is_gone(key)
  local now = core.now()
  local ms = now.sec * 1000 + now.usec // 1000
  if ms - at > 500 or ms < at then first, again, at = read(), false, ms end
  if first == nil then return false end
  if first[key] ~= nil then return first[key] ~= "01" end
  if again == false then again = read() end
  return again ~= nil and (again[key] or "08") ~= "01"
end

core.register_action("fairlead_left", { "http-req" }, function(txn)
  local client, port, own = txn:get_var("txn.peer"), txn.f:src_port(), txn.f:dst_port()
  if not client or not port or port == 0 or not own then return end
  local words = client:gsub("(%x%x)(%x%x)(%x%x)(%x%x)", "%4%3%2%1")
  if is_gone(string.format("%04X %s:%04X", own, words, port)) then txn:set_var("txn.gone", true) end
end)
`;

/**
 * Lines that hold requests while their route or backend is paused.
 *
 * HAProxy has no words for that. But a rule that resolves a name waits for its answer, and nobody else does: so
 * it asks the agent for a name, and the agent answers when the pause ends, or the request was held for long
 * enough. Without an answer the request is over after a minute. All that came in the same second ask once.
 */
export function pauseRules(context: PauseContext): string[] {
  const { isRouted, defaultBackend, backends, mapPath } = context;
  const find = (key: string) =>
    `http-request set-var(txn.pause) ${key},map_str(${mapPath(pausesMap)})`;
  const ended = `${wasHeld} !{ var(txn.resumed) -m ip ${goesOnAddress} }`;
  const isDefault = '!{ var(txn.backend) -m found }';
  const pages = backends.flatMap(({ name, balancing }) => {
    const page = balancing?.unavailable;
    if (page === undefined) return [];
    const answer = pageAnswer(page, mapPath, words);
    const here = name === defaultBackend ? [isDefault] : [];
    return [`{ var(txn.backend) -m str -- ${name} }`, ...here].map(
      (condition) => `http-request return status 503 ${answer} if ${ended} ${condition}`,
    );
  });
  return [
    ...(isRouted ? [find('var(txn.route)'), `${find('var(txn.backend)')} if !${wasHeld}`] : []),
    ...(defaultBackend === undefined
      ? []
      : [`${find(`str(${defaultBackend})`)} if !${wasHeld} ${isDefault} !${wasHanded}`]),
    `http-request set-var(txn.second) date if ${wasHeld}`,
    `http-request set-var(txn.question) var(txn.pause),concat(.,txn.second) if ${wasHeld}`,
    `http-request do-resolve(txn.resumed,${resolversName},ipv4) var(txn.question) if ${wasHeld}`,
    ...goneRules(context),
    ...pages,
    `http-request return status 503 content-type text/plain string "${words}\\n" if ${ended}`,
  ];
}

/** Lines that drop what may go on, and nobody waits for. */
function goneRules({ noticesGone, peer }: PauseContext): string[] {
  if (!noticesGone) return [];
  const goesOn = `${wasHeld} { var(txn.resumed) -m ip ${goesOnAddress} }`;
  const left = `${goesOn} !{ var(txn.gone) -m bool } { date,sub(txn.second) gt 1 }`;
  return [
    // Of a request that fills its buffer the script would say the same as of a client that is gone.
    `http-request lua.fairlead_gone if ${wasHeld} { internal.htx.free_data gt 4096 }`,
    ...(peer === undefined
      ? []
      : [
          `http-request set-var(txn.peer) ${peer},hex if ${left}`,
          `http-request lua.fairlead_left if ${left}`,
        ]),
    `http-request reject if ${wasHeld} { var(txn.gone) -m bool }`,
  ];
}

const words = 'paused';
