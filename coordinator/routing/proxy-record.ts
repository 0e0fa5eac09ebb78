import type { ProxyId, ServiceId, SessionId, TokenId } from '../../shared/ids.ts';
import type { ShownCertificate, Target } from '../model.ts';
import type { ProxyPlace } from './routes.ts';
import type { BackendList, ListDelta, ListSnapshot } from './backend-list.ts';

/** Which proxy it is, and whose links it serves. */
export interface ProxyIdentity {
  readonly id: ProxyId;
  readonly name: string;
  readonly serviceId: ServiceId;
}

/** What HAProxy sees of one target, as last reported. */
export interface TargetObservation {
  readonly health: 'unknown' | 'up' | 'down';
  /** Why it is down, in words. */
  readonly healthMessage: string;
  readonly inFlight: number;
  readonly requests: number;
  readonly drained: boolean;
}

/** A content of a certificate that a proxy holds. */
export interface HeldCertificate {
  readonly certificate: { readonly id: string; readonly digest: string } | undefined;
  /** HAProxy's words if it refused it. */
  readonly message: string;
}

export interface ProxyStatus {
  readonly haproxyVersion: string;
  readonly haproxyPid: number;
  readonly message: string;
  readonly history: ProxyHistory;
}

/** What became of a HAProxy since its agent began, by the agent's clock. */
export interface ProxyHistory {
  readonly reloads: number;
  readonly restarts: number;
  /** The newest first. */
  readonly loadings: readonly {
    readonly at: Date;
    readonly kind: 'unknown' | 'adopt' | 'start' | 'reload';
    readonly reason: string;
  }[];
  readonly lastError: string;
  /** Undefined: nothing was wrong. */
  readonly lastErrorAt: Date | undefined;
}

const noHistory: ProxyHistory = {
  reloads: 0,
  restarts: 0,
  loadings: [],
  lastError: '',
  lastErrorAt: undefined,
};

/** What a proxy says of frontends, backends and routes. */
export interface AppliedStructure {
  /** The last version that was in effect with them; 0: none. */
  readonly version: number;
  /** Backends that some requests are to come to, and go elsewhere still. */
  readonly unreached: ReadonlySet<string>;
}

/** There is something to send, but not yet. */
export interface Later {
  readonly kind: 'later';
  readonly inMs: number;
}

/** No agent is kept waiting for longer, whatever pace it asks for. */
const slowestPaceMs = 1_000;

export interface ProxySession {
  readonly id: SessionId;
  /** There may be something to tell the proxy. */
  wake(): void;
  close(reason: string): void;
}

/** One proxy, over its sessions: what it was sent, and what it has acknowledged. */
export class ProxyRecord {
  readonly identity: ProxyIdentity;
  readonly place: ProxyPlace;
  /** The live session; null while it is away. */
  session: ProxySession | null = null;
  /** What it can do beyond the first version of the protocol, as its latest hello said. */
  verbs: ReadonlySet<string> = new Set();
  /** What its latest session was opened with; null: it had none yet. */
  certificate: ShownCertificate | null = null;
  /** The token that its certificate was given for; null: it had no session yet. */
  tokenId: TokenId | null = null;
  /** What it says of the certificates that it was handed. */
  certificates: readonly HeldCertificate[] = [];
  status: ProxyStatus = { haproxyVersion: '', haproxyPid: 0, message: '', history: noHistory };
  /** Connections that clients have open to it. */
  clientConnections = 0;
  lastSeenAtMs: number;
  /** On the monotonic clock; for the grace. */
  awaySinceMs = 0;
  #sent: { readonly version: number; readonly plan: unknown; readonly atMs: number } | null = null;
  /** Least time from one delta to the next. */
  #paceMs = 0;
  /** The version whose targets are in effect. */
  #applied = -1;
  /** Undefined: its agent does not tell, and had all that it applied. */
  #structure: AppliedStructure | undefined;
  /** Until the first list of a session is acknowledged: that list, and what was reported drained before. */
  #opening: { first: number | null; readonly drained: Set<string> } | null = null;
  readonly #targets = new Map<string, TargetObservation & { readonly drainedVersion: number }>();
  #errors = new Map<string, string>();

  constructor(identity: ProxyIdentity, place: ProxyPlace, nowMs: number) {
    this.identity = identity;
    this.place = place;
    this.lastSeenAtMs = nowMs;
  }

  get publishedVersion(): number {
    return this.#sent?.version ?? 0;
  }

