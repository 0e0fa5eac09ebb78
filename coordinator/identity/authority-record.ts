/** A certificate and its private key, PEM. */
export interface KeyPair {
  readonly certificate: string;
  readonly privateKey: string;
}

/** An authority that signs, or that did and is still trusted. */
export interface AuthorityKey {
  /** Signed by itself. */
  readonly certificate: string;
  /**
   * The same name and key, signed by the authority before it, so that those who know only that one trust
   * this one too. Empty for the first.
   */
  readonly vouched: string;
  readonly sinceMs: number;
  /** When another took its place; null: it signs. */
  readonly replacedAtMs: number | null;
  /** Null: for as long as it signs. */
  readonly trustedUntilMs: number | null;
}

/** One that is trusted no more: known by name, so that whoever shows its certificate is told why not. */
export type RetiredAuthority = Pick<AuthorityKey, 'certificate'>;

/** Everything that a certificate authority keeps. */
export interface AuthorityRecord {
  /** Newest first; the first one signs. */
  readonly authorities: readonly [AuthorityKey, ...AuthorityKey[]];
  /** What the first one signs with. Keys of the others are not kept: nothing is signed with them. */
  readonly signingKey: string;
  /** Newest first. */
  readonly retired: readonly RetiredAuthority[];
  /** What the coordinator itself shows; the certificate is empty before it is first made. */
  readonly server: KeyPair;
  /** Grows with every authority that comes or goes. */
  readonly version: number;
  /** The action that changed the authorities last; empty: none has. */
  readonly lastActionId: string;
}

/** That of an installation whose authority was never replaced. */
export function firstRecord(signer: KeyPair, server: KeyPair, sinceMs: number): AuthorityRecord {
  const { certificate, privateKey } = signer;
  const rest = { vouched: '', replacedAtMs: null, trustedUntilMs: null };
  return {
    authorities: [{ certificate, sinceMs, ...rest }],
    signingKey: privateKey,
    retired: [],
    server,
    version: 1,
    lastActionId: '',
  };
}

/** Authorities that are trusted at a time: who was away for two rotations still finds the way. */
export const maxAuthorities = 3;
const keptRetired = 4;

/** A new authority as it takes its place. */
export interface Successor {
  readonly certificate: string;
  readonly vouched: string;
  readonly signingKey: string;
  readonly serverCertificate: string;
  readonly nowMs: number;
  /** Until when the one before is trusted. */
  readonly overlapUntilMs: number;
}

/** The record once a new authority signs. */
export function succeededBy(record: AuthorityRecord, successor: Successor): AuthorityRecord {
  const { certificate, vouched, signingKey, serverCertificate, nowMs, overlapUntilMs } = successor;
  const [before, ...earlier] = record.authorities;
  const replaced = { ...before, replacedAtMs: nowMs, trustedUntilMs: overlapUntilMs };
  const first = { certificate, vouched, sinceMs: nowMs, replacedAtMs: null, trustedUntilMs: null };
  return {
    ...record,
    authorities: [first, replaced, ...earlier],
    signingKey,
    server: { ...record.server, certificate: serverCertificate },
    version: record.version + 1,
  };
}

/** The record without authorities that are over. The one that signs never is, nor one that vouches. */
export function without(
  record: AuthorityRecord,
  isOver: (authority: AuthorityKey) => boolean,
): AuthorityRecord {
  const [first, ...earlier] = record.authorities;
  // Each is vouched for by the next: what is older than one that is over leads nowhere.
  const end = earlier.findIndex(isOver);
  if (end < 0) return record;
  const over = earlier.slice(end).map(({ certificate }) => ({ certificate }));
  return {
    ...record,
    authorities: [first, ...earlier.slice(0, end)],
    retired: [...over, ...record.retired].slice(0, keptRetired),
    version: record.version + 1,
  };
}

/** Certificates of the authorities that are trusted, the one that signs first. */
export function bundleOf({ authorities }: AuthorityRecord): string {
  return authorities.map(({ certificate }) => certificate).join('');
}

/**
 * What a coordinator shows: its own certificate, the way from there to the oldest authority that is
 * trusted, then the others by themselves, for those who know one of them by its pin.
 */
export function chainOf({ authorities, server }: AuthorityRecord): string {
  const way = authorities.slice(0, -1).map(({ vouched }) => vouched);
  const oldest = authorities.slice(-1).map(({ certificate }) => certificate);
  const others = authorities.slice(0, -1).map(({ certificate }) => certificate);
  return [server.certificate, ...way, ...oldest, ...others].join('');
}
