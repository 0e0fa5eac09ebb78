/** One run of an agent: a restart makes another, and so does a copy of its disk. */
export interface AgentRun {
  readonly bootId: string;
  readonly hostname: string;
  readonly address: string;
}

interface Claim {
  readonly run: AgentRun;
  /** Place in the order in which runs were first seen. */
  readonly order: number;
  /** When it last asked for what another has; null: it gave way in good order. */
  readonly claimedAtMs: number | null;
  /** It is certain that it and the other were alive at the same time. */
  readonly proven: boolean;
}

/** Who has spoken with one node's identity. */
export interface Claims {
  /** The run whose session counts; null: none was seen. */
  readonly holder: Claim | null;
  /** Others, newest first. */
  readonly others: readonly Claim[];
}

/** On a clock that never jumps. */
interface Moment {
  readonly nowMs: number;
  readonly holderHeardAtMs: number;
}

/** Whether a run gets the session, and who has spoken then. */
export interface Judgement {
  readonly verdict: 'take' | 'refuse';
  readonly claims: Claims;
}

/** How long a rival that was refused counts: agents dial again every 5 s. */
const rivalMs = 30_000;
/** Other runs that are remembered. */
const keptOthers = 8;

/** What is known before any agent has dialled: the host that the node was last, if it was any. */
export function claimsOf(lastHost: Omit<AgentRun, 'bootId'> | null): Claims {
  if (lastHost === null) return { holder: null, others: [] };
  const run = { ...lastHost, bootId: '' };
  return { holder: { run, order: 0, claimedAtMs: null, proven: false }, others: [] };
}

/**
 * Decides whether a run that dials gets the session, and remembers that it asked.
 *
 * A restarted agent has a new boot id, on the same host; it takes over. Another host does not, while the
 * holder lives. A boot id that comes back after another took its place proves two agents at once: the
 * elder stays, so that they do not take turns for ever.
 */
export function judge(
  claims: Claims,
  run: AgentRun,
  { nowMs, holderHeardAtMs, holderLives }: Moment & { readonly holderLives: boolean },
): Judgement {
  const { holder, others } = claims;
  const known = others.find((claim) => claim.run.bootId === run.bootId);
  const newcomer = {
    run,
    order: known?.order ?? nextOrder(claims),
    claimedAtMs: null,
    proven: false,
  };
  const rest = others.filter((claim) => claim !== known);
  const take = (left: readonly Claim[]) => judgement('take', newcomer, [...left, ...rest]);
  if (holder === null) return take([]);
  if (holder.run.bootId === run.bootId) return judgement('take', { ...holder, run }, others);
  if (!holderLives) return take([holder]);
  const proven = known !== undefined && isProven(known, holderHeardAtMs);
  const rival = { ...newcomer, claimedAtMs: nowMs };
  if (!isSameHost(holder.run, run)) {
    return judgement('refuse', holder, [{ ...rival, proven }, ...rest]);
  }
  if (known === undefined) return take([holder]);
  if (known.order < holder.order) return take([{ ...holder, claimedAtMs: nowMs, proven: true }]);
  return judgement('refuse', holder, [{ ...rival, proven: true }, ...rest]);
}

function judgement(
  verdict: Judgement['verdict'],
  holder: Claim,
  others: readonly Claim[],
): Judgement {
  return { verdict, claims: { holder, others: others.slice(0, keptOthers) } };
}

function nextOrder({ holder, others }: Claims): number {
  return 1 + Math.max(0, holder?.order ?? 0, ...others.map(({ order }) => order));
}

/** The other runs that are alive beside the holder; empty while nothing proves that there are two. */
export function rivalsOf(
  { others }: Claims,
  { nowMs, holderHeardAtMs }: Moment,
): readonly AgentRun[] {
  return others
    .filter(({ claimedAtMs }) => claimedAtMs !== null && nowMs - claimedAtMs <= rivalMs)
    .filter((claim) => isProven(claim, holderHeardAtMs))
    .map(({ run }) => run);
}

function isProven({ claimedAtMs, proven }: Claim, holderHeardAtMs: number): boolean {
  return proven || (claimedAtMs !== null && holderHeardAtMs > claimedAtMs);
}

function isSameHost(a: AgentRun, b: AgentRun): boolean {
  return a.hostname === b.hostname && a.address === b.address;
}

/** `host-1 (198.51.100.11)` */
export function nameOfHost({ hostname, address }: AgentRun): string {
  return `${hostname} (${address})`;
}

/** What a node's message says of rivals. */
export function explainRivals(holder: AgentRun, rivals: readonly AgentRun[]): string {
  const refused = [...new Set(rivals.map(nameOfHost))];
  if (refused.join() === nameOfHost(holder)) {
    return `two agents on ${nameOfHost(holder)} speak with this node's identity, and one is refused; stop one of them`;
  }
  return `two hosts speak with this node's identity: ${nameOfHost(holder)}, which is served, and ${refused.join(', ')}, which is refused; if a disk was cloned, stop the agent on the copy, move its state directory away and let it join anew`;
}
