import { createHash } from 'node:crypto';
import type { Backend, Target } from './backend-list.ts';

/** Name of the map from what cookies say to the servers that have their slots now. */
export const slotsMap = 'slots.map';

/** What is needed of a backend whose clients stay at a slot. */
export interface Sticky {
  readonly cookie: string;
  readonly key: string;
}

/** How clients of a backend are kept; undefined: they are not. */
export function stickyOf(backend: Backend | undefined): Sticky | undefined {
  const { cookieKey: key = '', protocol, balancing } = backend ?? {};
  const cookie = balancing?.stickyCookie ?? '';
  return cookie === '' || key === '' || protocol !== 'http' ? undefined : { cookie, key };
}

/** The name of the slot that a server serves: all before the first dot, of `web-3.1f0c9a2b.80`. */
export function slotOf(serverId: string): string {
  return serverId.split('.', 1)[0] ?? serverId;
}

/** So many characters of a cookie stand for the service, and the rest for the slot. */
export const serviceMarkLength = 8;

/** What cookies of a service begin with: by that its clients are known where a route leads to several. */
export function serviceMark({ key }: Sticky): string {
  return digest(key).slice(0, serviceMarkLength);
}

/** The names of all cookies by which clients are kept, each once. */
export function cookiesOf(backends: readonly Backend[]): string[] {
  return [...new Set(backends.flatMap((backend) => stickyOf(backend)?.cookie ?? []))].sort();
}

/**
 * By what a server of a slot is looked up: its backend, and what a cookie says. That stands for the slot and not
 * for a container, so that clients stay over a redeploy; and it says nothing that a client could read.
 */
export function slotKey(
  server: { readonly backend: string; readonly id: string },
  sticky: Sticky,
): string {
  const value = digest(`${sticky.key}-${slotOf(server.id)}`).slice(0, 16);
  return `${server.backend}/${serviceMark(sticky)}${value}`;
}

function digest(text: string): string {
  return createHash('sha1').update(text).digest('hex');
}

/** Of the same form in HAProxy's words: the value for the server that answered. */
export function slotValueRules(sticky: Sticky): string[] {
  return [
    'http-response set-var(txn.slot) srv_name,field(1,.)',
    `http-response set-var(txn.slot) str(${sticky.key}-),concat(,txn.slot),sha1,hex,bytes(0,16),lower`,
    `http-response set-var(txn.slot) str(${serviceMark(sticky)}),concat(,txn.slot)`,
  ];
}

/** The servers of all slots of sticky backends; of two that are ready in one slot the last. */
export function slotsIn(
  backends: readonly Backend[],
  targets: Iterable<Target>,
): (readonly [key: string, server: string])[] {
  const sticky = new Map(
    backends.flatMap((backend) => {
      const how = stickyOf(backend);
      return how === undefined ? [] : [[backend.name, how] as const];
    }),
  );
  if (sticky.size === 0) return [];
  const entries = new Map<string, string>();
  for (const target of targets) {
    const how = sticky.get(target.backend);
    if (how !== undefined && target.mode === 'ready') entries.set(slotKey(target, how), target.id);
  }
  return [...entries];
}

/** What ids of servers have in them that are backups, as the coordinator names them: `rest-1.1f0c9a2b.80.for-web.80-80`. */
const backupMark = '.for-';

/** No word of HAProxy's tells how many servers of a pool take requests that are no backups. */
export const stickyScript = `core.register_fetches("fairlead_active", function(txn, name)
  local backend = core.backends[name]
  return backend and backend:get_stats()["act"] or 0
end)
`;

/**
 * Lines by which clients leave a backup, although their cookie is of it, when the service itself is back: HAProxy would
 * keep them there. Without the script they are at no certain one of its backups meanwhile.
 */
export function backupRules(backend: string, countsActive: boolean): string[] {
  const isBackup = `{ var(txn.server) -m sub ${backupMark} }`;
  const isBack = countsActive ? ` { lua.fairlead_active(${backend}) -m int gt 0 }` : '';
  return [`http-request unset-var(txn.server) if ${isBackup}${isBack}`];
}
