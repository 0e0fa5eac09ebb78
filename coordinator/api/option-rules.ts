import { isIP } from 'node:net';
import type { LogConfig } from '../../shared/container-options.ts';
import { isHostname, templateRule } from '../orchestrator/templates.ts';

// What engines ask of the settings of a container, so that what they would refuse is refused at the door.
// Each takes a value and returns the rule that it breaks, as what follows the name of its field.

type Rule = string | undefined;

const maxTextBytes = 32 * 1024;

function unless(holds: boolean, rule: string): Rule {
  return holds ? undefined : rule;
}

/** An absolute path inside a container or on a node. */
export function pathRule(path: string): Rule {
  const fits = Buffer.byteLength(path) <= 4096 && !/\p{Cc}|\p{Surrogate}/u.test(path);
  return unless(
    path.startsWith('/') && fits,
    'must be an absolute path of at most 4096 bytes without control characters',
  );
}

const account = String.raw`(?:\d{1,10}|[A-Za-z_][A-Za-z0-9_.-]*\$?)`;
const user = new RegExp(`^${account}(?::${account})?$`);
const group = new RegExp(`^${account}$`);

export function userRule(value: string): Rule {
  return unless(
    value.length <= 255 && user.test(value),
    'must be a name or number of a user, with or without ":" and a group',
  );
}

export function groupRule(value: string): Rule {
  return unless(value.length <= 255 && group.test(value), 'must be the name or number of a group');
}

/** A host name that may hold templates; each stands for at least one letter. */
export function hostnameRule(value: string): Rule {
  const wrong = templateRule(value);
  if (wrong !== undefined) return wrong;
  return nameRule(value.replaceAll(/\{\{.*?\}\}+/g, 'x'), 253);
}

export function nameRule(value: string, maxLength: number): Rule {
  return unless(
    value.length <= maxLength && isHostname(value),
    `must be a host name of at most ${maxLength} letters, digits, dashes and dots`,
  );
}

const signals = new Set(
  (
    'ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT SEGV STKFLT STOP ' +
    'SYS TERM TRAP TSTP TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ RTMIN RTMAX'
  ).split(' '),
);

export function signalRule(value: string): Rule {
  const name = value.replace(/^SIG/, '');
  const isRealTime = /^RTMIN\+(?:[1-9]|1[0-5])$|^RTMAX-(?:[1-9]|1[0-4])$/.test(name);
  const isNumber = /^[1-9]\d?$/.test(value) && Number(value) <= 64;
  return unless(
    isNumber || signals.has(name) || isRealTime,
    'must be a signal like SIGTERM or SIGRTMIN+3, or a number from 1 to 64',
  );
}

const capabilities = new Set(
  (
    'ALL AUDIT_CONTROL AUDIT_READ AUDIT_WRITE BLOCK_SUSPEND BPF CHECKPOINT_RESTORE CHOWN DAC_OVERRIDE ' +
    'DAC_READ_SEARCH FOWNER FSETID IPC_LOCK IPC_OWNER KILL LEASE LINUX_IMMUTABLE MAC_ADMIN ' +
    'MAC_OVERRIDE MKNOD NET_ADMIN NET_BIND_SERVICE NET_BROADCAST NET_RAW PERFMON SETFCAP SETGID ' +
    'SETPCAP SETUID SYSLOG SYS_ADMIN SYS_BOOT SYS_CHROOT SYS_MODULE SYS_NICE SYS_PACCT SYS_PTRACE ' +
    'SYS_RAWIO SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG WAKE_ALARM'
  ).split(' '),
);

export function capabilityRule(value: string): Rule {
  return unless(
    capabilities.has(value.replace(/^CAP_/, '')),
    'must be a capability like NET_ADMIN, or ALL',
  );
}

const label = /^(?:disable|(?:user|role|type|level):[A-Za-z0-9_.:,-]+)$/;

