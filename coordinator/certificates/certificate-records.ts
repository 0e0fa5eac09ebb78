import type { ServiceId } from '../../shared/ids.ts';
import type { Certificate } from '../tls-model.ts';
import type { UsableCertificate } from './examine.ts';
import type { Sealer } from './sealing-key.ts';

/** What a record is made from. */
export interface CertificateContent {
  readonly usable: UsableCertificate;
  readonly source: Certificate['source'];
  readonly serviceIds: readonly ServiceId[];
}

/** A new record, or what an older one becomes: under the same id, so that its place in proxies is the same. */
export function certificateRecord(
  named: Pick<Certificate, 'id' | 'name'> | Certificate,
  { usable, source, serviceIds }: CertificateContent,
  { sealing, nowMs }: { readonly sealing: Sealer; readonly nowMs: number },
): Certificate {
  const { id, name } = named;
  const before = 'version' in named ? named : undefined;
  return {
    id,
    name,
    source,
    serviceIds,
    chainPem: usable.chainPem,
    sealedKey: sealing.seal({ id, text: usable.privateKeyPem }),
    facts: usable.facts,
    toldDays: null,
    version: (before?.version ?? 0) + 1,
    createdAtMs: before?.createdAtMs ?? nowMs,
    updatedAtMs: nowMs,
  };
}

/** Everything that is sealed, for `SealingKey.open`. */
export function* sealedKeys(certificates: Iterable<Certificate>) {
  for (const { id, sealedKey } of certificates) {
    yield { id, text: sealedKey };
  }
}
