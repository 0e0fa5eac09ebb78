import fc from 'fast-check';
import type { ContainerOptions as ProtoOptions } from '../../../../shared/gen/fairlead/v1/container_options.ts';

const some = (...values: string[]) =>
  fc.uniqueArray(fc.constantFrom(...values), { maxLength: values.length });

/** Options that break no rule, most fields at times empty. */
export const validOptions: fc.Arbitrary<ProtoOptions> = fc.record({
  workingDir: fc.constantFrom('', '/srv/app'),
  user: fc.constantFrom('', 'nobody', '1000:1000', 'www-data:www-data'),
  hostname: fc.constantFrom('', 'db', '{{.Service.Name}}-{{.Slot}}.{{.Node.Hostname}}'),
  domainname: fc.constantFrom('', 'example.com'),
  stopSignal: fc.constantFrom('', 'SIGINT', 'USR1', '9', 'SIGRTMIN+3'),
  init: fc.boolean(),
  readOnly: fc.boolean(),
  tty: fc.boolean(),
  stdinOpen: fc.boolean(),
  privileged: fc.boolean(),
  groups: some('audio', '20'),
  capAdd: some('NET_ADMIN', 'CAP_SYS_TIME'),
  capDrop: some('ALL', 'MKNOD'),
  securityOptions: some('no-new-privileges', 'seccomp=unconfined', 'seccomp={"a":1}'),
  devices: fc.constantFrom(
    [],
    [
      { hostPath: '/dev/fuse', containerPath: '', permissions: '' },
      { hostPath: '/dev/zero', containerPath: '/dev/nought', permissions: 'rw' },
    ],
  ),
  ulimits: fc.constantFrom(
    [],
    [
      { name: 'nofile', soft: 1024, hard: 4096 },
      { name: 'core', soft: -1, hard: undefined },
    ],
  ),
  network: fc.constantFrom(0 as const, 10 as const),
  pid: fc.constantFrom(0 as const, 10 as const, 20 as const),
  dnsServers: some('192.0.2.53', '2001:db8::53'),
  dnsSearch: some('example.com', '.'),
  dnsOptions: some('ndots:2', 'rotate'),
  extraHosts: fc.constantFrom(
    [],
    [
      { name: 'db', address: '192.0.2.9' },
      { name: 'host', address: 'host-gateway' },
    ],
  ),
  log: fc.constantFrom(
    undefined,
    { driver: 'none', options: {} },
    { driver: 'json-file', options: { 'max-size': '10m', 'max-file': '3', tag: '{{.Name}}' } },
  ),
  limits: fc.option(
    fc.record({
      cpuMillis: fc.constantFrom(0, 10, 1500),
      cpuShares: fc.constantFrom(0, 2, 1024),
      cpus: fc.constantFrom('', '0', '0-2,4'),
      memoryBytes: fc.constantFrom(64 * 1024 ** 2, 1024 ** 3),
      memorySwapBytes: fc.constantFrom(0, -1, 1024 ** 3),
      shmBytes: fc.constantFrom(0, 4096),
    }),
    { nil: undefined },
  ),
  cgroupParent: fc.constantFrom('', 'fairlead.slice'),
  macAddress: fc.constantFrom('', '02:42:ac:11:00:63'),
});

const anyText = fc.string({ unit: 'binary', maxLength: 20 });
const anyTexts = fc.array(anyText, { maxLength: 3 });
const anyNumber = fc.oneof(fc.integer(), fc.double());
const anyMode = fc.oneof(fc.integer(), fc.constantFrom(0, 10, 20)) as fc.Arbitrary<never>;

/** Options of the right shape with whatever in their fields. */
export const anyOptions: fc.Arbitrary<ProtoOptions> = fc.record({
  ...{ workingDir: anyText, user: anyText, hostname: anyText, domainname: anyText },
  ...{ stopSignal: anyText, cgroupParent: anyText, macAddress: anyText },
  ...{ init: fc.boolean(), readOnly: fc.boolean(), tty: fc.boolean() },
  ...{ stdinOpen: fc.boolean(), privileged: fc.boolean() },
  ...{ groups: anyTexts, capAdd: anyTexts, capDrop: anyTexts, securityOptions: anyTexts },
  devices: fc.array(fc.record({ hostPath: anyText, containerPath: anyText, permissions: anyText })),
  ulimits: fc.array(
    fc.record({ name: anyText, soft: anyNumber, hard: fc.option(anyNumber, { nil: undefined }) }),
  ),
  ...{ network: anyMode, pid: anyMode },
  ...{ dnsServers: anyTexts, dnsSearch: anyTexts, dnsOptions: anyTexts },
  extraHosts: fc.array(fc.record({ name: anyText, address: anyText })),
  log: fc.option(
    fc.record({
      driver: fc.oneof(anyText, fc.constantFrom('', 'local', 'syslog')),
      options: fc.dictionary(anyText, anyText),
    }),
    { nil: undefined },
  ),
  limits: fc.option(
    fc.record({
      ...{ cpuMillis: anyNumber, cpuShares: anyNumber, cpus: anyText },
      ...{ memoryBytes: anyNumber, memorySwapBytes: anyNumber, shmBytes: anyNumber },
    }),
    { nil: undefined },
  ),
});
