import { afterAll, expect, test } from 'vitest';
import {
  Action,
  ActionState,
  PlacementStrategy,
  Service,
  ServiceState,
} from '../../../client/index.ts';
import { eventually } from '../../support/eventually.ts';
import { TemporaryDirectory } from '../../support/temporary-directory.ts';
import {
  cliSource,
  removeBuild,
  runCli,
  startCli,
  startFromSource,
  type CliProcess,
} from './cli-process.ts';

afterAll(removeBuild);

/** Started from its sources a daemon takes a while, on a machine that does more at the same time. */
const slow = { timeoutMs: 60_000 };
const patience = 180_000;

/** A real coordinator without nodes, run by the command line itself. */
class Coordinator implements AsyncDisposable {
  readonly directory = new TemporaryDirectory();
  address = '127.0.0.1:0';
  #process: CliProcess | undefined;

  get env(): Readonly<Record<string, string>> {
    return {
      FAIRLEAD_ADDRESS: this.address,
      FAIRLEAD_TOKEN_FILE: this.directory.join('state', 'admin.token'),
    };
  }

  async start(): Promise<this> {
    const started = startFromSource(cliSource, [
      ...['coordinator', 'run', '--state-dir', this.directory.join('state')],
      ...['--listen', this.address, '--http-listen', '127.0.0.1:0'],
    ]);
    this.#process = started;
    this.address = await eventually(() => {
      const port = /"port":(?<port>\d+)/.exec(started.stdout)?.groups?.['port'];
      expect(port, started.stdout + started.stderr).toBeDefined();
      return `127.0.0.1:${port!}`;
    }, slow);
    return this;
  }

  /** The exit status of a stop in good order. */
  async stop(): Promise<number | undefined> {
    this.#process?.signal('SIGTERM');
    return await this.#process?.ended();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    await this.directory[Symbol.asyncDispose]();
  }
}

test('every kind of command works against a real coordinator', { timeout: patience }, async () => {
  await using coordinator = await new Coordinator().start();
  const run = (...args: string[]) => runCli(args, { env: coordinator.env });
  const json = async (...args: string[]): Promise<unknown> => {
    const { status, stdout, stderr } = await run('--json', ...args);
    expect(stderr).toBe('');
    expect(status).toBe(0);
    return JSON.parse(stdout);
  };

  expect(await json('info')).toMatchObject({ role: 'ROLE_ADMIN' });

  const created = Service.fromJSON(
    await json(
      ...['service', 'create', '--name', 'web', 'registry/web:1', '--replicas', '2'],
      ...['--publish', '80', '--env', 'A=1', '--readiness', 'http:/healthz', '--', '-x'],
    ),
  );
  expect(created.state).toBe(ServiceState.NOT_RUNNING);
  expect(created.spec).toMatchObject({ replicas: 2, command: ['-x'], environment: { A: '1' } });

  const changed = Service.fromJSON(
    await json(
      ...['service', 'set', 'web', '--env', 'B=2', '--env-rm', 'A', '--readiness', 'tcp'],
      ...['--readiness-interval', '500ms', '--order', 'stop-first', '--parallelism', '2'],
      ...['--stop-grace', '0', '--strategy', 'high-availability', '--label', 'team=red'],
    ),
  );
  expect(changed.spec).toMatchObject({
    environment: { B: '2' },
    labels: { team: 'red' },
    command: ['-x'],
    readiness: { check: { $case: 'tcp' }, intervalMs: 500 },
    update: { parallelism: 2 },
    stopGraceMs: 0,
    strategy: PlacementStrategy.HIGH_AVAILABILITY,
  });
  expect(changed.version).toBeGreaterThan(created.version);

  await tryRevisions(json);
  const promotion = await run('service', 'promote', 'web');
  expect(promotion.status).toBe(5);
  expect(promotion.stderr).toContain('web has no canaries');

  await json('service', 'create', '--name', 'lb', 'registry/lb:1', '--role', 'proxy');
  expect(await json('link', 'add', 'lb', 'web:www')).toMatchObject({
    spec: { links: [{ service: 'web', alias: 'www' }] },
  });
  const linked = await run('service', 'rm', 'web');
  expect(linked.stderr).toContain('lb');
  expect(linked.status).toBe(5);
  await json('link', 'rm', 'lb', 'www');
  await json('link', 'add', 'lb', 'web');
  // In the order in which they are named: the first makes the second possible.
  expect(await run('service', 'rm', 'lb', 'web')).toMatchObject({
    status: 0,
    stdout: 'removed: lb\nremoved: web\n',
  });
  expect((await run('service', 'inspect', 'web')).status).toBe(3);

  const wrong = await run(
    'service',
    'create',
    '--name',
    'NO',
    'registry/web:',
    '-p',
    '80',
    '-p',
    '81',
  );
  expect(wrong.stderr).toMatch(/the request is wrong:\n {2}name must .*\n {2}spec\.image must /);
  expect(wrong.status).toBe(2);

  await tryImport(run, json);
  await tryClusters(run, json);

  const viewer = (await run('token', 'create', 'reader', '--role', 'viewer')).stdout.trim();
  const refused = await runCli(['token', 'ls'], {
    env: { FAIRLEAD_ADDRESS: coordinator.address, FAIRLEAD_TOKEN: viewer },
  });
  expect(refused.status).toBe(4);
  expect((await run('token', 'revoke', 'reader')).stdout).toBe('revoked: reader\n');
  const types = (await json('events')) as { readonly type: string }[];
  expect(types.map(({ type }) => type)).toEqual(
    expect.arrayContaining(['service.created', 'token.revoked']),
  );
});

