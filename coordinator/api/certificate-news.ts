import { createHash } from 'node:crypto';
import type { Clock } from '../../shared/clock.ts';
import type {
  CertificateRef,
  ProxySessionResponse,
} from '../../shared/gen/fairlead/v1/proxy_service.ts';
import type { ServiceId } from '../../shared/ids.ts';
import type { ServedHosts } from '../certificates/handout.ts';
import { handout } from '../certificates/handout.ts';
import type { SealingKey } from '../certificates/sealing-key.ts';
import type { Certificate } from '../tls-model.ts';
import type { Store } from '../store/store.ts';
import type { SessionLine } from './session.ts';

type Message = NonNullable<ProxySessionResponse['message']>;

export interface CertificateNewsDeps {
  readonly store: Store;
  readonly sealing: Pick<SealingKey, 'unseal'>;
  readonly clock: Clock;
}

/** The proxy that is told. */
export interface CertificateListener {
  readonly line: Pick<SessionLine, 'wake'>;
  /** Its load balancer service. */
  readonly service: ServiceId;
  /** What its ports for TLS answer for now; null: it has none; undefined: that is not known yet. */
  readonly hosts: () => ServedHosts | null | undefined;
}

/**
 * Tells one proxy which certificates to show, and again whenever that has changed: first what it does not have
 * yet, then the list. Only those that it serves, and only while it does.
 */
export class CertificateNews implements Disposable {
  readonly #deps: CertificateNewsDeps;
  readonly #listener: CertificateListener;
  readonly #subscription: Disposable;
  #changed = true;
  #queue: Message[] = [];
  /** What it was sent in this session, and holds. */
  #sent = new Set<string>();
  #told: string | undefined;

  constructor(deps: CertificateNewsDeps, listener: CertificateListener) {
    this.#deps = deps;
    this.#listener = listener;
    this.#subscription = deps.store.subscribe((changes) => {
      if (!changes.some(({ table }) => table === 'certificates' || table === 'services')) return;
      this.#changed = true;
      listener.line.wake();
    });
  }

  /** The next thing to tell; null: it has been told everything. */
  next(): Message | null {
    const hosts = this.#changed ? this.#listener.hosts() : undefined;
    if (hosts !== undefined) {
      this.#changed = false;
      this.#renew(hosts);
    }
    const message = this.#queue.shift() ?? null;
    if (message?.$case === 'certificate' && message.value.ref !== undefined) {
      this.#sent.add(keyOf(message.value.ref));
    } else if (message?.$case === 'certificates') {
      // It forgets what is not in the list.
      this.#sent = new Set(message.value.certificates.map(keyOf));
    }
    return message;
  }

  [Symbol.dispose](): void {
    this.#subscription[Symbol.dispose]();
  }

  #renew(hosts: ServedHosts | null): void {
    const { store, clock } = this.#deps;
    const user = { id: this.#listener.service, hosts: hosts ?? [] };
    const handed = hosts === null ? [] : handout(user, store.certificates.values(), clock.now());
    const certificates = handed.map(refOf);
    const list = certificates.map(keyOf).join('\n');
    if (list === this.#told) return;
    this.#told = list;
    const fresh = handed.filter((each) => !this.#sent.has(keyOf(refOf(each))));
    this.#queue = [
      ...fresh.map((each) => this.#contentOf(each)),
      { $case: 'certificates', value: { certificates } },
    ];
  }

  #contentOf(certificate: Certificate): Message {
    const { id, chainPem, sealedKey } = certificate;
    const privateKeyPem = this.#deps.sealing.unseal({ id, text: sealedKey });
    return {
      $case: 'certificate',
      value: { ref: refOf(certificate), chainPem, privateKeyPem },
    };
  }
}

/** What a content of a certificate is called: the key belongs to the first of the chain. */
export function refOf({ id, chainPem }: Pick<Certificate, 'id' | 'chainPem'>): CertificateRef {
  return { id, digest: createHash('sha256').update(chainPem).digest('hex') };
}

function keyOf({ id, digest }: CertificateRef): string {
  return `${id} ${digest}`;
}
