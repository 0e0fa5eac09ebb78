import { X509Certificate } from 'node:crypto';
import type { FieldViolation } from '../../shared/errors.ts';
import {
  ClientCertificates,
  TlsPolicy,
  type TlsSettings as ProtoTlsSettings,
} from '../../shared/gen/fairlead/v1/tls.ts';
import { isCutShort, kindOf, pemBlocks, type PemBlock } from '../certificates/pem.ts';
import type { Port, ServiceSpec } from '../model.ts';
import type { FrontendTls, TlsSettings } from '../tls-model.ts';
import { numberOf, wordOf, type EnumWords } from './enum-words.ts';
import { quote, validateCount, validateText, validateUnique } from './validate.ts';

const maxPorts = 100;
const maxAuthorities = 20;
const maxAuthorityBytes = 100_000;

const policies: EnumWords<TlsPolicy, FrontendTls['policy']> = [
  [TlsPolicy.INTERMEDIATE, 'intermediate'],
  [TlsPolicy.MODERN, 'modern'],
];
const clientCertificates: EnumWords<ClientCertificates, FrontendTls['clientCertificates']> = [
  [ClientCertificates.NONE, 'none'],
  [ClientCertificates.OPTIONAL, 'optional'],
  [ClientCertificates.REQUIRED, 'required'],
];

/** How a load balancer speaks TLS with its clients. */
export function tlsFromProto(
  tls: ProtoTlsSettings | undefined,
  {
    field,
    ports,
    apiRole,
  }: Pick<ServiceSpec, 'apiRole'> & { field: string; ports: readonly Port[] },
  into: FieldViolation[],
): TlsSettings {
  if (tls !== undefined && apiRole !== 'proxy') {
    into.push({ field, rule: 'must only be set with the role PROXY' });
  }
  const asked = wordOf(clientCertificates, tls?.clientCertificates ?? 0);
  return {
    ports: portsFromProto(tls?.ports ?? [], { field: `${field}.ports`, ports }, into),
    policy: wordOf(policies, tls?.policy ?? 0),
    clientCertificates: asked,
    clientCaPem: authoritiesFromProto(tls?.clientCaPem ?? '', { asked, field }, into),
  };
}

/** Undefined for what is no load balancer. */
export function tlsToProto({ apiRole, tls }: ServiceSpec): ProtoTlsSettings | undefined {
  if (apiRole !== 'proxy') return undefined;
  return { ...frontendTlsToProto(tls), ports: [...tls.ports] };
}

export function frontendTlsToProto({
  policy,
  clientCertificates: asked,
  clientCaPem,
}: FrontendTls) {
  return {
    policy: numberOf(policies, policy),
    clientCertificates: numberOf(clientCertificates, asked),
    clientCaPem,
  };
}

function portsFromProto(
  wanted: readonly number[],
  { field, ports }: { readonly field: string; readonly ports: readonly Port[] },
  into: FieldViolation[],
): readonly number[] {
  validateCount(wanted.length, { max: maxPorts, field }, into);
  validateUnique(wanted.map(String), { field, what: 'port' }, into);
  for (const [index, port] of wanted.entries()) {
    if (ports.some((each) => each.protocol === 'tcp' && each.containerPort === port)) continue;
    into.push({
      field: `${field}[${index}]`,
      rule: `must be a TCP port of the spec, and is ${port}`,
    });
  }
  return [...wanted];
}

function authoritiesFromProto(
  text: string,
  { asked, field: parent }: { asked: FrontendTls['clientCertificates']; field: string },
  into: FieldViolation[],
): string {
  const field = `${parent}.client_ca_pem`;
  if (asked === 'none') {
    if (text !== '') {
      into.push({ field, rule: 'must only be set where certificates of clients are asked for' });
    }
    return '';
  }
  const blocks = pemBlocks(text);
  validateCount(blocks.length, { max: maxAuthorities, field }, into);
  validateText(text, { maxBytes: maxAuthorityBytes, field, line: false }, into);
  if (blocks.length === 0)
    into.push({ field, rule: 'is required: certificates of authorities, PEM' });
  else if (isCutShort(text))
    into.push({ field, rule: 'must be whole: a block begins that does not end' });
  const authorities = blocks.slice(0, maxAuthorities).map(authorityOf);
  const names = new Set(authorities.map((each) => each?.subject));
  for (const [index, authority] of authorities.entries()) {
    if (authority === undefined) {
      const rule = `must be certificates of authorities: number ${index + 1} is none`;
      into.push({ field, rule });
    } else if (!names.has(authority.issuer)) {
      const rule = `must have the authorities above each of them too, up to the root, or no client is let in: number ${index + 1} is issued by ${quote(nameOf(authority.issuer))}`;
      into.push({ field, rule });
    }
  }
  return blocks.map((block) => block.text).join('');
}

/** Undefined for what is no certificate of an authority. */
function authorityOf(block: PemBlock): X509Certificate | undefined {
  if (kindOf(block) !== 'certificate') return undefined;
  try {
    const certificate = new X509Certificate(block.text);
    return certificate.ca ? certificate : undefined;
  } catch {
    return undefined;
  }
}

/** A distinguished name in one line. */
function nameOf(distinguished: string): string {
  return distinguished.replaceAll('\n', ', ');
}
