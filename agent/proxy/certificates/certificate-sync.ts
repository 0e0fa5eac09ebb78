import type { RuntimeClient } from '../runtime-client.ts';
import { haproxyFingerprint, hostsOf } from './served-certificate.ts';

/** A certificate by the path under which HAProxy has it. */
export interface PlacedCertificate {
  readonly path: string;
  readonly pem: string;
}

/** What the running HAProxy is to have. */
export interface CertificatePlan {
  /** Path of HAProxy's list. */
  readonly list: string;
  /** Shown where no other fits; it is in the list always, and cannot be taken out. */
  readonly default: PlacedCertificate;
  /** Of two for one host the first is shown. */
  readonly others: readonly PlacedCertificate[];
  /** Paths whose content changed, whatever HAProxy says that it has. */
  readonly changed: ReadonlySet<string>;
}

/**
 * Brings the certificates of a worker to what they are to be, without a reload: each is replaced at one moment,
 * what is new is added before what is gone is taken out. Returns HAProxy's words on those that it refused, by
 * path; what it had there before stays.
 *
 * Of several for one host HAProxy shows the one that it has had for longest, and what is replaced counts as new: those
 * that come after it in the plan are replaced by themselves, so that their order is that of HAProxy's list.
 */
export async function syncCertificates(
  client: RuntimeClient,
  plan: CertificatePlan,
): Promise<Map<string, string>> {
  const refused = new Map<string, string>();
  if (!(await lists(client)).includes(plan.list)) return refused;
  const there = new Set(await entriesOf(client, plan.list));
  const renewed = new Set<string>();
  for (const certificate of [...plan.others, plan.default]) {
    const { path } = certificate;
    const isThere = there.has(path);
    const hosts = certificate === plan.default ? [] : hostsOf(certificate.pem);
    const isOvertaken = hosts.some((host) => renewed.has(host));
    if (isThere && !isOvertaken && !(await isOutdated(client, certificate, plan))) continue;
    for (const host of hosts) renewed.add(host);
    const words = await (isThere ? replace(client, certificate) : add(client, certificate, plan));
    if (words !== undefined) refused.set(path, words);
  }
  const kept = new Set([plan.default.path, ...plan.others.map(({ path }) => path)]);
  for (const path of there) {
    if (kept.has(path)) continue;
    await client.sendAll([`del ssl crt-list ${plan.list} ${path}`, `del ssl cert ${path}`]);
  }
  return refused;
}

async function lists(client: RuntimeClient): Promise<string[]> {
  return (await client.query('show ssl crt-list')).split('\n').map((line) => line.trim());
}

/** The files in a list; its lines may have settings and names after them. */
async function entriesOf(client: RuntimeClient, list: string): Promise<string[]> {
  const text = await client.query(`show ssl crt-list ${list}`);
  return text
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => line.trim().split(' ')[0] ?? '');
}

async function isOutdated(
  client: RuntimeClient,
  { path, pem }: PlacedCertificate,
  { changed }: CertificatePlan,
): Promise<boolean> {
  if (changed.has(path)) return true;
  const text = await client.query(`show ssl cert ${path}`);
  return /^SHA1 FingerPrint: *(\w+)/m.exec(text)?.[1] !== haproxyFingerprint(pem);
}

async function replace(
  client: RuntimeClient,
  { path, pem }: PlacedCertificate,
): Promise<string | undefined> {
  const words = refusalIn(await client.sendAll([setCommand(path, pem), `commit ssl cert ${path}`]));
  if (words !== undefined) await client.sendAll([`abort ssl cert ${path}`]);
  return words;
}

async function add(
  client: RuntimeClient,
  { path, pem }: PlacedCertificate,
  { list }: CertificatePlan,
): Promise<string | undefined> {
  // One that was left over from an attempt that was cut short would be in the way.
  await client.sendAll([`del ssl cert ${path}`]);
  const words = refusalIn(
    await client.sendAll([
      `new ssl cert ${path}`,
      setCommand(path, pem),
      `commit ssl cert ${path}`,
      `add ssl crt-list ${list} ${path}`,
    ]),
  );
  if (words !== undefined) {
    await client.sendAll([
      `abort ssl cert ${path}`,
      `del ssl crt-list ${list} ${path}`,
      `del ssl cert ${path}`,
    ]);
  }
  return words;
}

/** An empty line ends what is sent along; the client adds the end of the last one. */
function setCommand(path: string, pem: string): string {
  return `set ssl cert ${path} <<\n${pem.trimEnd()}\n`;
}

function refusalIn(
  replies: readonly { readonly refusal: { readonly message: string } | undefined }[],
): string | undefined {
  return replies.find(({ refusal }) => refusal !== undefined)?.refusal?.message;
}
