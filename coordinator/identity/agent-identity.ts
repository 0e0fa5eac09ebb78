import type { NodeId, TokenId } from '../../shared/ids.ts';

/** Who the holder of an agent's certificate is. */
export type AgentIdentity =
  | { readonly kind: 'node'; readonly id: NodeId }
  /** A proxy agent is whoever its token says. */
  | { readonly kind: 'proxy'; readonly id: TokenId };

/** What stands in the certificate of an agent: `fairlead://INSTALLATION/node/ID`. */
export function agentUri(installationId: string, { kind, id }: AgentIdentity): string {
  return `fairlead://${installationId}/${kind}/${id}`;
}

/** Reads it back; null: it is of another installation, or none of ours. */
export function parseAgentUri(installationId: string, uri: string): AgentIdentity | null {
  const match = /^fairlead:\/\/([0-9a-f]+)\/(node|proxy)\/([0-9a-f]+)$/.exec(uri);
  const [, installation, kind, id] = match ?? [];
  if (id === undefined || installation !== installationId) return null;
  return kind === 'node'
    ? { kind: 'node', id: id as NodeId }
    : { kind: 'proxy', id: id as TokenId };
}
