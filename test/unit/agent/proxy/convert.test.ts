import { expect, test } from 'vitest';
import {
  deltaOf,
  helloOf,
  requestOf,
  snapshotOf,
  type Greeting,
} from '../../../../agent/proxy/convert.ts';
import {
  ProxyLoadingKind,
  TargetHealth,
  TargetMode,
} from '../../../../shared/gen/fairlead/v1/load_balancer.ts';
import {
  BackendDelta,
  BackendSnapshot,
  FrontendMode,
  Target,
} from '../../../../shared/gen/fairlead/v1/proxy_service.ts';

const target = Target.fromPartial({
  id: 'web-1.1f0c9a2b.80',
  backend: 'web',
  address: '10.0.0.1',
  port: 80,
  mode: TargetMode.READY,
  drainTimeoutMs: 5_000,
  container: 'web-1',
});

test('reads a whole list', () => {
  const { snapshot, problem } = snapshotOf(
    BackendSnapshot.fromPartial({
      epoch: 'e',
      version: 3,
      frontends: [
        { name: 'http', port: 80, mode: FrontendMode.HTTP, defaultBackend: 'web', routes: [] },
        { name: 'db', port: 5432, mode: FrontendMode.TCP, defaultBackend: 'db', routes: [] },
      ],
      backends: [
        { name: 'web', mode: FrontendMode.HTTP },
        { name: 'db', mode: FrontendMode.TCP },
      ],
      targets: [target, { ...target, id: 'web-2', mode: TargetMode.DRAIN }],
    }),
  );
  expect(problem).toBeUndefined();
  const plain = { routes: [], acceptProxy: false, trustedUpstreams: [] };
  expect(snapshot).toEqual({
    epoch: 'e',
    version: 3,
    frontends: [
      { name: 'http', port: 80, protocol: 'http', defaultBackend: 'web', ...plain },
      { name: 'db', port: 5432, protocol: 'tcp', defaultBackend: 'db', ...plain },
    ],
    backends: [
      { name: 'web', protocol: 'http', cookieKey: '' },
      { name: 'db', protocol: 'tcp', cookieKey: '' },
    ],
    targets: [
      { ...target, mode: 'ready' },
      { ...target, id: 'web-2', mode: 'drain' },
    ],
    rejected: [],
  });
});

test('leaves out frontends and backends that would cost the others their file', () => {
  const good = {
    name: 'http',
    port: 80,
    mode: FrontendMode.HTTP,
    defaultBackend: 'web',
    routes: [],
  };
  const { snapshot, problem } = snapshotOf(
    BackendSnapshot.fromPartial({
      frontends: [
        good,
        { ...good, port: 81 },
        { ...good, name: 'a\n  bind :81' },
        { ...good, name: 'fairlead-stats' },
        { ...good, name: 'c', port: 70_000 },
        { ...good, name: 'd', mode: FrontendMode.UNSPECIFIED },
        { ...good, name: 'e', defaultBackend: 'a b', routes: [] },
      ],
      backends: [{ name: 'web', mode: FrontendMode.UNSPECIFIED }],
    }),
  );
  expect(snapshot.frontends.map(({ name, port }) => `${name}:${port}`)).toEqual(['http:80']);
  expect(snapshot.backends).toEqual([]);
  for (const words of [
    'frontend "http" is there twice',
    'is no name for a frontend',
    'frontend "fairlead-stats" has a name of the agent',
    'frontend "c": 70000 is no port',
    'frontend "d": its mode is neither HTTP nor TCP',
    'frontend "e": "a b" is no name for a backend',
    'backend "web": its mode is neither HTTP nor TCP',
  ]) {
    expect(problem).toContain(words);
  }
});

