import { expect, test } from 'vitest';
import { createOptionsOf } from '../../../../../agent/node/docker/container-options.ts';
import type { ContainerOptions } from '../../../../../shared/container-options.ts';
import { someLimits, someOptions } from '../../../../support/container-options.ts';
import { aDefinition, aPort, containerId, nodeId } from '../builders.ts';

const placement = { nodeId, advertiseAddress: '192.0.2.7', publishAddress: '0.0.0.0' };
const created = (options: Partial<ContainerOptions>) =>
  createOptionsOf(
    containerId,
    aDefinition({
      options: someOptions(options),
      ports: [aPort()],
      hosts: [{ name: 'db', address: '192.0.2.9' }],
    }),
    placement,
  );

test('says nothing of what the image and the engine decide', () => {
  const { HostConfig, ...rest } = created({});
  for (const key of ['WorkingDir', 'User', 'Domainname', 'StopSignal']) {
    expect(rest).not.toHaveProperty(key);
  }
  const silent = ['Init', 'NetworkMode', 'PidMode', 'LogConfig', 'CgroupParent', 'Memory'];
  for (const key of [...silent, 'CpuQuota', 'MemorySwap', 'ShmSize', 'CpusetCpus']) {
    expect(HostConfig).not.toHaveProperty(key);
  }
});

test('asks for every setting in words of Docker', () => {
  const options = created({
    ...{ workingDir: '/srv', user: '1000:1000', domainname: 'example.com', stopSignal: 'SIGINT' },
    ...{ init: true, readOnly: true, tty: true, stdinOpen: true, privileged: true },
    ...{ groups: ['audio'], capAdd: ['NET_ADMIN'], capDrop: ['MKNOD'] },
    securityOptions: ['no-new-privileges'],
    devices: [{ hostPath: '/dev/fuse', containerPath: '/dev/f', permissions: 'r' }],
    ulimits: [{ name: 'nofile', soft: 10, hard: 20 }],
    pid: 'host',
    ...{ dnsServers: ['192.0.2.53'], dnsSearch: ['example.com'], dnsOptions: ['ndots:2'] },
    extraHosts: [{ name: 'gateway', address: 'host-gateway' }],
    log: { driver: 'local', options: { 'max-size': '1m' } },
    limits: {
      ...{ cpuMillis: 1500, cpuShares: 512, cpus: '0-1' },
      ...{ memoryBytes: 64 * 1024 ** 2, memorySwapBytes: -1, shmBytes: 4096 },
    },
    cgroupParent: 'fairlead.slice',
    macAddress: '02:42:ac:11:00:63',
  });
  expect(options).toMatchObject({
    ...{ WorkingDir: '/srv', User: '1000:1000', Domainname: 'example.com', StopSignal: 'SIGINT' },
    ...{ Tty: true, OpenStdin: true, MacAddress: '02:42:ac:11:00:63' },
    NetworkingConfig: { EndpointsConfig: { bridge: { MacAddress: '02:42:ac:11:00:63' } } },
    HostConfig: {
      ...{ Init: true, ReadonlyRootfs: true, Privileged: true, PidMode: 'host' },
      ...{ GroupAdd: ['audio'], CapAdd: ['NET_ADMIN'], CapDrop: ['MKNOD'] },
      SecurityOpt: ['no-new-privileges'],
      Devices: [{ PathOnHost: '/dev/fuse', PathInContainer: '/dev/f', CgroupPermissions: 'r' }],
      Ulimits: [{ Name: 'nofile', Soft: 10, Hard: 20 }],
      ...{ Dns: ['192.0.2.53'], DnsSearch: ['example.com'], DnsOptions: ['ndots:2'] },
      ExtraHosts: ['db:192.0.2.9', 'gateway:host-gateway'],
      LogConfig: { Type: 'local', Config: { 'max-size': '1m' } },
      ...{ CpuPeriod: 100_000, CpuQuota: 150_000, CpuShares: 512, CpusetCpus: '0-1' },
      ...{ Memory: 64 * 1024 ** 2, MemorySwap: -1, ShmSize: 4096, CgroupParent: 'fairlead.slice' },
    },
  });
});

test("binds nothing in the node's network", () => {
  const { ExposedPorts, HostConfig } = created({ network: 'host', limits: someLimits() });
  expect(ExposedPorts).toEqual({});
  expect(HostConfig).toMatchObject({ NetworkMode: 'host', PortBindings: {} });
});
