import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { nodeNameOf, readNodeAgentConfig } from '../../../../agent/node/config.ts';
import { agentVersion } from '../../../../agent/node/version.ts';
import { maxNameLength, namePattern } from '../../../../shared/ids.ts';

const coordinator = 'fairlead.example:7070';

describe('the configuration of a node agent', () => {
  test('needs nothing but the coordinator', () => {
    expect(readNodeAgentConfig({ coordinator }, {})).toMatchObject({
      coordinator,
      joinToken: { token: undefined, tokenFile: undefined },
      tags: [],
      stateDir: '/var/lib/fairlead/agent',
      dockerSocket: '/var/run/docker.sock',
      containerdSockets: [
        '/run/containerd/containerd.sock',
        '/run/docker/containerd/containerd.sock',
      ],
      advertiseAddress: undefined,
      publicAddress: undefined,
      publishAddress: '0.0.0.0',
      logLevel: 'info',
    });
  });

  test('comes from flags, else from variables', () => {
    const env = {
      FAIRLEAD_COORDINATOR: '[2001:db8::1]:7070',
      FAIRLEAD_TAG: 'web, eu',
      FAIRLEAD_NAME: 'from-env',
      FAIRLEAD_TOKEN_FILE: '/no/such/file',
      FAIRLEAD_DOCKER_SOCKET: 'unix:///run/docker.sock',
    };
    expect(readNodeAgentConfig({ name: 'from-flag' }, env)).toMatchObject({
      coordinator: '[2001:db8::1]:7070',
      name: 'from-flag',
      tags: ['web', 'eu'],
      joinToken: { token: undefined, tokenFile: '/no/such/file' },
      dockerSocket: '/run/docker.sock',
    });
  });

  test('takes tags one by one, in lists, and each once', () => {
    const { tags } = readNodeAgentConfig({ coordinator, tag: ['web', 'eu,web', 'disk=ssd'] }, {});
    expect(tags).toEqual(['web', 'eu', 'disk=ssd']);
  });

  test.each(['198.51.100.7', '2001:db8::7', 'host-1.example.com'])(
    'takes a public address that can stand in a URL: %s',
    (publicAddress) => {
      const config = readNodeAgentConfig({ coordinator, publicAddress }, {});
      expect(config.publicAddress).toBe(publicAddress);
    },
  );

  test('names every mistake at once', () => {
    const flags = {
      coordinator: 'no-port',
      name: 'Not A Name',
      tag: ['-x'],
      advertiseAddress: 'host-1',
      publicAddress: 'https://host-1/',
      logLevel: 'loud',
    };
    const addresses = ['--advertise-address', '--public-address'];
    for (const mistake of ['--coordinator', '--name', '--tag', ...addresses, '--log-level']) {
      expect(() => readNodeAgentConfig(flags, {})).toThrow(mistake);
    }
    expect(() => readNodeAgentConfig({}, {})).toThrow(
      '--coordinator or FAIRLEAD_COORDINATOR: is required: HOST:PORT of the coordinator',
    );
  });
});

describe('the name of a node', () => {
  test.each([
    ['host-1', 'host-1'],
    ['Host_1.example.com', 'host-1'],
    ['--a--', 'a'],
    ['ünïcode', 'n-code'],
    ['', 'node'],
    ['.', 'node'],
    ['a'.repeat(53) + '-' + 'b'.repeat(20), 'a'.repeat(53)],
  ])('of the host %s is %s', (host, name) => {
    expect(nodeNameOf(host)).toBe(name);
  });

  test('always follows the rule for names', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (host) => {
        expect(nodeNameOf(host)).toMatch(namePattern);
        expect(nodeNameOf(host).length).toBeLessThanOrEqual(maxNameLength);
      }),
    );
  });
});

test('the agent tells the version of the package', () => {
  const path = new URL('../../../../package.json', import.meta.url);
  const { version } = JSON.parse(readFileSync(path, 'utf8')) as { version: string };
  expect(agentVersion).toBe(version);
});