  /** What is in effect as a whole. */
  get appliedVersion(): number {
    return Math.min(this.serversVersion, this.#structure?.version ?? Infinity);
  }

  get serversVersion(): number {
    return Math.max(0, this.#applied);
  }

  /**
   * A session begins. `heldVersion`: what HAProxy has of this run's lists, says the proxy; null: nothing.
   * What it acknowledged in an earlier session says nothing of a HAProxy that has started anew.
   */
  open(session: ProxySession, heldVersion: number | null): void {
    this.session = session;
    this.#applied = heldVersion ?? -1;
    this.#opening = { first: null, drained: new Set() };
    this.#paceMs = 0;
    this.resync();
  }

  /** The agent asks for no more than one delta in so many milliseconds, until its session ends. */
  setPace(leastIntervalMs: number): void {
    this.#paceMs = Math.min(leastIntervalMs, slowestPaceMs);
    this.session?.wake();
  }

  /**
   * What to send at this moment of the monotonic clock; null if it has everything. A change of frontends needs the
   * whole list.
   */
  nextMessage(list: BackendList, nowMs: number): ListSnapshot | ListDelta | Later | null {
    const sent = this.#sent;
    if (sent !== null && sent.version === list.version && sent.plan === list.plan) {
      return null;
    }
    const isWhole = sent === null || sent.plan !== list.plan;
    if (!isWhole && list.urgentVersion <= sent.version) {
      const inMs = sent.atMs + this.#paceMs - nowMs;
      if (inMs > 0) return { kind: 'later', inMs };
    }
    const message = isWhole ? list.snapshot() : list.changesSince(sent.version);
    this.#sent = { version: message.version, plan: list.plan, atMs: nowMs };
    this.#forgetGone(message, list);
    if (this.#opening !== null) this.#opening.first ??= message.version;
    return message;
  }

  /** A new session, or a gap: the next message is the whole list. */
  resync(): void {
    this.#sent = null;
    this.session?.wake();
  }

  applied(
    version: number,
    errors: ReadonlyMap<string, string>,
    structure?: AppliedStructure,
  ): void {
    this.#applied = Math.max(this.#applied, version);
    this.#structure = structure;
    this.#errors = new Map(errors);
    const first = this.#opening?.first ?? null;
    if (first === null || version < first) return;
    // What was drained before this session, and is to drain in the first list of it, took nothing since.
    for (const id of this.#opening?.drained ?? []) {
      const target = this.#targets.get(id);
      if (target !== undefined) this.#targets.set(id, { ...target, drainedVersion: first });
    }
    this.#opening = null;
  }

  observe(targetId: string, observation: TargetObservation): void {
    const drainedVersion = observation.drained ? this.#applied : -1;
    this.#targets.set(targetId, { ...observation, drainedVersion });
    if (observation.drained) this.#opening?.drained.add(targetId);
    else this.#opening?.drained.delete(targetId);
  }

  /** Forgets targets that the list no longer has: of a delta, without a look at all the others. */
  #forgetGone(message: ListSnapshot | ListDelta, list: BackendList): void {
    const gone = message.kind === 'delta' ? message.removedTargetIds : this.#targets.keys();
    for (const id of gone) if (!list.has(id)) this.#targets.delete(id);
  }

  target(id: string): TargetObservation | undefined {
    return this.#targets.get(id);
  }

  errorOf({ id, backend }: Target): string | undefined {
    const isUnreached = this.#structure?.unreached.has(backend) === true;
    return this.#errors.get(id) ?? (isUnreached ? 'some of its requests go elsewhere' : undefined);
  }

  get firstError(): string {
    const [error] = this.#errors;
    return error === undefined ? '' : `${error[0]}: ${error[1]}`;
  }

  /** It sends requests to the target that became ready with this version. */
  hasAdmitted(target: Target, sinceVersion: number): boolean {
    if (this.#applied < sinceVersion || this.#errors.has(target.id)) return false;
    const structure = this.#structure;
    // Nothing that serves may go for its sake, if what that serves does not come to it.
    return (
      structure === undefined ||
      structure.version >= sinceVersion ||
      !structure.unreached.has(target.backend)
    );
  }

  /** It sends no requests to the target that began to drain with this version, and none is in flight. */
  hasDrained(target: Target, sinceVersion: number): boolean {
    return (this.#targets.get(target.id)?.drainedVersion ?? -1) >= sinceVersion;
  }
}