/** What a service was is listed and compared, and it goes back to that. */
async function tryRevisions(json: (...args: string[]) => Promise<unknown>): Promise<void> {
  await json(
    ...['service', 'set', 'web', '--parallelism', '25%', '--settle', '2s', '--on-failure', 'pause'],
    ...['--failure-budget', '1', '--revisions-kept', '5', '--canary', '2', '--auto-promote'],
  );
  expect(await json('service', 'revisions', 'web')).toMatchObject([
    {
      revision: 2,
      current: true,
      method: 'UpdateService',
      spec: {
        update: {
          ...{ parallelismPercent: 25, settleMs: 2_000, failureBudget: 1, revisionsKept: 5 },
          ...{ canary: 2, autoPromote: true },
          onFailure: 'FAILURE_ACTION_PAUSE',
        },
      },
    },
    { revision: 1, method: 'CreateService', principal: 'admin' },
  ]);
  expect(await json('service', 'diff', 'web')).toContainEqual({
    ...{ path: 'environment.A', before: '"1"' },
  });
  expect(await json('service', 'rollback', 'web', '1')).toMatchObject({
    revision: 3,
    spec: { environment: { A: '1' }, update: { parallelism: 1 } },
  });
}

/** Settings of dockercloud/haproxy become those of a service, and of the one that it stands in for. */
async function tryImport(
  run: (...args: string[]) => ReturnType<typeof runCli>,
  json: (...args: string[]) => Promise<unknown>,
): Promise<void> {
  const create = (name: string, ...settings: string[]) =>
    run(
      ...['--json', 'service', 'create', '--name', name, 'registry/web:1', '--expose', '80'],
      ...['--from-dockercloud', ...settings.flatMap((setting) => ['--env', setting])],
    );
  const host = 'VIRTUAL_HOST=shop.test, shop.test/a/*';
  const shop = await create(
    ...['shop', host, 'HTTP_BASIC_AUTH=joe:hunter2', 'EXTRA_SETTINGS=timeout server 90s', 'A=1'],
  );
  expect(shop.stderr).toContain(
    'HTTP_BASIC_AUTH: taken over as passwords of these routes, for joe',
  );
  expect(shop.stdout + shop.stderr).not.toContain('hunter2');
  const { spec } = Service.fromJSON(JSON.parse(shop.stdout));
  const users = [{ name: 'joe', passwordHash: '' }];
  expect(spec?.routes).toMatchObject(
    Array(2).fill({ hosts: ['shop.test'], responseTimeoutMs: 90_000, basicAuth: { users } }),
  );
  expect(Object.keys(spec?.environment ?? {}).sort()).toEqual([
    ...['A', 'EXTRA_SETTINGS', 'VIRTUAL_HOST'],
  ]);

  const backup = await create('standby', 'VIRTUAL_HOST=shop.test', 'FAILOVER=1');
  expect(backup.stderr).toContain('FAILOVER: taken over as --backup standby of shop');
  expect(Service.fromJSON(JSON.parse(backup.stdout)).spec?.routes).toEqual([]);
  expect(await json('service', 'inspect', 'shop')).toMatchObject({
    spec: { balancing: { backups: ['standby'] } },
  });
  const alone = await create('alone', 'VIRTUAL_HOST=alone.test', 'FAILOVER=1');
  expect(alone.stderr).toContain('FAILOVER: not taken over: no service has a route for the same');
  expect(Service.fromJSON(JSON.parse(alone.stdout)).spec?.routes).toHaveLength(1);
}

