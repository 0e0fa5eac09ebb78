import { pino } from 'pino';
import { BackendList } from '../../../../agent/proxy/backend-list.ts';
import type { ServedCertificate } from '../../../../agent/proxy/certificates/served-certificate.ts';
import { Enrolment } from '../../../../agent/proxy/enrolment.ts';
import { Outbox } from '../../../../agent/proxy/outbox.ts';
import { ProxySession } from '../../../../agent/proxy/session.ts';
import { TrustFile } from '../../../../agent/proxy/trust-file.ts';
import { systemClock } from '../../../../shared/clock.ts';
import { systemRandom } from '../../../../shared/random.ts';

export interface SessionFlags {
  readonly coordinator: string;
  readonly token: string;
  /** Where it keeps whom to trust. */
  readonly trustFile: string;
  /** Its load balancer service; `lb` if left out. */
  readonly service?: string;
}

/** The sessions of a proxy `lb-1` of the service `lb`, whose list is kept and given to no HAProxy. */
export class SessionInProcess implements AsyncDisposable {
  readonly list = new BackendList();
  /** The certificates that it was handed last, by id. */
  certificates: ReadonlyMap<string, ServedCertificate> = new Map();
  readonly outbox = new Outbox(systemClock);
  /** Whether programs of its host wait for processors. */
  readonly pressure = { isHigh: false };
  readonly log: string[] = [];
  readonly #stop = new AbortController();
  readonly #running: Promise<unknown>;

  constructor({ coordinator, token, trustFile, service = 'lb' }: SessionFlags) {
    const log = pino({ level: 'debug' }, { write: (line: string) => this.log.push(line) });
    const deps = { clock: systemClock, random: systemRandom, log };
    const enrolment = new Enrolment(
      { ...deps, trustFile: new TrustFile(trustFile, log) },
      { coordinator, token },
    );
    const session = new ProxySession(
      {
        ...deps,
        enrolment,
        ...{ outbox: this.outbox, pressure: this.pressure },
        greeting: () => ({
          proxyId: 'p',
          name: 'lb-1',
          service,
          status: this.outbox.status,
          applied: this.outbox.applied,
        }),
        onSnapshot: (snapshot) => this.list.replace(snapshot),
        onDelta: (delta) => this.list.apply(delta) !== 'gap',
        onCertificates: (all) => {
          this.certificates = new Map(all.map((each) => [each.id, each]));
        },
      },
      { coordinator },
    );
    const { signal } = this.#stop;
    this.#running = Promise.all([session.run(signal), enrolment.run(signal)]);
  }

  /** What it logged with this message, oldest first. */
  logged(message: string): Record<string, unknown>[] {
    return this.log
      .map((line) => JSON.parse(line) as Record<string, unknown>)
      .filter(({ msg }) => msg === message);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }
}
