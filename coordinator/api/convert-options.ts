import type {
  ContainerOptions,
  Device,
  ExtraHost,
  LogConfig,
  ResourceLimits,
  Ulimit,
} from '../../shared/container-options.ts';
import type { FieldViolation } from '../../shared/errors.ts';
import {
  NetworkMode,
  PidMode,
  ContainerOptions as ProtoOptions,
  LogConfig as ProtoLog,
  ResourceLimits as ProtoLimits,
  type Device as ProtoDevice,
  type Ulimit as ProtoUlimit,
} from '../../shared/gen/fairlead/v1/container_options.ts';
import { numberOf, wordOf, type EnumWords } from './enum-words.ts';
import {
  capabilityRule,
  cpusRule,
  deviceRule,
  dnsNameRule,
  dnsOptionRule,
  groupRule,
  hostAddressRule,
  hostnameRule,
  ipAddressRule,
  logDriverRule,
  logOptionRule,
  macAddressRule,
  nameRule,
  pathRule,
  securityRule,
  signalRule,
  sliceRule,
  ulimitRange,
  ulimitRule,
  userRule,
} from './option-rules.ts';
import { quote, validateCount, validateRange, validateText, validateUnique } from './validate.ts';

const mebibyte = 1024 ** 2;
const pebibyte = 1024 ** 5;

const networks: EnumWords<NetworkMode, ContainerOptions['network']> = [
  [NetworkMode.BRIDGE, 'bridge'],
  [NetworkMode.HOST, 'host'],
];
const pids: EnumWords<PidMode, ContainerOptions['pid']> = [
  [PidMode.PRIVATE, 'private'],
  [PidMode.HOST, 'host'],
];

/** Collects what is wrong with the options of one spec. */
class Check {
  readonly #field: string;
  readonly #into: FieldViolation[];

  constructor(field: string, into: FieldViolation[]) {
    this.#field = field;
    this.#into = into;
  }

  /** A text that may be left empty. */
  text(value: string, name: string, rule: (value: string) => string | undefined): string {
    if (value !== '') this.#push(name, value, rule);
    return value;
  }

