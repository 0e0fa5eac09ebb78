import { describe, expect, test } from 'vitest';
import { optionsFromProto } from '../../../../coordinator/api/convert-options.ts';
import { signalRule } from '../../../../coordinator/api/option-rules.ts';
import type { ContainerOptions } from '../../../../shared/container-options.ts';
import type { FieldViolation } from '../../../../shared/errors.ts';
import {
  ContainerOptions as ProtoOptions,
  NetworkMode,
  PidMode,
} from '../../../../shared/gen/fairlead/v1/container_options.ts';
import { someLimits, someOptions } from '../../../support/container-options.ts';

type Changes = Parameters<typeof ProtoOptions.fromPartial>[0];

function read(changes: Changes): { options: ContainerOptions; wrong: string[] } {
  const into: FieldViolation[] = [];
  const options = optionsFromProto(ProtoOptions.fromPartial(changes), 'o', into);
  return { options, wrong: into.map(({ field, rule }) => `${field} ${rule}`) };
}

test('leaves everything to the image and the engine by default', () => {
  expect(optionsFromProto(undefined, 'o', [])).toEqual(someOptions());
});

test('keeps what is set, with the defaults of its parts', () => {
  const { options, wrong } = read({
    workingDir: '/srv',
    devices: [{ hostPath: '/dev/fuse' }],
    ulimits: [{ name: 'nproc', soft: 100 }],
    network: NetworkMode.HOST,
    pid: PidMode.HOST,
    log: { driver: 'local', options: { 'max-size': '10m', 'max-file': '2' } },
    limits: { memoryBytes: 64 * 1024 ** 2, memorySwapBytes: -1 },
  });
  expect(wrong).toEqual([]);
  expect(options).toEqual(
    someOptions({
      workingDir: '/srv',
      devices: [{ hostPath: '/dev/fuse', containerPath: '/dev/fuse', permissions: 'rwm' }],
      ulimits: [{ name: 'nproc', soft: 100, hard: 100 }],
      network: 'host',
      pid: 'host',
      log: { driver: 'local', options: { 'max-file': '2', 'max-size': '10m' } },
      limits: someLimits({ memoryBytes: 64 * 1024 ** 2, memorySwapBytes: -1 }),
    }),
  );
});

