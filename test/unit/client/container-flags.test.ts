import { Command } from 'commander';
import { expect, test } from 'vitest';
import {
  readBytes,
  readCpus,
  readDevice,
  readExtraHost,
  readUlimit,
} from '../../../client/cli/container-values.ts';
import { addOptionFlags } from '../../../client/cli/option-flags.ts';
import { readTmpfs, readVolume } from '../../../client/cli/placement-flags.ts';
import { addListEditFlags, optionGroups } from '../../../client/cli/spec-flags.ts';
import { patchOf } from '../../../client/cli/spec.ts';
import { ContainerOptions } from '../../../shared/gen/fairlead/v1/container_options.ts';
import { ServiceSpec } from '../../../shared/gen/fairlead/v1/service.ts';

type Options = Parameters<typeof ContainerOptions.fromPartial>[0];

/** What a command line changes in the options that there are. */
function changed(args: readonly string[], now: Options = {}) {
  const { spec, mask } = changedSpec(args, { container: now });
  return { container: spec.container, mask };
}

function changedSpec(
  args: readonly string[],
  now: Parameters<typeof ServiceSpec.fromPartial>[0] = {},
) {
  const command = new Command();
  addOptionFlags(command, optionGroups);
  addListEditFlags(command);
  command.parse(args, { from: 'user' });
  return patchOf(command.opts(), [], ServiceSpec.fromPartial(now));
}

test('flags under their names of Docker set what they name, and nothing else', () => {
  const flags = [
    '-w /srv -u 1000 --hostname {{.Slot}} --stop-signal INT --init --no-tty',
    '--cap-add NET_ADMIN --cap-add SYS_TIME --network host --pid host',
    '--log-driver local --log-opt max-size=1m --log-opt max-file=3',
    '--cpus 1.5 -m 512m --memory-swap -1 --cpuset-cpus 0-1',
  ];
  const { container, mask } = changed(flags.join(' ').split(' '));
  expect(container).toEqual(
    ContainerOptions.fromPartial({
      ...{ workingDir: '/srv', user: '1000', hostname: '{{.Slot}}', stopSignal: 'INT', init: true },
      ...{ capAdd: ['NET_ADMIN', 'SYS_TIME'], network: 20, pid: 20 },
      log: { driver: 'local', options: { 'max-size': '1m', 'max-file': '3' } },
      limits: { cpuMillis: 1500, memoryBytes: 512 * 1024 ** 2, memorySwapBytes: -1, cpus: '0-1' },
    }),
  );
  expect(mask).toEqual(
    expect.arrayContaining([
      'container.working_dir',
      'container.limits.cpu_millis',
      'container.tty',
    ]),
  );
  expect(mask).toHaveLength(15);
});

test('lists are edited by their keys', () => {
  const now: Options = {
    ulimits: [
      { name: 'nofile', soft: 1, hard: 1 },
      { name: 'core', soft: 0, hard: 0 },
    ],
    log: { driver: 'local', options: { 'max-size': '1m', 'max-file': '2' } },
    dnsServers: ['192.0.2.1'],
  };
  const args = ['--ulimit', 'nofile=5:6', '--log-opt', 'max-size=9m', '--clear', 'dns'];
  const { container, mask } = changed(args, now);
  expect([...mask].sort()).toEqual([
    'container.dns_servers',
    'container.log.options',
    'container.ulimits',
  ]);
  expect(container).toMatchObject({
    ulimits: [
      { name: 'nofile', soft: 5, hard: 6 },
      { name: 'core', soft: 0, hard: 0 },
    ],
    log: { options: { 'max-size': '9m', 'max-file': '2' } },
    dnsServers: [],
  });
});

test.each([
  ['64', 64],
  ['1k', 1024],
  ['512m', 512 * 1024 ** 2],
  ['1.5GiB', 1.5 * 1024 ** 3],
])('%s are %i bytes', (text, bytes) => {
  expect(readBytes(text)).toBe(bytes);
});

test.each(['', 'm', '-1', '1x', '1 m'])('"%s" is no size', (text) => {
  expect(() => readBytes(text)).toThrow('512m');
});

