import fc from 'fast-check';
import { expect, test } from 'vitest';
import { pathOf, type Target } from '../../../../agent/proxy/backend-list.ts';
import {
  planServers,
  reloadReason,
  unreachedBackends,
  type ServerView,
} from '../../../../agent/proxy/plan-servers.ts';
import { Route } from '../../../../shared/gen/fairlead/v1/route.ts';
import { commandsOf } from '../../../../agent/proxy/server-commands.ts';
import type { KnownServer } from '../../../../agent/proxy/server-state.ts';
import { ModelHaproxy } from '../../../support/model-haproxy.ts';
import { aServer, aTarget } from './builders.ts';

const path = 'web/web-1';
const ready = aTarget({ id: 'web-1' });
const drain = aTarget({ id: 'web-1', mode: 'drain' });
const moved = { address: '10.9.9.9' };

function view(
  target: Target | undefined,
  server: KnownServer | undefined,
  drained = false,
): ServerView {
  return {
    targets: new Map(target === undefined ? [] : [[path, target]]),
    drained: new Set(drained ? [path] : []),
    servers: new Map(server === undefined ? [] : [[path, server]]),
    backends: new Set(['web']),
    dynamicServers: true,
  };
}

const inMode = (mode: KnownServer['mode']) => aServer({ id: 'web-1', mode });

test('leaves what only the file can bring to a reload, and takes away what stands in its place', () => {
  const fixed = { dynamicServers: false };
  const added = planServers({ ...view(ready, undefined), ...fixed }, [path]);
  expect(added.steps).toEqual([]);
  expect([...added.forFile]).toEqual([path]);
  expect(added.needReload.get(path)).toContain('only by a reload');
  const moves = planServers({ ...view({ ...ready, ...moved }, inMode('ready')), ...fixed }, [path]);
  expect(moves.steps.map(({ kind }) => kind)).toEqual(['cut']);
  expect([...moves.forFile]).toEqual([path]);
  const back = planServers({ ...view(ready, inMode('drain')), ...fixed }, [path]);
  expect(back.steps.map(({ kind }) => kind)).toEqual(['ready']);
  expect(back.forFile.size).toBe(0);
});

test.each<[string, ServerView, string[]]>([
  ['adds what is ready', view(ready, undefined), ['add']],
  ['leaves what is as wanted', view(ready, inMode('ready')), []],
  ['mends what somebody changed', view(ready, aServer({ id: 'web-1', altered: true })), ['ready']],
  ['takes back what was in drain', view(ready, inMode('drain')), ['ready']],
  ['takes back what waits for its deletion', view(ready, inMode('maint')), ['ready']],
  [
    'replaces what has another address',
    view(ready, aServer({ id: 'web-1', ...moved })),
    ['cut', 'delete', 'add'],
  ],
  ['drains', view(drain, inMode('ready')), ['drain']],
  ['goes on draining', view(drain, inMode('drain')), []],
  ['ends a drain in maintenance', view(drain, inMode('drain'), true), ['maint']],
  ['leaves what has drained', view(drain, inMode('maint'), true), []],
  ['adds nothing to drain it', view(drain, undefined), []],
  ['cuts a drain of another address', view(drain, aServer({ id: 'web-1', ...moved })), ['cut']],
  ['cuts what is gone', view(undefined, inMode('ready')), ['cut']],
  ['cuts what is gone in mid-drain', view(undefined, inMode('drain')), ['cut']],
  ['cuts what is gone and was sticky in drain', view(undefined, inMode('maint')), ['cut']],
  ['leaves the rest of what is gone for later', view(undefined, inMode('maint'), true), []],
  ['has nothing to do for what nobody knows', view(undefined, undefined), []],
])('%s', (_name, state, kinds) => {
  const { steps, needReload } = planServers(state, [path]);
  expect(steps.map(({ kind }) => kind)).toEqual(kinds);
  expect(needReload.size).toBe(0);
});

test('looks only at the paths that it is given', () => {
  expect(planServers(view(ready, undefined), []).steps).toEqual([]);
});

test('brings capacity before it takes some away', () => {
  const state: ServerView = {
    targets: new Map([['web/new', aTarget({ id: 'new' })]]),
    drained: new Set(),
    servers: new Map([['web/old', aServer({ id: 'old' })]]),
    backends: new Set(['web']),
    dynamicServers: true,
  };
  expect(planServers(state, ['web/old', 'web/new']).steps.map(({ kind }) => kind)).toEqual([
    'add',
    'cut',
  ]);
});

test('says which targets need a reload first', () => {
  const { steps, needReload } = planServers({ ...view(ready, undefined), backends: new Set() }, [
    path,
  ]);
  expect(steps).toEqual([]);
  expect([...needReload]).toEqual([[path, 'HAProxy has no backend "web"']]);
});

