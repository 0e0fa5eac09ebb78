import type { Balancing, Route } from '../../shared/gen/fairlead/v1/route.ts';
import type { Readiness } from '../../shared/gen/fairlead/v1/service.ts';

/** What a frontend or backend speaks. */
export type Protocol = 'http' | 'tcp';

/** A port that HAProxy listens on. */
export interface Frontend {
  readonly name: string;
  readonly port: number;
  readonly protocol: Protocol;
  /** Name of the backend that takes its requests; one that is not in the list gives 503. */
  readonly defaultBackend: string;
  /** Which requests go elsewhere; the first that matches counts. */
  readonly routes: readonly FrontendRoute[];
  /** Connections begin with the PROXY protocol. */
  readonly acceptProxy?: boolean;
  /** Networks whose X-Forwarded-… headers are kept. */
  readonly trustedUpstreams?: readonly string[];
  /** Where clients who reach it at one port reach one with TLS; undefined: at the usual port. */
  readonly https?: { readonly clientsPort: number; readonly httpsPort: number } | undefined;
  /** How it speaks TLS with clients; undefined: it does not. */
  readonly tls?: FrontendTls | undefined;
}

/** How a frontend speaks TLS with clients. */
export interface FrontendTls {
  readonly policy: 'intermediate' | 'modern';
  readonly clientCertificates: 'none' | 'optional' | 'required';
  /** Authorities that certificates of clients are to be issued by; empty where none are asked for. */
  readonly clientCaPem: string;
}

/** A route at one frontend. */
export interface FrontendRoute {
  /** Unique in a list. */
  readonly id: string;
  readonly route: Route;
  /** Where its requests go, but for those of `split`. */
  readonly backend: string;
  readonly split?: readonly { readonly backend: string; readonly percent: number }[];
}

/** A pool of targets. */
export interface Backend {
  readonly name: string;
  readonly protocol: Protocol;
  /** Undefined: in turn. */
  readonly balancing?: Balancing | undefined;
  /** What sticky cookies are made with. */
  readonly cookieKey?: string;
  /** The HTTP check of its targets; undefined: whether their ports accept connections is all that is asked. */
  readonly readiness?: Readiness | undefined;
}

/** One address in a backend. */
export interface Target {
  /** Never reused for another address. */
  readonly id: string;
  readonly backend: string;
  /** Literal IP address, IPv6 in its shortest form. */
  readonly address: string;
  readonly port: number;
  readonly mode: 'ready' | 'drain';
  /** For `drain`: after this time since receipt what is still in flight is cut. */
  readonly drainTimeoutMs: number;
  /** Name of the container behind it. */
  readonly container: string;
  /** Its id; empty from a coordinator that does not tell. */
  readonly containerId: string;
  /** It is given requests only while no other of its backend can be reached. */
  readonly backup?: boolean;
  /** It speaks HTTP/2 without TLS. */
  readonly http2?: boolean;
  /** Port of its backend's HTTP check; 0: its own. */
  readonly checkPort?: number;
  /** Connections to it begin with the PROXY protocol; undefined: as the balancing of its backend says. */
  readonly sendProxy?: boolean | undefined;
}

/** The part of a list that only a reload of HAProxy can change. */
export interface Structure {
  readonly frontends: readonly Frontend[];
  readonly backends: readonly Backend[];
}

/** A target of the coordinator's that can never be given to HAProxy, and why. */
export interface RejectedTarget {
  readonly id: string;
  readonly message: string;
}

/** A whole list. */
export interface ListSnapshot extends Structure {
  readonly epoch: string;
  readonly version: number;
  readonly targets: readonly Target[];
  readonly rejected: readonly RejectedTarget[];
}

/** What changed since one version. */
export interface ListDelta {
  readonly epoch: string;
  readonly baseVersion: number;
  readonly version: number;
  readonly targets: readonly Target[];
  readonly removedTargetIds: readonly string[];
  readonly rejected: readonly RejectedTarget[];
}

/** What a snapshot or delta touched: all that has to be looked at again. */
export interface ListChange {
  readonly structure: boolean;
  /** Paths of the targets that are new, different or gone. */
  readonly paths: readonly string[];
}

/** HAProxy's way to name a server: names are unique in their backend only. */
export function pathOf(target: { readonly backend: string; readonly id: string }): string {
  return `${target.backend}/${target.id}`;
}

/**
 * The last list that the coordinator gave, kept up by its deltas.
 *
 * Changes in place, so that a delta costs what it changes and not what the list holds.
 */
export class BackendList {
  #epoch = '';
  #version = 0;
  #structure: Structure = { frontends: [], backends: [] };
  readonly #targets = new Map<string, Target>();
  readonly #pathOfId = new Map<string, string>();
  /** Targets that are to drain and are held READY, as they are in the list. */
  readonly #held = new Map<string, Target>();
  #structureInEffect = false;
  readonly #rejected = new Map<string, string>();

  constructor(snapshot?: ListSnapshot) {
    if (snapshot !== undefined) this.replace(snapshot);
  }