test.each([
  [{ id: 'web 1' }, '"web 1" is no name for a server'],
  [{ id: '' }, '"" is no name for a server'],
  [{ backend: 'web\nserver' }, 'is no name for a backend'],
  [{ address: 'web.example' }, '"web.example" is no IP address'],
  [{ address: '10.0.0.1 backup' }, 'is no IP address'],
  [{ port: 0 }, '0 is no port'],
  [{ port: 65_536 }, '65536 is no port'],
  [{ mode: TargetMode.UNSPECIFIED }, 'its mode is neither READY nor DRAIN'],
])('rejects a target with %j, and takes the others', (change, words) => {
  const delta = deltaOf(
    BackendDelta.fromPartial({
      epoch: 'e',
      baseVersion: 1,
      version: 2,
      targets: [{ ...target, ...change }, target],
      removedTargetIds: ['gone'],
    }),
  );
  expect(delta).toMatchObject({
    epoch: 'e',
    baseVersion: 1,
    version: 2,
    removedTargetIds: ['gone'],
  });
  expect(delta.targets).toEqual([{ ...target, mode: 'ready' }]);
  expect(delta.rejected).toHaveLength(1);
  expect(delta.rejected[0]?.message).toContain(words);
});

test('writes IPv6 addresses as HAProxy does', () => {
  const { targets } = deltaOf(
    BackendDelta.fromPartial({ targets: [{ ...target, address: '2001:DB8:0:0:0:0:0:7' }] }),
  );
  expect(targets[0]?.address).toBe('2001:db8::7');
});

test('says hello with what is in effect', () => {
  const greeting: Omit<Greeting, 'applied'> = {
    proxyId: 'p',
    name: 'lb-1',
    service: 'lb',
    status: {
      version: '2.6',
      pid: 42,
      message: '',
      history: {
        reloads: 1,
        restarts: 0,
        loadings: [{ atMs: 5_000, kind: 'reload', reason: 'backend "b" is new' }],
        lastError: { atMs: 4_000, words: 'port 80 is taken' },
      },
    },
  };
  expect(helloOf({ ...greeting, applied: undefined }).message?.value).toMatchObject({
    protocolVersion: 1,
    proxyId: 'p',
    epoch: '',
    version: 0,
    status: {
      haproxyVersion: '2.6',
      haproxyPid: 42,
      history: {
        reloads: 1,
        loadings: [
          { at: new Date(5_000), kind: ProxyLoadingKind.RELOAD, reason: 'backend "b" is new' },
        ],
        lastError: 'port 80 is taken',
        lastErrorAt: new Date(4_000),
      },
    },
  });
  const whole = { structureVersion: 5, unreachedBackends: [] };
  const applied = { epoch: 'e', version: 5, errors: new Map(), ...whole };
  expect(helloOf({ ...greeting, applied }).message?.value).toMatchObject({
    epoch: 'e',
    version: 5,
  });
});

test('tells what took effect, and how targets are', () => {
  expect(
    requestOf({
      kind: 'applied',
      applied: {
        ...{ epoch: 'e', version: 5, errors: new Map([['web-1', 'no']]) },
        ...{ structureVersion: 3, unreachedBackends: ['api'] },
      },
    }),
  ).toEqual({
    message: {
      $case: 'applied',
      value: {
        ...{ epoch: 'e', version: 5, errors: [{ targetId: 'web-1', message: 'no' }] },
        ...{ structureVersion: 3, unreachedBackends: ['api'] },
      },
    },
  });
  const status = {
    targetId: 'a',
    healthMessage: '',
    inFlight: 1,
    requests: 2,
    drained: true,
  } as const;
  const { message } = requestOf({
    kind: 'targets',
    targets: [
      { ...status, health: 'up' },
      { ...status, health: 'down' },
      { ...status, health: undefined },
    ],
    clientConnections: 4,
  });
  expect(message).toEqual({
    $case: 'targets',
    value: {
      targets: [TargetHealth.UP, TargetHealth.DOWN, TargetHealth.UNSPECIFIED].map((health) => ({
        ...status,
        health,
      })),
      clientConnections: 4,
    },
  });
});
