import { pathOf, type Structure, type Target } from './backend-list.ts';
import type { KnownServer } from './server-state.ts';

/** Names one server to HAProxy. */
export interface ServerRef {
  readonly backend: string;
  readonly id: string;
}

/**
 * One thing to do to one server. `cut` is for a server that has to go now: no new requests, and the end
 * of those in flight. `maint` is for one that has drained.
 */
export type ServerStep =
  | { readonly kind: 'add'; readonly target: Target }
  | { readonly kind: 'ready' | 'drain' | 'maint' | 'cut' | 'delete'; readonly server: ServerRef };

/** What to plan from. */
export interface ServerView {
  /** Wanted targets by path; undefined or absent: none. */
  readonly targets: ReadonlyMap<string, Target | undefined>;
  /** Paths that have nothing in flight any more, of targets in drain and of what is gone. */
  readonly drained: ReadonlySet<string>;
  /** HAProxy's servers by path. */
  readonly servers: ReadonlyMap<string, KnownServer>;
  /** Names of the backends that HAProxy has. */
  readonly backends: ReadonlySet<string>;
  /** Whether HAProxy can be given servers at run time. */
  readonly dynamicServers: boolean;
}

/** Runtime commands in order, and what they cannot do. */
export interface ServerPlan {
  readonly steps: readonly ServerStep[];
  /** Paths that can only be served after HAProxy reloads, and the reason. */
  readonly needReload: ReadonlyMap<string, string>;
  /** Those of them that need nothing but to be in the file. */
  readonly forFile: ReadonlySet<string>;
}

/**
 * Compares what HAProxy has with what is wanted, for the servers named by `paths`, and returns the
 * steps between: what brings capacity comes first, what takes it away last.
 *
 * A server that is not wanted stays in maintenance; `planDeletions` takes it away later.
 */
export function planServers(view: ServerView, paths: Iterable<string>): ServerPlan {
  const gains: ServerStep[] = [];
  const losses: ServerStep[] = [];
  const needReload = new Map<string, string>();
  const forFile = new Set<string>();
  for (const path of paths) {
    const target = view.targets.get(path);
    const server = view.servers.get(path);
    if (target?.mode === 'ready') {
      const steps = stepsToReady(target, server);
      if (!view.backends.has(target.backend)) {
        needReload.set(path, `HAProxy has no backend "${target.backend}"`);
      } else if (!view.dynamicServers && steps.some(({ kind }) => kind === 'add')) {
        needReload.set(path, 'this version of HAProxy takes servers only by a reload');
        forFile.add(path);
        gains.push(...steps.filter(({ kind }) => kind === 'cut'));
      } else {
        gains.push(...steps);
      }
    } else if (server !== undefined) {
      losses.push(...stepsAway(target, server, view.drained.has(path)));
    }
  }
  return { steps: [...gains, ...losses], needReload, forFile };
}

/** Nothing is to be done to the server of a target that takes requests. */
export function isAsWanted(target: Target, server: KnownServer | undefined): boolean {
  if (target.mode !== 'ready' || server?.mode !== 'ready') return false;
  return sameAddress(target, server) && !server.altered;
}

/** The path of the server that a step is about. */
export function pathOfStep(step: ServerStep): string {
  return pathOf(step.kind === 'add' ? step.target : step.server);
}

/** Why HAProxy has to reload to have another structure; undefined if it has it. */
export function reloadReason(
  live: { readonly revision: string } & Partial<Structure>,
  wanted: { readonly revision: string } & Structure,
): string | undefined {
  if (live.revision === wanted.revision) return undefined;
  if (live.frontends === undefined || live.backends === undefined) {
    return 'the configuration that HAProxy runs is not the one of this list';
  }
  return (
    difference('frontend', live.frontends, wanted.frontends) ??
    difference('backend', live.backends, wanted.backends) ??
    'the settings changed'
  );
}

/**
 * Backends that requests are to come to by a port or route that leads elsewhere as things are: who was served there
 * would be by nobody, if what serves them now went for the sake of what is in these.
 */
export function unreachedBackends(running: Structure, wanted: Structure): string[] {
  const now = waysOf(running);
  const unreached = new Set<string>();
  for (const [way, backends] of waysOf(wanted)) {
    const instead = now.get(way);
    // What HAProxy does not have at all serves nobody yet.
    if (instead === undefined) continue;
    for (const backend of backends) if (!instead.includes(backend)) unreached.add(backend);
  }
  return [...unreached].sort();
}

/** Where each port and each route at it leads. */
function waysOf({ frontends }: Structure): Map<string, readonly string[]> {
  return new Map(
    frontends.flatMap(({ port, defaultBackend, routes }): [string, readonly string[]][] => [
      [`${port}`, defaultBackend === '' ? [] : [defaultBackend]],
      ...routes.map(({ id, backend, split }): [string, readonly string[]] => [
        `${port} ${id}`,
        [backend, ...(split ?? []).map((share) => share.backend)],
      ]),
    ]),
  );
}

type Named = Structure['frontends'][number] | Structure['backends'][number];

function isSameBut(field: string, a: object, b: object): boolean {
  const text = (each: object) => JSON.stringify({ ...each, [field]: undefined });
  return text(a) === text(b);
}

function difference(
  noun: string,
  live: readonly Named[],
  wanted: readonly Named[],
): string | undefined {
  const before = new Map(live.map((item) => [item.name, item]));
  for (const item of wanted) {
    const known = before.get(item.name);
    if (known === undefined) return `${noun} "${item.name}" is new`;
    if (JSON.stringify(known) !== JSON.stringify(item)) {
      return `${noun} "${item.name}" ${isSameBut('readiness', known, item) ? 'has another check' : 'changed'}`;
    }
    before.delete(item.name);
  }
  const [gone] = before.keys();
  return gone === undefined ? undefined : `${noun} "${gone}" is gone`;
}

function stepsToReady(target: Target, server: KnownServer | undefined): ServerStep[] {
  if (server === undefined) return [{ kind: 'add', target }];
  if (!sameAddress(target, server)) {
    // Never changed in place: requests in flight at the old address would be counted at the new one.
    return [
      { kind: 'cut', server: refOf(server) },
      { kind: 'delete', server: refOf(server) },
      { kind: 'add', target },
    ];
  }
  const isThere = server.mode === 'ready' && !server.altered;
  return isThere ? [] : [{ kind: 'ready', server: refOf(server) }];
}

function stepsAway(
  target: Target | undefined,
  server: KnownServer,
  drained: boolean,
): ServerStep[] {
  const ref = refOf(server);
  if (server.mode === 'maint') {
    // So sticky ones drain too, and what they have in flight would go on for as long as it likes.
    return target === undefined && !drained ? [{ kind: 'cut', server: ref }] : [];
  }
  if (target === undefined || !sameAddress(target, server)) return [{ kind: 'cut', server: ref }];
  if (drained) return [{ kind: 'maint', server: ref }];
  return server.mode === 'drain' ? [] : [{ kind: 'drain', server: ref }];
}

function sameAddress(target: Target, server: KnownServer): boolean {
  return target.address === server.address && target.port === server.port;
}

function refOf({ backend, id }: KnownServer): ServerRef {
  return { backend, id };
}