test('reads processors, devices, limits and hosts', () => {
  expect(readCpus('0.25')).toBe(250);
  expect(readDevice('/dev/a')).toEqual({ hostPath: '/dev/a', containerPath: '', permissions: '' });
  expect(readDevice('/dev/a:r')).toMatchObject({ containerPath: '', permissions: 'r' });
  expect(readDevice('/dev/a:/dev/b:rw')).toMatchObject({ containerPath: '/dev/b' });
  expect(readUlimit('core=-1')).toEqual({ name: 'core', soft: -1, hard: undefined });
  expect(readExtraHost('db:2001:db8::1')).toEqual({ name: 'db', address: '2001:db8::1' });
  expect(readExtraHost('db=[::1]')).toEqual({ name: 'db', address: '::1' });
});

test('volumes are edited by their paths, whichever flag they come from', () => {
  const now = {
    volumes: [readVolume('data:/data'), readVolume('/cache'), readVolume('old:/old')],
    volumesFrom: ['db'],
  };
  const args = '-v other:/data:ro --tmpfs /cache:size=1m --volume-rm /old --volumes-from web';
  const { spec, mask } = changedSpec(args.split(' '), now);
  expect(mask).toEqual(['volumes', 'volumes_from']);
  expect(spec.volumes).toEqual([readVolume('other:/data:ro'), readTmpfs('/cache:size=1m')]);
  expect(spec.volumesFrom).toEqual(['db', 'web']);
});

test('what is asked of a node', () => {
  const args = '--reserve-cpu 0.5 --reserve-memory 1g --replicas-max-per-node 2';
  const { spec, mask } = changedSpec([
    ...args.split(' '),
    '--platform',
    'linux/arm64',
    '--spread-over',
    'zone',
  ]);
  expect(spec).toMatchObject({
    reservation: { cpuMillis: 500, memoryBytes: 2 ** 30 },
    maxPerNode: 2,
    platforms: ['linux/arm64'],
    spreadOver: ['zone'],
  });
  expect(mask).toEqual([
    'reservation.cpu_millis',
    'reservation.memory_bytes',
    'max_per_node',
    'spread_over',
    'platforms',
  ]);
});

test.each([
  ['/data', undefined, false],
  ['data:/data', { $case: 'named', value: { name: 'data', external: false } }, false],
  ['data:/data:ro,external', { $case: 'named', value: { name: 'data', external: true } }, true],
  ['/srv:/data:rw', { $case: 'bind', value: { path: '/srv' } }, false],
])('reads the volume %s', (text, source, readOnly) => {
  expect(readVolume(text)).toEqual({ containerPath: '/data', source, readOnly });
});

test.each(['data', 'a:b', 'a:/b:rx', 'a:/b:ro:z', ''])('refuses the volume "%s"', (text) => {
  expect(() => readVolume(text)).toThrow('NAME:PATH');
});

test('reads a tmpfs', () => {
  expect(readTmpfs('/run:mode=0700,ro')).toEqual({
    containerPath: '/run',
    source: { $case: 'tmpfs', value: { sizeBytes: 0, mode: 0o700 } },
    readOnly: true,
  });
  expect(() => readTmpfs('/run:mode=9')).toThrow('A tmpfs is');
});

test('checks of liveness have the flags of Docker, and those of HTTP', () => {
  const args =
    '--health-cmd /check --health-interval 5s --health-retries 2 --health-start-period 1m';
  const { spec, mask } = changedSpec(args.split(' '));
  expect(spec.liveness).toMatchObject({
    check: { $case: 'command', value: { command: ['/bin/sh', '-c', '/check'] } },
    ...{ intervalMs: 5_000, failureThreshold: 2, startPeriodMs: 60_000, timeoutMs: undefined },
  });
  expect(mask).toEqual([
    'liveness.command',
    'liveness.interval_ms',
    'liveness.failure_threshold',
    'liveness.start_period_ms',
  ]);
  expect(changedSpec(['--no-healthcheck'], { liveness: {} })).toMatchObject({
    spec: { liveness: undefined },
    mask: ['liveness'],
  });
});

test('details of a check by HTTP go with the check', () => {
  const args =
    '--liveness http:/up:80 --liveness-header a=b --liveness-status 204 --liveness-method HEAD';
  const { spec, mask } = changedSpec(args.split(' '));
  expect(spec.liveness?.check).toEqual({
    $case: 'http',
    value: {
      path: '/up',
      port: 80,
      method: 'HEAD',
      host: '',
      headers: { a: 'b' },
      statuses: [204],
    },
  });
  expect([...mask].sort()).toEqual([
    'liveness.http',
    'liveness.http.headers',
    'liveness.http.method',
    'liveness.http.statuses',
  ]);
});
