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
}

/**
 * No word of HAProxy's tells whether a client is still there, and what was held would be passed on for nobody. Versions
 * before 2.5 cannot be asked.
 */
export const goneScript = `core.register_action("fairlead_gone", { "http-req" }, function(txn)
  txn:set_var("txn.gone", txn.req.may_recv ~= nil and not txn.req:may_recv())
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
  const { isRouted, defaultBackend, backends, mapPath, noticesGone } = context;
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
    ...(noticesGone
      ? [
          // Of a request that fills its buffer the script would say the same as of a client that is gone.
          `http-request lua.fairlead_gone if ${wasHeld} { internal.htx.free_data gt 4096 }`,
          `http-request reject if ${wasHeld} { var(txn.gone) -m bool }`,
        ]
      : []),
    ...pages,
    `http-request return status 503 content-type text/plain string "${words}\\n" if ${ended}`,
  ];
}

const words = 'paused';