test('never says "enabled", and always gives the pool what it needs', () => {
  const [add, ...rest] = commandsOf({ kind: 'add', target: aTarget({ id: 'web-1' }) });
  expect(add).toContain('add server web/web-1 10.0.0.1:80 check ');
  expect(add).toContain(' pool-purge-delay 5s pool-max-conn -1');
  expect(add).not.toContain('enabled');
  expect(rest).toEqual(['enable health web/web-1', 'set server web/web-1 state ready']);
});

const structure = {
  frontends: [{ name: 'http', port: 80, protocol: 'http', defaultBackend: 'web', routes: [] }],
  backends: [{ name: 'web', protocol: 'http' }],
} as const;

test.each([
  ['nothing', { ...structure, revision: 'a' }, undefined],
  ['an unknown structure', { revision: 'b' }, 'the configuration that HAProxy runs'],
  ['a new frontend', { ...structure, frontends: [], revision: 'b' }, 'frontend "http" is new'],
  ['a new backend', { ...structure, backends: [], revision: 'b' }, 'backend "web" is new'],
  [
    'another port',
    { ...structure, frontends: [{ ...structure.frontends[0], port: 81 }], revision: 'b' },
    'frontend "http" changed',
  ],
  [
    'a backend less',
    {
      ...structure,
      backends: [...structure.backends, { name: 'x', protocol: 'tcp' }],
      revision: 'b',
    },
    'backend "x" is gone',
  ],
  ['other settings', { ...structure, revision: 'b' }, 'the settings changed'],
] as const)('reloads for %s', (_name, live, reason) => {
  const words = reloadReason(live, { ...structure, revision: 'a' });
  if (reason === undefined) expect(words).toBeUndefined();
  else expect(words).toContain(reason);
});

test('says where requests are to come and do not, as HAProxy has them go elsewhere', () => {
  const port = (number: number, defaultBackend: string, routes: Record<string, string[]> = {}) => ({
    ...{ name: `http-${number}`, port: number, protocol: 'http' as const, defaultBackend },
    routes: Object.entries(routes).map(([id, [backend = '', ...others]]) => ({
      ...{ id, backend, route: Route.create() },
      split: others.map((each) => ({ backend: each, percent: 10 })),
    })),
  });
  const running = { backends: [], frontends: [port(80, 'web', { a: ['blue'], b: ['api'] })] };
  const unreached = (...frontends: ReturnType<typeof port>[]) =>
    unreachedBackends(running, { backends: [], frontends });
  expect(unreached(...running.frontends)).toEqual([]);
  expect(unreached(port(80, 'web', { a: ['green'], b: ['api'] }))).toEqual(['green']);
  expect(unreached(port(80, 'other', { a: ['blue', 'green'] }))).toEqual(['green', 'other']);
  // New ways take nothing from anybody, and ways that end lead nowhere.
  expect(unreached(port(80, '', { c: ['green'] }), port(81, 'green'))).toEqual([]);
});

const target = fc
  .record({
    id: fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f'),
    backend: fc.constantFrom('web', 'api'),
    mode: fc.constantFrom('ready' as const, 'drain' as const),
    address: fc.constantFrom('10.0.0.1', '2001:db8::7'),
  })
  .map((options) => aTarget(options));
const server = fc
  .record({
    id: fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f', 'g'),
    backend: fc.constantFrom('web', 'api'),
    mode: fc.constantFrom('ready' as const, 'drain' as const, 'maint' as const),
    address: fc.constantFrom('10.0.0.1', '2001:db8::7'),
  })
  .map((options) => aServer(options));

test('the plan brings a HAProxy in any state to the list, and a second plan has nothing to do', () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(target, { selector: ({ id }) => id }),
      fc.uniqueArray(server, { selector: pathOf }),
      fc.array(fc.constantFrom('a', 'b', 'c')),
      (targets, servers, drainedIds) => {
        const haproxy = new ModelHaproxy(['web', 'api'], servers);
        const wanted = new Map(targets.map((each) => [pathOf(each), each]));
        const drained = new Set(drainedIds.flatMap((id) => [`web/${id}`, `api/${id}`]));
        const { servers: known, backends, dynamicServers } = haproxy;
        const state = { targets: wanted, drained, servers: known, backends, dynamicServers };
        const paths = new Set([...wanted.keys(), ...haproxy.servers.keys()]);

        const { steps } = planServers(state, paths);
        for (const command of steps.flatMap((step) => commandsOf(step))) {
          expect(haproxy.run(command)).toBeUndefined();
        }

        for (const [at, each] of wanted) {
          const found = haproxy.servers.get(at);
          if (each.mode === 'ready') {
            expect(found).toMatchObject({ mode: 'ready', address: each.address, port: each.port });
          } else {
            expect(found?.mode).not.toBe('ready');
          }
        }
        for (const [at, left] of haproxy.servers) {
          if (!wanted.has(at)) expect(left.mode).toBe('maint');
        }
        const gone = [...paths].filter((at) => !wanted.has(at));
        const after = { ...state, drained: new Set([...drained, ...gone]) };
        expect(planServers(after, paths).steps).toEqual([]);
      },
    ),
  );
});
