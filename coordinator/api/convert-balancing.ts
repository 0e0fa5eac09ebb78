import type { FieldViolation } from '../../shared/errors.ts';
import {
  BalanceAlgorithm,
  Balancing as ProtoBalancing,
  type Forwarding as ProtoForwarding,
} from '../../shared/gen/fairlead/v1/route.ts';
import type { Balancing, Forwarding } from '../../shared/routing.ts';
import type { Port } from '../model.ts';
import { networksFromProto, pageFromProto, validatePause } from './convert-policies.ts';
import { numberOf, wordOf, type EnumWords } from './enum-words.ts';
import { quote, validateCount, validateName, validateUnique } from './validate.ts';

const algorithms: EnumWords<BalanceAlgorithm, Balancing['algorithm']> = [
  [BalanceAlgorithm.ROUND_ROBIN, 'round-robin'],
  [BalanceAlgorithm.LEAST_CONNECTIONS, 'least-connections'],
  [BalanceAlgorithm.RANDOM, 'random'],
  [BalanceAlgorithm.SOURCE, 'source'],
  [BalanceAlgorithm.URI, 'uri'],
];

/** How requests are spread; without a message in turn. */
export function balancingFromProto(
  balancing: ProtoBalancing | undefined,
  { field, ports }: { readonly field: string; readonly ports: readonly Port[] },
  into: FieldViolation[],
): Balancing {
  const given = balancing ?? ProtoBalancing.create();
  const { algorithm, stickyCookie, compress, sendProxy, backups, pauseMs, http2Ports } = given;
  validateOwnPorts(http2Ports, { field: `${field}.http2_ports`, ports }, into);
  if (stickyCookie !== '' && !/^[A-Za-z0-9_-]{1,50}$/.test(stickyCookie)) {
    const rule = `must be at most 50 letters, digits, "_" and "-", and is ${quote(stickyCookie)}`;
    into.push({ field: `${field}.sticky_cookie`, rule });
  }
  validatePause(pauseMs, `${field}.pause_ms`, into);
  validateCount(backups.length, { max: 10, field: `${field}.backups` }, into);
  validateUnique(backups, { field: `${field}.backups`, what: 'service' }, into);
  for (const [index, name] of backups.entries()) {
    validateName(name, `${field}.backups[${index}]`, into);
  }
  return {
    ...{ stickyCookie, compress, sendProxy, pauseMs },
    algorithm: wordOf(algorithms, algorithm),
    backups: [...backups],
    http2Ports: [...http2Ports],
    unavailable: pageFromProto(given.unavailable, `${field}.unavailable`, into),
  };
}

/** Ports that a setting names, each once and of the service. */
function validateOwnPorts(
  named: readonly number[],
  { field, ports }: { readonly field: string; readonly ports: readonly Port[] },
  into: FieldViolation[],
): void {
  validateCount(named.length, { max: 100, field }, into);
  validateUnique(named.map(String), { field, what: 'port' }, into);
  const own = ports.filter(({ protocol }) => protocol === 'tcp').map((port) => port.containerPort);
  for (const [index, port] of named.entries()) {
    if (own.includes(port)) continue;
    const rule = `must be a TCP port that the service declares, and is ${port}`;
    into.push({ field: `${field}[${index}]`, rule });
  }
}

/** The message of how requests are spread. */
export function balancingToProto(balancing: Balancing): ProtoBalancing {
  return {
    ...balancing,
    algorithm: numberOf(algorithms, balancing.algorithm),
    backups: [...balancing.backups],
    http2Ports: [...balancing.http2Ports],
    unavailable: balancing.unavailable ?? undefined,
  };
}

/** Whom a load balancer believes; without a message nobody. */
export function forwardingFromProto(
  forwarding: ProtoForwarding | undefined,
  {
    field,
    ports,
    isLoadBalancer,
  }: { readonly field: string; readonly ports: readonly Port[]; readonly isLoadBalancer: boolean },
  into: FieldViolation[],
): Forwarding {
  const { trustedUpstreams = [], proxyProtocolPorts = [] } = forwarding ?? {};
  if (!isLoadBalancer && trustedUpstreams.length + proxyProtocolPorts.length > 0) {
    into.push({ field, rule: 'must only be set with the role PROXY' });
  }
  const proxied = `${field}.proxy_protocol_ports`;
  validateOwnPorts(proxyProtocolPorts, { field: proxied, ports }, into);
  return {
    trustedUpstreams: networksFromProto(trustedUpstreams, `${field}.trusted_upstreams`, into),
    proxyProtocolPorts: [...proxyProtocolPorts],
  };
}

/** The message of whom a load balancer believes. */
export function forwardingToProto({
  trustedUpstreams,
  proxyProtocolPorts,
}: Forwarding): ProtoForwarding {
  return {
    trustedUpstreams: [...trustedUpstreams],
    proxyProtocolPorts: [...proxyProtocolPorts],
  };
}
