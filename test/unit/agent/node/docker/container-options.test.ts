import { describe, expect, test } from 'vitest';
import {
  createOptionsOf,
  engineNameOf,
  graceSeconds,
  restartPolicyOf,
  withTag,
} from '../../../../../agent/node/docker/container-options.ts';
import type { ContainerDefinition } from '../../../../../agent/node/model.ts';
import { aDefinition, aPort, containerId, nodeId } from '../builders.ts';

const placement = { nodeId, advertiseAddress: '192.0.2.7', publishAddress: '0.0.0.0' };
const optionsOf = (definition: Partial<ContainerDefinition>) =>
  createOptionsOf(containerId, aDefinition(definition), placement);

describe('what the engine is asked to create', () => {
  test('has the image with its tag, the host name, the environment and the hosts', () => {
    const options = optionsOf({
      environment: { GREETING: 'a=b c', EMPTY: '' },
      hosts: [
        { name: 'db', address: '192.0.2.9' },
        { name: 'db6', address: '2001:db8::9' },
      ],
    });
    expect(options).toMatchObject({
      Image: 'hello:latest',
      Hostname: 'web-3',
      Env: ['GREETING=a=b c', 'EMPTY='],
      HostConfig: { ExtraHosts: ['db:192.0.2.9', 'db6:2001:db8::9'] },
    });
  });

  test("leaves the image's own command and entry point unless there is one", () => {
    expect(optionsOf({})).not.toHaveProperty('Cmd');
    expect(optionsOf({})).not.toHaveProperty('Entrypoint');
    expect(optionsOf({ command: ['-v'], entrypoint: ['/app'] })).toMatchObject({
      Cmd: ['-v'],
      Entrypoint: ['/app'],
    });
  });

  test('binds published ports publicly and the others to the advertise address alone', () => {
    const { ExposedPorts, HostConfig } = optionsOf({
      ports: [
        aPort({ containerPort: 80, hostPort: 8080 }),
        aPort({ containerPort: 443 }),
        aPort({ containerPort: 9000, published: false }),
        aPort({ containerPort: 53, protocol: 'udp', hostPort: 53 }),
      ],
    });
    expect(ExposedPorts).toEqual({ '80/tcp': {}, '443/tcp': {}, '9000/tcp': {}, '53/udp': {} });
    expect(HostConfig.PortBindings).toEqual({
      '80/tcp': [{ HostIp: '0.0.0.0', HostPort: '8080' }],
      '443/tcp': [{ HostIp: '0.0.0.0', HostPort: '' }],
      '9000/tcp': [{ HostIp: '192.0.2.7', HostPort: '' }],
      '53/udp': [{ HostIp: '0.0.0.0', HostPort: '53' }],
    });
  });

  test("keeps the user's labels, but for those that are Fairlead's", () => {
    const { Labels } = optionsOf({ labels: { team: 'blue', 'fairlead.node': 'mine' } });
    expect(Labels).toMatchObject({
      team: 'blue',
      'fairlead.node': nodeId,
      'fairlead.container': containerId,
      'fairlead.name': 'web-3',
      'fairlead.slot': '3',
    });
  });

  test.each([
    ['never', 'no'],
    ['on-failure', 'on-failure'],
    ['always', 'unless-stopped'],
  ] as const)('restarts %s as Docker does %s', (restart, name) => {
    expect(optionsOf({ restart }).HostConfig.RestartPolicy).toEqual({ Name: name });
    expect(restartPolicyOf(name)).toBe(restart);
  });

  test.each([
    [0, 0],
    [1, 1],
    [10_000, 10],
    [10_001, 11],
  ])('gives no less grace than %i ms', (graceMs, seconds) => {
    expect(graceSeconds(graceMs)).toBe(seconds);
    expect(optionsOf({ stopGraceMs: graceMs }).StopTimeout).toBe(seconds);
  });
});

test.each([
  ['hello', 'hello:latest'],
  ['hello:1', 'hello:1'],
  ['registry:5000/team/hello', 'registry:5000/team/hello:latest'],
  ['registry:5000/team/hello:2', 'registry:5000/team/hello:2'],
  ['hello@sha256:abc', 'hello@sha256:abc'],
  ['registry:5000/hello@sha256:abc', 'registry:5000/hello@sha256:abc'],
])('the image %s is %s', (image, tagged) => {
  expect(withTag(image)).toBe(tagged);
});

test('names an engine container by its name and the first of its id', () => {
  expect(engineNameOf('web-3', containerId)).toBe('fairlead-web-3-1f0c9a2b');
});
