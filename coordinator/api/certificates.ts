import type {
  GetCertificateRequest,
  PutCertificateRequest,
  RemoveCertificateRequest,
} from '../../shared/gen/fairlead/v1/control_service.ts';
import type { Clock } from '../../shared/clock.ts';
import { DomainError, type FieldViolation } from '../../shared/errors.ts';
import type { CertificateId, ServiceId } from '../../shared/ids.ts';
import type { Random } from '../../shared/random.ts';
import { certificateRecord } from '../certificates/certificate-records.ts';
import { certificateNameRule } from '../certificates/certificate-names.ts';
import { examineCertificate } from '../certificates/examine.ts';
import type { Sealer } from '../certificates/sealing-key.ts';
import type { Action } from '../model.ts';
import type { Certificate } from '../tls-model.ts';
import type { Store } from '../store/store.ts';
import { reachesCertificate, requireCertificateScope } from './authorization.ts';
import type { Call } from './call.ts';
import { actionToProto } from './convert.ts';
import { optionsFromProto, type Options } from './convert-requests.ts';
import type { Lookup } from './lookup.ts';
import { requireVersion, type Mutations } from './mutations.ts';
import type { Presenter } from './present.ts';
import { throwIfInvalid, validateCount } from './validate.ts';

const maxServices = 100;

export interface CertificateApiDeps {
  readonly store: Store;
  readonly lookup: Lookup;
  readonly mutations: Mutations;
  readonly presenter: Presenter;
  readonly sealing: Sealer;
  /** Whether the watched folder has a certificate of that name. */
  readonly inFolder: (name: string) => boolean;
  readonly random: Random;
  readonly clock: Clock;
}

/** The API's methods on certificates of load balancers. A private key goes in, and never out. */
export class CertificateApi {
  readonly #deps: CertificateApiDeps;

  constructor(deps: CertificateApiDeps) {
    this.#deps = deps;
  }

  getCertificate({ certificate: nameOrId }: GetCertificateRequest, call: Call) {
    const certificate = this.#deps.lookup.certificate(nameOrId);
    if (!reachesCertificate(call, certificate)) requireCertificateScope(call, certificate);
    return { certificate: this.#present(certificate), chainPem: certificate.chainPem };
  }

  putCertificate(request: PutCertificateRequest, call: Call) {
    const { store, lookup, mutations, random, clock, sealing } = this.#deps;
    const { name } = request;
    const serviceIds = request.services.map((service) => lookup.service(call, service).id);
    requireCertificateScope(call, { serviceIds });
    const violations: FieldViolation[] = [];
    const options = optionsFromProto(request.options, violations);
    const nameRule = certificateNameRule(name);
    if (nameRule !== undefined) violations.push({ field: 'name', rule: nameRule });
    validateCount(serviceIds.length, { max: maxServices, field: 'services' }, violations);
    const nowMs = clock.now();
    const usable = examineCertificate(request, nowMs, violations);
    throwIfInvalid(violations);
    if (usable === undefined) throw new Error('what is not usable breaks a rule');
    const replayed = mutations.replayed('PutCertificate', call, options);
    if (replayed !== undefined) return this.#replay(replayed);
    const before = store.certificateNamed(name);
    this.#requireUnchanged(call, before, { name, options });
    requireLoadBalancers(store, serviceIds);
    const named = before ?? { id: random.id() as CertificateId, name };
    const content = { usable, source: 'caller', serviceIds } as const;
    const after = certificateRecord(named, content, { sealing, nowMs });
    const shown = this.#present(after);
    if (options.dryRun) return { certificate: shown, action: undefined, plan: { steps: [] } };
    const event = before === undefined ? 'certificate.created' : 'certificate.replaced';
    const { action } = mutations.perform(
      call,
      options,
      { method: 'PutCertificate', target: targetOf(after), serviceId: null, event },
      (tx) => {
        tx.certificates.put(after);
      },
    );
    return { certificate: shown, action: actionToProto(action), plan: undefined };
  }

  removeCertificate(request: RemoveCertificateRequest, call: Call) {
    const { lookup, mutations } = this.#deps;
    const violations: FieldViolation[] = [];
    const options = optionsFromProto(request.options, violations);
    throwIfInvalid(violations);
    const replayed = mutations.replayed('RemoveCertificate', call, options);
    if (replayed !== undefined) return this.#replay(replayed);
    const certificate = lookup.certificate(request.certificate);
    this.#requireUnchanged(call, certificate, { name: certificate.name, options });
    const shown = this.#present(certificate);
    if (options.dryRun) return { certificate: shown, action: undefined, plan: { steps: [] } };
    const { action } = mutations.perform(
      call,
      options,
      {
        method: 'RemoveCertificate',
        target: targetOf(certificate),
        serviceId: null,
        event: 'certificate.removed',
      },
      (tx) => {
        tx.certificates.delete(certificate.id);
      },
    );
    return { certificate: shown, action: actionToProto(action), plan: undefined };
  }

  /** Throws if the caller may not change what is there, or somebody else has since. */
  #requireUnchanged(
    call: Call,
    before: Certificate | undefined,
    { name, options }: { readonly name: string; readonly options: Options },
  ): void {
    if (before !== undefined) requireCertificateScope(call, before);
    requireVersion(options, before ?? { name, version: 0 });
    if (!this.#deps.inFolder(name)) return;
    throw new DomainError(
      'precondition',
      `the certificate ${name} is in the folder that the coordinator watches: change its files there`,
      { reason: 'CERTIFICATE_IN_FOLDER' },
    );
  }

  #present(certificate: Certificate) {
    return this.#deps.presenter.certificate(certificate, this.#deps.clock.now());
  }

  #replay(action: Action) {
    const certificate = this.#deps.store.certificates.get(action.targetId as CertificateId);
    return {
      certificate: certificate === undefined ? undefined : this.#present(certificate),
      action: actionToProto(action),
      plan: undefined,
    };
  }
}

function targetOf({ id, name }: Certificate) {
  return { kind: 'certificate', id, name } as const;
}

function requireLoadBalancers(store: Store, serviceIds: readonly ServiceId[]): void {
  for (const id of serviceIds) {
    const service = store.services.get(id);
    if (service === undefined || service.spec.apiRole === 'proxy') continue;
    throw new DomainError(
      'precondition',
      `${service.name} is no load balancer: give it the API role PROXY, or leave it out`,
      { reason: 'SERVICE_NOT_A_LOAD_BALANCER' },
    );
  }
}
