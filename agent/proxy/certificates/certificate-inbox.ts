import type {
  CertificateContent,
  CertificateList,
  CertificateRef,
} from '../../../shared/gen/fairlead/v1/proxy_service.ts';
import type { ServedCertificate } from './served-certificate.ts';

/** Puts lists of certificates together with their contents, which come before them in a session. */
export class CertificateInbox {
  readonly #contents = new Map<string, ServedCertificate>();

  /** Keeps a content for the lists that name it. */
  take({ ref, chainPem, privateKeyPem }: CertificateContent): void {
    if (ref === undefined) return;
    this.#contents.set(keyOf(ref), { ...ref, pem: chainPem + privateKeyPem });
  }

  /** All that a list names; undefined if one was never sent. What it does not name is forgotten. */
  listed({ certificates }: CertificateList): ServedCertificate[] | undefined {
    const found = certificates.map((ref) => this.#contents.get(keyOf(ref)));
    const known = found.filter((each) => each !== undefined);
    if (known.length < found.length) return undefined;
    this.#contents.clear();
    for (const each of known) this.#contents.set(keyOf(each), each);
    return known;
  }
}

function keyOf({ id, digest }: CertificateRef): string {
  return `${id} ${digest}`;
}