  texts(
    values: readonly string[],
    { name, what, max }: { readonly name: string; readonly what: string; readonly max: number },
    rule: (value: string) => string | undefined,
  ): readonly string[] {
    const field = `${this.#field}.${name}`;
    validateCount(values.length, { max, field }, this.#into);
    validateUnique(values, { field, what }, this.#into);
    for (const [index, value] of values.entries()) this.#push(`${name}[${index}]`, value, rule);
    return [...values];
  }

  /** A whole number within bounds, or 0. */
  number(value: number, name: string, [min, max]: readonly [number, number]): number {
    if (value !== 0)
      validateRange(value, { min, max, field: `${this.#field}.${name}` }, this.#into);
    return value;
  }

  #push(name: string, value: string, rule: (value: string) => string | undefined): void {
    const broken = rule(value);
    if (broken === undefined) return;
    this.#into.push({ field: `${this.#field}.${name}`, rule: `${broken}, and is ${quote(value)}` });
  }
}

/** How containers are run; what breaks a rule is collected. */
export function optionsFromProto(
  proto: ProtoOptions = ProtoOptions.create(),
  field: string,
  into: FieldViolation[],
): ContainerOptions {
  const check = new Check(field, into);
  const few = (name: string, what: string, max = 100) => ({ name, what, max });
  return {
    workingDir: check.text(proto.workingDir, 'working_dir', pathRule),
    user: check.text(proto.user, 'user', userRule),
    hostname: check.text(proto.hostname, 'hostname', hostnameRule),
    domainname: check.text(proto.domainname, 'domainname', (name) => nameRule(name, 64)),
    stopSignal: check.text(proto.stopSignal, 'stop_signal', signalRule),
    ...flagsOf(proto),
    groups: check.texts(proto.groups, few('groups', 'group'), groupRule),
    capAdd: check.texts(proto.capAdd, few('cap_add', 'capability'), capabilityRule),
    capDrop: check.texts(proto.capDrop, few('cap_drop', 'capability'), capabilityRule),
    securityOptions: check.texts(
      proto.securityOptions,
      few('security_options', 'option', 20),
      securityRule,
    ),
    devices: devicesFromProto(proto.devices, `${field}.devices`, into),
    ulimits: ulimitsFromProto(proto.ulimits, `${field}.ulimits`, into),
    network: wordOf(networks, proto.network),
    pid: wordOf(pids, proto.pid),
    dnsServers: check.texts(proto.dnsServers, few('dns_servers', 'server', 20), ipAddressRule),
    dnsSearch: check.texts(proto.dnsSearch, few('dns_search', 'domain', 20), dnsNameRule),
    dnsOptions: check.texts(proto.dnsOptions, few('dns_options', 'option', 20), dnsOptionRule),
    extraHosts: hostsFromProto(proto.extraHosts, `${field}.extra_hosts`, into),
    log: logFromProto(proto.log, `${field}.log`, into),
    limits: limitsFromProto(proto.limits, `${field}.limits`, into),
    cgroupParent: check.text(proto.cgroupParent, 'cgroup_parent', sliceRule),
    macAddress: check.text(proto.macAddress.toLowerCase(), 'mac_address', (value) =>
      proto.network === NetworkMode.HOST
        ? 'must not be set with the network HOST'
        : macAddressRule(value),
    ),
  };
}

type Flag = 'init' | 'readOnly' | 'tty' | 'stdinOpen' | 'privileged';

function flagsOf({
  init,
  readOnly,
  tty,
  stdinOpen,
  privileged,
}: Pick<ContainerOptions, Flag>): Pick<ContainerOptions, Flag> {
  return { init, readOnly, tty, stdinOpen, privileged };
}

function devicesFromProto(
  devices: readonly ProtoDevice[],
  field: string,
  into: FieldViolation[],
): readonly Device[] {
  validateCount(devices.length, { max: 100, field }, into);
  const converted = devices.map(({ hostPath, containerPath, permissions }, index) => {
    const check = new Check(`${field}[${index}]`, into);
    if (hostPath === '') into.push({ field: `${field}[${index}].host_path`, rule: 'is required' });
    return {
      hostPath: check.text(hostPath, 'host_path', pathRule),
      containerPath: check.text(containerPath, 'container_path', pathRule) || hostPath,
      permissions: check.text(permissions, 'permissions', deviceRule) || 'rwm',
    };
  });
  const paths = converted.map(({ containerPath }) => containerPath);
  validateUnique(paths, { field, what: 'container path' }, into);
  return converted;
}

function ulimitsFromProto(
  ulimits: readonly ProtoUlimit[],
  field: string,
  into: FieldViolation[],
): readonly Ulimit[] {
  const converted = ulimits.map(({ name, soft, hard = soft }, index) => {
    const at = `${field}[${index}]`;
    const rule = ulimitRule(name);
    if (rule !== undefined)
      into.push({ field: `${at}.name`, rule: `${rule}, and is ${quote(name)}` });
    const limit = ulimitRange(name);
    validateRange(soft, { ...limit, field: `${at}.soft` }, into);
    validateRange(hard, { ...limit, field: `${at}.hard` }, into);
    if (hard !== -1 && (soft === -1 || soft > hard)) {
      into.push({
        field: `${at}.soft`,
        rule: `must be at most the hard limit ${hard}, and is ${soft}`,
      });
    }
    return { name, soft, hard };
  });
  validateUnique(
    converted.map(({ name }) => name),
    { field, what: 'name' },
    into,
  );
  return converted;
}

function hostsFromProto(
  hosts: readonly ExtraHost[],
  field: string,
  into: FieldViolation[],
): readonly ExtraHost[] {
  validateCount(hosts.length, { max: 200, field }, into);
  return hosts.map(({ name, address }, index) => {
    for (const [part, value, rule] of [
      ['name', name, (text: string) => nameRule(text, 253)],
      ['address', address, hostAddressRule],
    ] as const) {
      const broken = value === '' ? 'is required' : rule(value);
      if (broken !== undefined) into.push({ field: `${field}[${index}].${part}`, rule: broken });
    }
    return { name, address };
  });
}

function logFromProto(
  { driver, options }: ProtoLog = ProtoLog.create(),
  field: string,
  into: FieldViolation[],
): LogConfig {
  const entries = Object.entries(options).sort(([a], [b]) => (a < b ? -1 : 1));
  validateCount(entries.length, { max: 50, field: `${field}.options` }, into);
  const wrong = logDriverRule(driver);
  if (wrong !== undefined) {
    into.push({ field: `${field}.driver`, rule: `${wrong}, and is ${quote(driver)}` });
  } else {
    for (const [name, value] of entries) {
      const at = `${field}.options[${quote(name)}]`;
      const rule = logOptionRule({ driver, options }, name);
      if (rule !== undefined) into.push({ field: at, rule });
      else validateText(value, { maxBytes: 1024, field: at, line: true }, into);
    }
  }
  return { driver, options: Object.fromEntries(entries) };
}

function limitsFromProto(
  proto: ProtoLimits = ProtoLimits.create(),
  field: string,
  into: FieldViolation[],
): ResourceLimits {
  const check = new Check(field, into);
  const { memoryBytes, memorySwapBytes } = proto;
  if (memorySwapBytes !== 0 && memorySwapBytes !== -1) {
    const at = `${field}.memory_swap_bytes`;
    if (memoryBytes === 0) into.push({ field: at, rule: 'must only be set with memory_bytes' });
    else validateRange(memorySwapBytes, { min: memoryBytes, max: pebibyte, field: at }, into);
  }
  return {
    cpuMillis: check.number(proto.cpuMillis, 'cpu_millis', [10, 10_000_000]),
    cpuShares: check.number(proto.cpuShares, 'cpu_shares', [2, 262_144]),
    cpus: check.text(proto.cpus, 'cpus', cpusRule),
    memoryBytes: check.number(memoryBytes, 'memory_bytes', [6 * mebibyte, pebibyte]),
    memorySwapBytes,
    shmBytes: check.number(proto.shmBytes, 'shm_bytes', [4096, pebibyte]),
  };
}

/** The message of the options, for callers and for agents. */
export function optionsToProto(options: ContainerOptions): ProtoOptions {
  const { network, pid, log, limits } = options;
  return {
    ...options,
    groups: [...options.groups],
    capAdd: [...options.capAdd],
    capDrop: [...options.capDrop],
    securityOptions: [...options.securityOptions],
    devices: [...options.devices],
    ulimits: [...options.ulimits],
    network: numberOf(networks, network),
    pid: numberOf(pids, pid),
    dnsServers: [...options.dnsServers],
    dnsSearch: [...options.dnsSearch],
    dnsOptions: [...options.dnsOptions],
    extraHosts: [...options.extraHosts],
    log: { ...log, options: { ...log.options } },
    limits: { ...limits },
  };
}