/** What may follow the name of a security option. */
const securitySettings: ReadonlyMap<string, (setting: string) => boolean> = new Map([
  ['no-new-privileges', (setting: string) => ['', 'true', 'false'].includes(setting)],
  ['systempaths', (setting: string) => setting === 'unconfined'],
  ['apparmor', (setting: string) => /^[A-Za-z0-9_./-]+$/.test(setting)],
  ['label', (setting: string) => label.test(setting)],
  ['seccomp', (setting: string) => setting === 'unconfined' || isJsonObject(setting)],
]);

export function securityRule(value: string): Rule {
  const at = value.indexOf('=');
  const [kind, setting] = at === -1 ? [value, ''] : [value.slice(0, at), value.slice(at + 1)];
  const isKnown = securitySettings.get(kind)?.(setting) === true;
  return unless(
    isKnown && Buffer.byteLength(value) <= maxTextBytes,
    'must be no-new-privileges, apparmor=PROFILE, seccomp=unconfined, seccomp=JSON, label=… or systempaths=unconfined',
  );
}

function isJsonObject(text: string): boolean {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value);
  } catch {
    return false;
  }
}

export function deviceRule(value: string): Rule {
  return unless(/^(?!.*(.).*\1)[rwm]{1,3}$/.test(value), 'must be some of r, w and m, each once');
}

const ulimits = new Set(
  'core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack'.split(
    ' ',
  ),
);

export function ulimitRule(name: string): Rule {
  return unless(ulimits.has(name), `must be one of ${[...ulimits].join(', ')}`);
}

/** Nobody may have more open files than the kernel allows by default. */
export function ulimitRange(name: string): { readonly min: number; readonly max: number } {
  return name === 'nofile' ? { min: 0, max: 1_048_576 } : { min: -1, max: Number.MAX_SAFE_INTEGER };
}

/** One that no other device has: neither of a group, nor all zeros. */
export function macAddressRule(value: string): Rule {
  const isAddress = /^[0-9a-f][02468ace](?::[0-9a-f]{2}){5}$/i.test(value);
  return unless(
    isAddress && !/^[0:]*$/.test(value),
    'must be a hardware address like 02:42:ac:11:00:63, of a single device',
  );
}

export function ipAddressRule(value: string): Rule {
  return unless(isIP(value) !== 0, 'must be an IP address');
}

export function hostAddressRule(value: string): Rule {
  return unless(
    isIP(value) !== 0 || value === 'host-gateway',
    'must be an IP address, or host-gateway',
  );
}

export function dnsNameRule(value: string): Rule {
  return value === '.' ? undefined : nameRule(value.replace(/\.$/, ''), 253);
}

export function dnsOptionRule(value: string): Rule {
  return unless(
    value.length <= 64 && /^[A-Za-z0-9-]+(?::\d+)?$/.test(value),
    'must be an option of the resolver like ndots:2',
  );
}

export function sliceRule(value: string): Rule {
  return unless(
    value.length <= 255 && /^[A-Za-z0-9_:.]+(?:-[A-Za-z0-9_:.]+)*\.slice$/.test(value),
    'must be the name of a slice like fairlead.slice',
  );
}

/** Numbers of processors in the kernel's list format. */
export function cpusRule(value: string): Rule {
  const fits = value.split(',').every((range) => {
    const [first = '', last = first, ...rest] = range.split('-');
    const isNumber = (text: string) => /^\d{1,4}$/.test(text) && Number(text) < 1024;
    return rest.length === 0 && isNumber(first) && isNumber(last) && Number(first) <= Number(last);
  });
  return unless(
    fits && value.length <= 255,
    'must be numbers of processors below 1024 like "0-2,4"',
  );
}

const common = ['mode', 'max-buffer-size'];
const attributes = ['labels', 'labels-regex', 'env', 'env-regex', 'tag'];
const files = ['max-size', 'max-file', 'compress'];

