import type { NodeId } from '../../shared/ids.ts';
import type { CertificateSigners } from '../api/peer.ts';
import type { Node } from '../model.ts';
import type { ReadonlyTable } from '../store/table.ts';
import { parseAgentUri } from './agent-identity.ts';
import type { Authority } from './authority.ts';

export interface CertificateSignersDeps {
  readonly store: { readonly nodes: Pick<ReadonlyTable<NodeId, Node>, 'get'> };
  readonly authority: Pick<Authority, 'signerOf' | 'knows'>;
  readonly installationId: string;
}

/**
 * Says who signed the certificates of agents. What was found out of a node's is kept with the node: the fingerprint
 * tells one from every other, also after a restart.
 */
export function certificateSigners({
  store,
  authority,
  installationId,
}: CertificateSignersDeps): CertificateSigners {
  return {
    signerOf: (certificate) => authority.signerOf(certificate),
    remembered: (uri, fingerprint) => {
      const identity = parseAgentUri(installationId, uri);
      if (identity?.kind !== 'node') return null;
      const shown = store.nodes.get(identity.id)?.certificate;
      if (shown?.fingerprint !== fingerprint) return null;
      return authority.knows(shown.authority) ? shown.authority : null;
    },
  };
}
