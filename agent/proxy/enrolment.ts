import { createClient, type Channel } from 'nice-grpc';
import { ChildController } from '../../shared/abort.ts';
import type { Clock } from '../../shared/clock.ts';
import type { IssuedCertificate, TrustBundle } from '../../shared/gen/fairlead/v1/certificate.ts';
import { ProxyServiceDefinition } from '../../shared/gen/fairlead/v1/proxy_service.ts';
import type { Logger } from '../../shared/logger.ts';
import type { Random } from '../../shared/random.ts';
import { authorizedClients, openChannel, type Coordinator } from '../../shared/rpc/client.ts';
import { identityFrom, IdentityKeeper, type Identity } from '../../shared/rpc/identity-keeper.ts';
import { makePrivateKey, signingRequest } from '../../shared/rpc/signing-request.ts';
import { trustOf, type Trust } from '../../shared/rpc/trust.ts';
import { Wakeup } from '../../shared/wakeup.ts';
import type { TrustFile } from './trust-file.ts';

const dialTimeoutMs = 5_000;
const answerTimeoutMs = 10_000;

export interface EnrolmentDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly trustFile: TrustFile;
}

export interface EnrolmentOptions {
  readonly coordinator: string;
  readonly token: string;
}

interface Answer {
  readonly certificate: IssuedCertificate | undefined;
}

/**
 * The certificate of a proxy agent: got with its token once a run, renewed without it, got anew when the
 * coordinator refuses it. Key and certificate are in memory alone.
 */
export class Enrolment {
  /** Told that there is another identity to open a session with. */
  onRenewed: () => void = () => undefined;
  readonly #deps: EnrolmentDeps;
  readonly #options: EnrolmentOptions;
  readonly #changed = new Wakeup();
  #keeper: IdentityKeeper | undefined;
  #life: ChildController | undefined;

  constructor(deps: EnrolmentDeps, options: EnrolmentOptions) {
    this.#deps = deps;
    this.#options = options;
  }

  /** What to open a session with; asks for it if there is none. */
  async identity(signal: AbortSignal): Promise<Identity> {
    this.#keeper ??= this.#keeperOf(await this.#enrol(signal));
    this.#changed.notify();
    return this.#keeper.current;
  }

  /** A session with this identity stands. */
  accepted(identity: Identity): void {
    this.#keeper?.accepted(identity);
  }

  /** The coordinator refused this identity: the token decides what comes next. */
  refused(): void {
    this.#keeper = undefined;
    this.#life?.abort();
  }

  /** Whom to trust from now on. */
  trust(bundle: TrustBundle): void {
    this.#keeper?.trust(bundle);
  }

  /** Renews the certificate until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      using life = new ChildController(signal);
      this.#life = life;
      if (this.#keeper === undefined) await this.#changed.wait(life.signal);
      else await this.#keeper.run(life.signal);
    }
  }

  #keeperOf(identity: Identity): IdentityKeeper {
    const { clock, random, log, trustFile } = this.#deps;
    const { pin } = trustOf(this.#options.token);
    return new IdentityKeeper(
      {
        ...{ clock, random, log },
        ask: (current, request, signal) => this.#renew(current, request, signal),
        keep: ({ trustPem }) => trustFile.write({ pin, trustPem }),
        onRenewed: () => {
          this.onRenewed();
        },
      },
      identity,
    );
  }

  async #enrol(signal: AbortSignal): Promise<Identity> {
    const { token } = this.#options;
    const privateKeyPem = makePrivateKey();
    const request = { signingRequestPem: signingRequest(privateKeyPem) };
    const trust = await this.#trust();
    const issued = await this.#call({ trust }, signal, async (channel, until) => {
      const client = authorizedClients(token).create(ProxyServiceDefinition, channel);
      return await client.enrol(request, { signal: until });
    });
    this.#deps.log.info('enrolled');
    return identityFrom(issued, privateKeyPem, this.#deps);
  }

  async #renew(
    certificate: Identity,
    signingRequestPem: string,
    signal: AbortSignal,
  ): Promise<IssuedCertificate> {
    const trust = { kind: 'bundle', pem: certificate.trustPem } as const;
    return await this.#call({ trust, certificate }, signal, async (channel, until) => {
      const client = createClient(ProxyServiceDefinition, channel);
      return await client.renewProxyCertificate({ signingRequestPem }, { signal: until });
    });
  }

  /** What an earlier run learned of this coordinator, else what the token says. */
  async #trust(): Promise<Trust> {
    const { token } = this.#options;
    const byPin = trustOf(token);
    const known = await this.#deps.trustFile.read();
    return known !== undefined && known.pin === byPin.pin
      ? { kind: 'bundle', pem: known.trustPem }
      : byPin;
  }

  async #call(
    how: Omit<Coordinator, 'address'>,
    signal: AbortSignal,
    ask: (channel: Channel, signal: AbortSignal) => Promise<Answer>,
  ): Promise<IssuedCertificate> {
    const { clock } = this.#deps;
    using limit = new ChildController(signal);
    void clock.sleep(dialTimeoutMs + answerTimeoutMs, limit.signal).then(() => {
      limit.abort();
    });
    const coordinator = { address: this.#options.coordinator, ...how };
    const channel = await openChannel(
      coordinator,
      { clock, timeoutMs: dialTimeoutMs },
      limit.signal,
    );
    try {
      const { certificate } = await ask(channel, limit.signal);
      if (certificate === undefined) {
        throw new Error('the coordinator answered without a certificate');
      }
      return certificate;
    } finally {
      channel.close();
    }
  }
}
