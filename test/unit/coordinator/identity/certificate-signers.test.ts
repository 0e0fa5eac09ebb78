import { expect, test } from 'vitest';
import { certificateSigners } from '../../../../coordinator/identity/certificate-signers.ts';
import { agentUri } from '../../../../coordinator/identity/agent-identity.ts';
import type { NodeId, TokenId } from '../../../../shared/ids.ts';
import { aNode } from '../../../support/builders.ts';

const installationId = '0a'.repeat(16);
const id = '0b'.repeat(16) as NodeId;
const uri = agentUri(installationId, { kind: 'node', id });
const fingerprint = 'AA:BB';

/** Signers that know one node, which showed a certificate of an authority of which they know `known`. */
function knowing(certificate: { authority: string; untilMs: number; fingerprint?: string } | null) {
  const node = aNode({ id, certificate });
  return certificateSigners({
    installationId,
    store: { nodes: new Map([[id, node]]) },
    authority: { signerOf: () => null, knows: (pin) => pin === 'known' },
  });
}

const shown = { authority: 'known', untilMs: 1, fingerprint };

test('who signed the certificate that a node showed last is remembered', () => {
  expect(knowing(shown).remembered(uri, fingerprint)).toBe('known');
});

test.each([
  ['another certificate', shown, uri, 'AA:BC'],
  [
    'one that says another node',
    shown,
    agentUri(installationId, { kind: 'node', id: 'cc' as NodeId }),
    fingerprint,
  ],
  [
    'one that says a proxy',
    shown,
    agentUri(installationId, { kind: 'proxy', id: id as string as TokenId }),
    fingerprint,
  ],
  ['one of another installation', shown, agentUri('0c', { kind: 'node', id }), fingerprint],
  ['one that says nothing of ours', shown, 'spiffe://elsewhere', fingerprint],
  ['one that was not looked at', { authority: 'known', untilMs: 1 }, uri, fingerprint],
  ['the first of a node', null, uri, fingerprint],
  ['one whose authority is forgotten', { ...shown, authority: 'forgotten' }, uri, fingerprint],
])('%s is examined', (_what, certificate, says, print) => {
  expect(knowing(certificate).remembered(says, print)).toBeNull();
});
