import type { TokenId } from '../../shared/ids.ts';
import { joinLine } from '../../shared/join-line.ts';
import type { Random } from '../../shared/random.ts';
import type { ApiAddresses } from '../orchestrator/container-environment.ts';
import type { Store } from '../store/store.ts';
import { hashSecret, type TokenIssuer } from './tokens.ts';

/** Enough for a first fleet; whoever sees the line can join no more. */
const maxHosts = 20;
const lifeMs = 3_600_000;
const tokenName = 'first-hosts';

export interface InvitationDeps {
  readonly store: Store;
  readonly random: Random;
  readonly tokens: TokenIssuer;
  readonly api: Pick<ApiAddresses, 'grpcAddress' | 'httpUrl'>;
  /** Null: no install script is served. */
  readonly scriptSha256: string | null;
}

/**
 * What to tell the person who starts a coordinator that has no node yet: the line that makes a host one. Its
 * token is good for 20 hosts within an hour, and takes the place of that of an earlier start. Null: there are
 * nodes, or nothing to install.
 */
export function firstInvitation(deps: InvitationDeps): string | null {
  const { store, api, scriptSha256 } = deps;
  if (store.nodes.size > 0 || scriptSha256 === null) return null;
  const token = makeToken(deps);
  const line = joinLine({
    ...{ httpUrl: api.httpUrl, agentAddress: api.grpcAddress, scriptSha256, token },
    options: [],
  });
  const lines = [
    `There is no node yet. Paste this line into a root shell on each host that shall be one; it works for an`,
    `hour and up to ${maxHosts} hosts, and "fairlead node invite" makes others:`,
    '',
    line,
    '',
  ];
  if (isLoopback(api.grpcAddress)) {
    lines.push(
      'It works on this host alone, because the coordinator listens on loopback: for others start it with',
      '--listen 0.0.0.0:7600 --http-listen 0.0.0.0:7601 --advertise ADDRESS:7600.',
      '',
    );
  }
  return lines.join('\n');
}

function makeToken({ store, random, tokens }: InvitationDeps): string {
  const id = random.id().slice(0, 16) as TokenId;
  const secret = random.secret();
  store.transact((tx) => {
    const before = store.tokenNamed(tokenName);
    if (before !== undefined) tx.tokens.delete(before.id);
    tx.tokens.put({
      ...{ id, name: tokenName, role: 'node', serviceIds: [], clusterIds: [], tags: [] },
      ...{
        clusterId: null,
        maxUses: maxHosts,
        uses: 0,
        hash: hashSecret(secret),
        containerId: null,
      },
      ...{ createdAtMs: tx.nowMs, expiresAtMs: tx.nowMs + lifeMs },
    });
    tx.event({
      ...{ type: 'token.created', objectId: id, objectName: tokenName, actionId: '' },
      message: 'for the line that was shown where the coordinator was started',
    });
  });
  return tokens.format(id, secret);
}

function isLoopback(address: string): boolean {
  return /^(127\.|localhost:|\[::1\])/.test(address);
}