async function tryClusters(
  run: (...args: string[]) => ReturnType<typeof runCli>,
  json: (...args: string[]) => Promise<unknown>,
): Promise<void> {
  expect(await json('cluster', 'create', 'edge', '--nodes', '4', '--tag', 'web')).toMatchObject({
    state: 'NODE_CLUSTER_STATE_EMPTY',
    message: 'waiting for 4 more hosts',
    tags: ['web'],
  });
  const join = ['token', 'create', '--role', 'node', '--cluster', 'edge', '--max-uses', '4'];
  expect(await json(...join)).toMatchObject({
    secret: expect.stringMatching(/^flt_/) as string,
    token: { name: expect.stringMatching(/^edge-[0-9a-f]{8}$/) as string, maxUses: 4 },
  });
  const set = ['cluster', 'set', 'edge', '--nodes', '2', '--tag-add', 'eu', '--tag-rm', 'web'];
  expect(await json(...set)).toMatchObject({ targetNodes: 2, tags: ['eu'] });
  expect((await run('cluster', 'ls')).stdout).toMatch(/edge +empty +0\/2 +0 +eu .*waiting for 2/);
  await run('token', 'create', 'looks', '--role', 'viewer', '--cluster', 'edge');
  const tokens = (await run('token', 'ls')).stdout;
  expect(tokens).toMatch(/^edge-\S+ +node +all +edge +0\/4/m);
  expect(tokens).toMatch(/^looks +viewer +none +edge /m);
  expect((await run('cluster', 'set', 'edge')).status).toBe(2);
  const automatic = await run('cluster', 'set', 'edge', '--tag-rm', 'os=linux');
  expect(automatic.stderr).toContain('nobody can take it away');
  expect((await run('node', 'assign', 'nobody', '--cluster', 'edge')).status).toBe(3);
  expect((await run('cluster', 'rm', 'edge')).stdout).toBe('removed: edge\n');
  expect((await run('cluster', 'inspect', 'edge')).status).toBe(3);
}

test('a wait goes on over a restart of the coordinator', { timeout: patience }, async () => {
  await using coordinator = await new Coordinator().start();
  const { env } = coordinator;
  const begun = await runCli(
    [...['service', 'run', '--name', 'web', 'registry/web:1'], '--no-wait', '--json'],
    { env },
  );
  const { id } = Action.fromJSON(JSON.parse(begun.stdout));
  await using watching = await startCli(['action', 'watch', id, '--json'], { env });
  await using listing = await startCli(['service', 'ls', '--watch', '--json'], { env });
  await eventually(() => {
    expect(watching.documents().length).toBeGreaterThan(0);
    expect(listing.documents().length).toBeGreaterThan(0);
  });
  const explained = await runCli(['explain', 'web'], { env });
  expect(explained.stdout).toContain('no node');

  expect(await coordinator.stop()).toBe(0);
  await coordinator.start();
  const removed = await runCli(['service', 'rm', 'web'], { env });
  expect(removed.stderr).toBe('');
  expect(await watching.ended()).toBe(5);
  expect(Action.fromJSON(watching.documents().at(-1)).state).toBe(ActionState.SUPERSEDED);
  await eventually(() => {
    expect(listing.stdout).toContain('removedIds');
  });
});