const refused: readonly [string, Changes, string][] = [
  ['a relative directory', { workingDir: 'srv' }, 'o.working_dir must be an absolute path'],
  ['a user with two colons', { user: 'a:b:c' }, 'o.user must be a name or number'],
  ['a host name with "_"', { hostname: 'a_b' }, 'o.hostname must be a host name'],
  ['an unknown template', { hostname: '{{.Task.Slot}}' }, 'o.hostname must have no template but'],
  ['an unknown signal', { stopSignal: 'SIGHURZ' }, 'o.stop_signal must be a signal'],
  ['a group twice', { groups: ['a', 'a'] }, 'o.groups[1] has the same group as o.groups[0]'],
  ['an unknown capability', { capAdd: ['FLY'] }, 'o.cap_add[0] must be a capability'],
  ['a capability in lower case', { capDrop: ['mknod'] }, 'o.cap_drop[0] must be a capability'],
  [
    'a profile that is no JSON',
    { securityOptions: ['seccomp=/etc/p.json'] },
    'o.security_options[0] must be no-new-privileges',
  ],
  ['a device without a path', { devices: [{}] }, 'o.devices[0].host_path is required'],
  [
    'a device with a right twice',
    { devices: [{ hostPath: '/dev/fuse', permissions: 'rr' }] },
    'o.devices[0].permissions must be some of r, w and m',
  ],
  [
    'a path inside twice',
    { devices: [{ hostPath: '/dev/a' }, { hostPath: '/dev/b', containerPath: '/dev/a' }] },
    'o.devices[1] has the same container path as o.devices[0]',
  ],
  ['an unknown limit', { ulimits: [{ name: 'files' }] }, 'o.ulimits[0].name must be one of core'],
  [
    'a soft limit over the hard one',
    { ulimits: [{ name: 'nproc', soft: -1, hard: 5 }] },
    'o.ulimits[0].soft must be at most the hard limit 5, and is -1',
  ],
  [
    'more files than a kernel allows',
    { ulimits: [{ name: 'nofile', soft: 1024, hard: -1 }] },
    'o.ulimits[0].hard must be a whole number from 0 to 1048576',
  ],
  ['a server by name', { dnsServers: ['dns.local'] }, 'o.dns_servers[0] must be an IP address'],
  ['a wrong domain', { dnsSearch: ['a b'] }, 'o.dns_search[0] must be a host name'],
  ['a wrong resolver option', { dnsOptions: ['ndots: 2'] }, 'o.dns_options[0] must be an option'],
  [
    'a host without an address',
    { extraHosts: [{ name: 'a' }] },
    'o.extra_hosts[0].address is required',
  ],
  [
    'a host with a wrong address',
    { extraHosts: [{ name: 'a', address: '1.2.3' }] },
    'o.extra_hosts[0].address must be an IP address, or host-gateway',
  ],
  ['an unknown driver', { log: { driver: 'loki' } }, 'o.log.driver must be one of none, local'],
  [
    'options without a driver',
    { log: { options: { tag: 'x' } } },
    'o.log.options["tag"] must only be set with a driver',
  ],
  [
    "another driver's option",
    { log: { driver: 'local', options: { tag: 'x' } } },
    'o.log.options["tag"] must be an option of the driver local',
  ],
  [
    'a wrong size',
    { log: { driver: 'json-file', options: { 'max-size': '10 MB' } } },
    'o.log.options["max-size"] must be a number',
  ],
  [
    'a buffer that would block',
    { log: { driver: 'local', options: { 'max-buffer-size': '1m' } } },
    'o.log.options["max-buffer-size"] must only be set with mode=non-blocking',
  ],
  [
    'compression of the only file',
    { log: { driver: 'json-file', options: { compress: 'true' } } },
    'o.log.options["compress"] must only be true with max-size and a max-file over 1',
  ],
  ['too little processor', { limits: { cpuMillis: 9 } }, 'o.limits.cpu_millis must be a whole'],
  ['processors backwards', { limits: { cpus: '3-1' } }, 'o.limits.cpus must be numbers'],
  ['too little memory', { limits: { memoryBytes: 1024 } }, 'o.limits.memory_bytes must be a whole'],
  [
    'less swap than memory',
    { limits: { memoryBytes: 2 * 1024 ** 3, memorySwapBytes: 1024 ** 3 } },
    'o.limits.memory_swap_bytes must be a whole number from 2147483648',
  ],
  [
    'swap without a limit of memory',
    { limits: { memorySwapBytes: 1024 ** 3 } },
    'o.limits.memory_swap_bytes must only be set with memory_bytes',
  ],
  ['a group of devices', { macAddress: '03:42:ac:11:00:63' }, 'o.mac_address must be a hardware'],
  ['half an address', { macAddress: '02:42:ac' }, 'o.mac_address must be a hardware address'],
  [
    'an address in the network of the node',
    { macAddress: '02:42:ac:11:00:63', network: NetworkMode.HOST },
    'o.mac_address must not be set with the network HOST',
  ],
  ['a slice that is none', { cgroupParent: '/docker' }, 'o.cgroup_parent must be the name of a'],
];

test.each(refused)('refuses %s', (_, changes, rule) => {
  const { wrong } = read(changes);
  expect(wrong).toEqual([expect.stringContaining(rule)]);
});

describe('signals', () => {
  test.each(['SIGTERM', 'TERM', '15', '64', 'SIGRTMIN', 'SIGRTMIN+15', 'RTMAX-14'])(
    '%s',
    (name) => {
      expect(signalRule(name)).toBeUndefined();
    },
  );

  test.each(['0', '65', 'sigterm', 'SIGRTMIN+16', 'RTMAX-15', 'SIG'])('not %s', (name) => {
    expect(signalRule(name)).toBeDefined();
  });
});
