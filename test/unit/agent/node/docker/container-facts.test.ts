import { describe, expect, test } from 'vitest';
import {
  containerEventOf,
  engineContainerOf,
  type DockerContainer,
} from '../../../../../agent/node/docker/container-facts.ts';
import { labelsOf } from '../../../../../agent/node/docker/container-labels.ts';
import { aDefinition, aPort, containerId, nodeId } from '../builders.ts';

const ports = [aPort(), aPort({ containerPort: 9000, published: false })];
const identity = { ...aDefinition({ ports }), nodeId, containerId };

function docker(change: {
  readonly state?: Partial<DockerContainer['State']>;
  readonly network?: string;
  readonly ports?: DockerContainer['NetworkSettings']['Ports'];
}): DockerContainer {
  return {
    Id: 'e'.repeat(64),
    RestartCount: 2,
    Config: { Labels: labelsOf(identity) },
    HostConfig: { RestartPolicy: { Name: 'on-failure' }, NetworkMode: change.network },
    State: {
      Status: 'running',
      ExitCode: 0,
      Error: '',
      OOMKilled: false,
      StartedAt: '2030-01-01T00:00:00.123456789Z',
      FinishedAt: '0001-01-01T00:00:00Z',
      ...change.state,
    },
    NetworkSettings: { Ports: change.ports ?? {} },
  };
}

describe("Docker's description of a container", () => {
  test('is read', () => {
    expect(engineContainerOf(docker({}))).toMatchObject({
      engineId: 'e'.repeat(64),
      identity: { containerId, nodeId, name: 'web-3', ports },
      state: 'running',
      restartPolicy: 'on-failure',
      restarts: 2,
      startedAt: new Date('2030-01-01T00:00:00.123Z'),
      endedAt: undefined,
      ports: [],
    });
  });

  test("has the ports of its own numbers in the node's network, while it runs", () => {
    const bound = engineContainerOf(docker({ network: 'host' }))?.ports;
    expect(bound).toMatchObject([
      { containerPort: 80, hostPort: 80, hostAddress: '0.0.0.0', published: true },
      { containerPort: 9000, hostPort: 9000, hostAddress: '0.0.0.0', published: false },
    ]);
    const ended = engineContainerOf(docker({ network: 'host', state: { Status: 'exited' } }));
    expect(ended?.ports).toEqual([]);
  });

  test('of a container that is not ours is not', () => {
    expect(engineContainerOf({ ...docker({}), Config: { Labels: null } })).toBeUndefined();
  });

  test.each([
    ['created', 'created'],
    ['running', 'running'],
    ['paused', 'paused'],
    ['restarting', 'restarting'],
    ['removing', 'removing'],
    ['exited', 'ended'],
    ['dead', 'ended'],
  ])('in the state %s means %s', (Status, state) => {
    expect(engineContainerOf(docker({ state: { Status } }))?.state).toBe(state);
  });

  test('names the bindings of our ports, without the twins that nobody asked for', () => {
    const container = engineContainerOf(
      docker({
        ports: {
          '80/tcp': [
            { HostIp: '::', HostPort: '49153' },
            { HostIp: '0.0.0.0', HostPort: '49153' },
          ],
          '9000/tcp': [{ HostIp: '192.0.2.7', HostPort: '49154' }],
          '22/tcp': [{ HostIp: '0.0.0.0', HostPort: '22' }],
          '25/tcp': null,
        },
      }),
    );
    const protocol = 'tcp';
    expect(container?.ports).toEqual([
      { containerPort: 80, protocol, hostAddress: '0.0.0.0', hostPort: 49_153, published: true },
      {
        containerPort: 9000,
        protocol,
        hostAddress: '192.0.2.7',
        hostPort: 49_154,
        published: false,
      },
    ]);
  });

  test('has no binding of a port that is not bound (yet)', () => {
    expect(engineContainerOf(docker({ ports: { '80/tcp': null } }))?.ports).toEqual([]);
  });
});

describe("an event of Docker's", () => {
  const actor = {
    ID: 'e'.repeat(64),
    Attributes: { 'fairlead.container': containerId, exitCode: '137', signal: '15' },
  };
  const about = { containerId, engineId: 'e'.repeat(64), atMs: 1_893_456_000_000.5 };
  test.each([
    ['die', { kind: 'ended', exitCode: 137 }],
    ['kill', { kind: 'signalled', signalNumber: 15 }],
    ['destroy', { kind: 'removed' }],
    ['start', { kind: 'started' }],
    ['pause', { kind: 'changed' }],
  ])('called %s is %o', (Action, news) => {
    const event = { Action, Actor: actor, timeNano: 1_893_456_000_000_500_000 };
    expect(containerEventOf(event)).toEqual({ ...about, ...news });
  });

  test('about something else is none', () => {
    expect(containerEventOf({ Action: 'die', Actor: { ID: 'e' } })).toBeUndefined();
    expect(containerEventOf({})).toBeUndefined();
  });
});