/** The engine's own drivers with the names of their options; engines refuse any other name. */
const logDrivers: ReadonlyMap<string, readonly string[]> = new Map(
  Object.entries({
    none: [],
    local: files,
    'json-file': [...files, ...attributes],
    journald: attributes,
    syslog: [
      ...attributes,
      ...['syslog-address', 'syslog-facility', 'syslog-format', 'syslog-tls-ca-cert'],
      ...['syslog-tls-cert', 'syslog-tls-key', 'syslog-tls-skip-verify'],
    ],
    gelf: [
      ...attributes,
      ...['gelf-address', 'gelf-compression-level', 'gelf-compression-type'],
      ...['gelf-tcp-max-reconnect', 'gelf-tcp-reconnect-delay'],
    ],
    fluentd: [
      ...attributes,
      ...['fluentd-address', 'fluentd-async', 'fluentd-async-connect', 'fluentd-buffer-limit'],
      ...['fluentd-max-retries', 'fluentd-request-ack', 'fluentd-retry-wait'],
      ...['fluentd-sub-second-precision'],
    ],
    awslogs: [
      'tag',
      ...['awslogs-create-group', 'awslogs-credentials-endpoint', 'awslogs-datetime-format'],
      ...['awslogs-endpoint', 'awslogs-group', 'awslogs-multiline-pattern', 'awslogs-region'],
      'awslogs-stream',
    ],
    splunk: [
      ...attributes,
      ...['splunk-caname', 'splunk-capath', 'splunk-format', 'splunk-gzip', 'splunk-gzip-level'],
      ...['splunk-index', 'splunk-insecureskipverify', 'splunk-source', 'splunk-sourcetype'],
      ...['splunk-token', 'splunk-url', 'splunk-verify-connection'],
    ],
    gcplogs: [
      ...['labels', 'labels-regex', 'env', 'env-regex', 'gcp-log-cmd', 'gcp-meta-id'],
      ...['gcp-meta-name', 'gcp-meta-zone', 'gcp-project'],
    ],
  }).map(([driver, options]) => [driver, driver === 'none' ? [] : [...options, ...common]]),
);

const logValues: ReadonlyMap<string, readonly [RegExp, string]> = new Map([
  ['max-size', [/^[1-9]\d*(?:[kmg]b?)?$/i, 'must be a number with or without k, m or g']],
  ['max-file', [/^[1-9]\d{0,5}$/, 'must be a number from 1']],
  ['compress', [/^(?:true|false)$/, 'must be true or false']],
  ['mode', [/^(?:blocking|non-blocking)$/, 'must be blocking or non-blocking']],
  ['max-buffer-size', [/^[1-9]\d*(?:[kmg]b?)?$/i, 'must be a number with or without k, m or g']],
]);

export function logDriverRule(driver: string): Rule {
  return unless(
    driver === '' || logDrivers.has(driver),
    `must be one of ${[...logDrivers.keys()].join(', ')}`,
  );
}

/** What is wrong with one of the options of a log driver that is known. */
export function logOptionRule({ driver, options }: LogConfig, name: string): Rule {
  const known = logDrivers.get(driver);
  if (known === undefined) return 'must only be set with a driver';
  if (!known.includes(name)) {
    const names = known.length === 0 ? 'none' : known.join(', ');
    return `must be an option of the driver ${driver}, which knows: ${names}`;
  }
  const [pattern, rule] = logValues.get(name) ?? [];
  if (pattern?.test(options[name] ?? '') === false) return rule;
  return unlessMissing(options, name, driver);
}

/** Options that engines take only together with others. */
function unlessMissing(options: LogConfig['options'], name: string, driver: string): Rule {
  if (name === 'max-buffer-size') {
    const mode = 'must only be set with mode=non-blocking';
    return unless(options['mode'] === 'non-blocking', mode);
  }
  if (name !== 'compress' || options[name] !== 'true' || driver !== 'json-file') return undefined;
  return unless(
    options['max-size'] !== undefined && Number(options['max-file']) > 1,
    'must only be true with max-size and a max-file over 1',
  );
}