  get epoch(): string {
    return this.#epoch;
  }

  get version(): number {
    return this.#version;
  }

  get structure(): Structure {
    return this.#structure;
  }

  /** Targets by path. */
  get targets(): ReadonlyMap<string, Target> {
    return this.#targets;
  }

  /** What is wrong with targets that cannot be given to HAProxy, by id. */
  get rejected(): ReadonlyMap<string, string> {
    return this.#rejected;
  }

  /**
   * HAProxy has the frontends, backends and routes of the list. Until then targets that drain because their
   * container takes requests elsewhere go on: it is to them that requests still come. Returns the paths of those
   * that drain now.
   */
  structureTookEffect(): readonly string[] {
    this.#structureInEffect = true;
    const paths = [...this.#held.keys()];
    for (const [path, target] of this.#held) this.#targets.set(path, target);
    this.#held.clear();
    return paths;
  }

  /** Takes a whole list in place of the one before; fewer targets, or none, are meant so. */
  replace(snapshot: ListSnapshot): ListChange {
    const structure = !sameStructure(this.#structure, snapshot);
    if (structure) this.#structureInEffect = false;
    const changed = new Set<string>();
    const gone = new Set(this.#pathOfId.keys());
    for (const target of snapshot.targets) {
      gone.delete(target.id);
      this.#put(target, changed);
    }
    for (const id of gone) this.#remove(id, changed);
    this.#hold(snapshot.targets, changed);
    this.#rejected.clear();
    for (const { id, message } of snapshot.rejected) this.#rejected.set(id, message);
    this.#epoch = snapshot.epoch;
    this.#version = snapshot.version;
    this.#structure = { frontends: snapshot.frontends, backends: snapshot.backends };
    return { structure, paths: [...changed] };
  }

  /** Goes on from the version before; 'gap' and no change if the delta starts from another one. */
  apply(delta: ListDelta): ListChange | 'gap' {
    if (delta.epoch !== this.#epoch || delta.baseVersion !== this.#version) return 'gap';
    const changed = new Set<string>();
    for (const id of delta.removedTargetIds) this.#remove(id, changed);
    for (const target of delta.targets) this.#put(target, changed);
    this.#hold(delta.targets, changed);
    for (const { id, message } of delta.rejected) this.#rejected.set(id, message);
    this.#version = delta.version;
    return { structure: false, paths: [...changed] };
  }

  toSnapshot(): ListSnapshot {
    return {
      epoch: this.#epoch,
      version: this.#version,
      ...this.#structure,
      targets: [...this.#targets].map(([path, target]) => this.#held.get(path) ?? target),
      rejected: [...this.#rejected].map(([id, message]) => ({ id, message })),
    };
  }

  #put(target: Target, changed: Set<string>): void {
    const path = pathOf(target);
    const pathBefore = this.#pathOfId.get(target.id);
    if (pathBefore !== undefined && pathBefore !== path) this.#remove(target.id, changed);
    const before = this.#targets.get(path);
    this.#rejected.delete(target.id);
    this.#held.delete(path);
    this.#targets.set(path, target);
    this.#pathOfId.set(target.id, path);
    if (before === undefined || !sameTarget(before, target)) changed.add(path);
  }

  #remove(id: string, changed: Set<string>): void {
    this.#rejected.delete(id);
    const path = this.#pathOfId.get(id);
    if (path === undefined) return;
    this.#pathOfId.delete(id);
    this.#targets.delete(path);
    this.#held.delete(path);
    changed.add(path);
  }

  /** Has those of `targets` go on that drain although their container takes requests elsewhere. */
  #hold(targets: readonly Target[], changed: Set<string>): void {
    if (this.#structureInEffect) return;
    const serving = new Set(
      [...this.#targets.values()].flatMap(({ mode, containerId }) =>
        mode === 'ready' && containerId !== '' ? [containerId] : [],
      ),
    );
    for (const target of targets) {
      if (target.mode !== 'drain' || !serving.has(target.containerId)) continue;
      const path = pathOf(target);
      this.#held.set(path, target);
      this.#targets.set(path, { ...target, mode: 'ready' });
      changed.add(path);
    }
  }
}

/** The order counts too: it is that of the file. */
function sameStructure(a: Structure, b: Structure): boolean {
  const text = ({ frontends, backends }: Structure) => JSON.stringify([frontends, backends]);
  return text(a) === text(b);
}

function sameTarget(a: Target, b: Target): boolean {
  return (
    a.address === b.address &&
    a.port === b.port &&
    a.mode === b.mode &&
    a.drainTimeoutMs === b.drainTimeoutMs &&
    a.container === b.container &&
    a.containerId === b.containerId &&
    sameManner(a, b)
  );
}

/** Both are spoken to in the same way. */
function sameManner(a: Target, b: Target): boolean {
  return (
    (a.backup ?? false) === (b.backup ?? false) &&
    (a.http2 ?? false) === (b.http2 ?? false) &&
    (a.checkPort ?? 0) === (b.checkPort ?? 0) &&
    a.sendProxy === b.sendProxy
  );
}
