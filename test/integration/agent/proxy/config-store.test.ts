import { writeFileSync } from 'node:fs';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { capabilitiesOf } from '../../../../agent/proxy/capabilities.ts';
import type { Target } from '../../../../agent/proxy/backend-list.ts';
import {
  ConfigStore,
  readDescription,
  type FixedSettings,
} from '../../../../agent/proxy/config-store.ts';
import { HaproxyProcess } from '../../../../agent/proxy/haproxy-process.ts';
import { routesScript as script } from '../../../../agent/proxy/route-counts.ts';
import { stickyScript as fetchScript } from '../../../../agent/proxy/slots.ts';
import { statePaths } from '../../../../agent/proxy/state-directory.ts';
import { systemClock } from '../../../../shared/clock.ts';
import { createLogger } from '../../../../shared/logger.ts';
import { haproxyProgram } from '../../../support/haproxy.ts';
import { validBalancing, validReadiness, validRoutes } from '../../../support/routes.ts';
import { TemporaryDirectory } from '../../../support/temporary-directory.ts';

const never = new AbortController().signal;

const name = fc
  .array(fc.constantFrom('a', 'b', 'Z', '0', '9', '_', '.', '-'), { minLength: 1, maxLength: 20 })
  .map((letters) => letters.join(''))
  .filter((text) => !text.startsWith('fairlead-'));
const port = fc.integer({ min: 1_024, max: 65_535 });
const protocol = fc.constantFrom('http' as const, 'tcp' as const);
const structure = fc
  .record({
    backends: fc.uniqueArray(
      fc.record({
        ...{ name, protocol, balancing: validBalancing, cookieKey: fc.constant('abc') },
        readiness: validReadiness,
      }),
      {
        maxLength: 4,
        selector: (backend) => backend.name,
      },
    ),
    frontends: fc.uniqueArray(
      fc.record({ name, port, protocol, pick: fc.nat(), routes: validRoutes }),
      {
        maxLength: 4,
        selector: (frontend) => frontend.name,
      },
    ),
  })
  .map(({ backends, frontends }) => ({
    backends,
    frontends: frontends.map(({ pick, routes, ...frontend }, index) => ({
      // No two have one port: that is settled before anything is rendered.
      ...{ ...frontend, port: 10_000 + index },
      // Nor one name with a backend, which HAProxy 3.3 and later refuse: the coordinator gives none.
      name: `F${frontend.name}`,
      defaultBackend: backends[pick % backends.length]?.name ?? 'nowhere',
      routes: routes.map((route) => ({
        ...{ id: `web${index}.${route.name}`, route },
        backend: backends[pick % backends.length]?.name ?? 'nowhere',
      })),
    })),
  }));
const members = fc.uniqueArray(
  fc.record({
    ...{ id: name, address: fc.oneof(fc.ipV4(), fc.constant('2001:db8::7')), pick: fc.nat() },
    ...{ http2: fc.boolean(), checkPort: fc.constantFrom(0, 8_080), backup: fc.boolean() },
    sendProxy: fc.constantFrom(undefined, false, true),
  }),
  { maxLength: 10, selector: ({ id }) => id },
);

const settings: FixedSettings = {
  ...{ maxConnections: 100, statsPort: 0, statsAuth: undefined },
  ...{ metricsPort: 0, metricsAddress: '127.0.0.1', accessLog: false, pausePort: 1_053 },
};

test('HAProxy takes every file that is rendered', { timeout: 120_000 }, async () => {
  await using directory = new TemporaryDirectory();
  const paths = statePaths(directory.path);
  const haproxy = new HaproxyProcess(
    paths,
    {
      binary: haproxyProgram,
      commandTimeoutMs: 10_000,
      startTimeoutMs: 10_000,
      sharesOutput: false,
      capabilitiesOf,
    },
    { clock: systemClock, log: createLogger({ level: 'silent', process: 'test' }) },
  );
  const routesScript = directory.join('routes.lua');
  writeFileSync(routesScript, script);
  const stickyScript = directory.join('sticky.lua');
  writeFileSync(stickyScript, fetchScript);
  const store = new ConfigStore(
    paths,
    {
      ...settings,
      statsAuth: 'joe:se#cr"et$',
      metricsAddress: '::1',
      accessLog: true,
      routesScript,
      stickyScript,
    },
    haproxy,
  );
  await fc.assert(
    fc.asyncProperty(structure, members, port, async (wanted, servers, metricsPort) => {
      const targets: Target[] = servers.map(({ pick, ...server }) => ({
        ...server,
        backend: wanted.backends[pick % wanted.backends.length]?.name ?? 'nowhere',
        port: 80,
        mode: 'ready',
        drainTimeoutMs: 0,
        container: 'web-1',
        containerId: '',
      }));
      const pages = { statsPort: 1_936, metricsPort };
      const configuration = { ...wanted, pages, revision: 'abc', problem: undefined };
      expect(await store.check({ configuration, targets }, never)).toBeUndefined();
    }),
    { numRuns: 40 },
  );
});

test('names a configuration by all of it but the targets', async () => {
  await using directory = new TemporaryDirectory();
  const paths = statePaths(directory.path);
  const haproxy = new HaproxyProcess(
    paths,
    {
      binary: haproxyProgram,
      commandTimeoutMs: 2_000,
      startTimeoutMs: 10_000,
      sharesOutput: false,
      capabilitiesOf,
    },
    { clock: systemClock, log: createLogger({ level: 'silent', process: 'test' }) },
  );
  const revisionWith = async (maxConnections: number, backend: string) => {
    const store = new ConfigStore(paths, { ...settings, maxConnections }, haproxy);
    const backends = [{ name: backend, protocol: 'http' } as const];
    return (await store.configure({ frontends: [], backends }, new Set())).revision;
  };
  const revision = await revisionWith(100, 'web');
  expect(await revisionWith(100, 'web')).toBe(revision);
  expect(await revisionWith(101, 'web')).not.toBe(revision);
  expect(await revisionWith(100, 'api')).not.toBe(revision);
});

test('reads from a running HAProxy which configuration it has', () => {
  expect(readDescription('fairlead rev=0123abc ports=80,1936')).toEqual({
    revision: '0123abc',
    ports: new Set([80, 1936]),
  });
  expect(readDescription('fairlead rev=0 ports=')).toEqual({ revision: '0', ports: new Set() });
  expect(readDescription('somebody else')).toBeUndefined();
});
