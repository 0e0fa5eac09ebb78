import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import {
  Action,
  ActionState,
  Container,
  ContainerPhase,
  EndpointKind,
  Node,
  PlacementStrategy,
  PortProtocol,
  Proxy,
  Service,
  ServiceSpec,
  ServiceState,
  Status,
  ProxyLoadingKind,
  TargetHealth,
  TargetMode,
  type ScaleServiceRequest,
  type UpdateServiceRequest,
} from '../../../client/index.ts';
import { eventually } from '../../support/eventually.ts';
import { startFakeControl, viewerToken, type FakeControl } from '../../support/fake-control.ts';
import {
  cliSource,
  environmentOf,
  removeBuild,
  runCli,
  runFromSource,
  startCli,
  type CliResult,
} from './cli-process.ts';
import { TemporaryDirectory } from '../../support/temporary-directory.ts';

async function run(fake: FakeControl, ...args: string[]): Promise<CliResult> {
  return await runCli(args, { env: environmentOf(fake) });
}

function addNodes(fake: FakeControl, count: number): void {
  for (let number = 1; number <= count; number++) {
    fake.nodes.put(
      Node.fromPartial({ id: fake.newId(), name: `node-${number}`, tags: ['web'], version: 1 }),
    );
  }
}

afterAll(removeBuild);

function parsed(text: string): unknown {
  return JSON.parse(text);
}

describe('without a coordinator', () => {
  test('shows help with examples, and loads no gRPC for it', async () => {
    const printLoaded =
      'data:text/javascript,import m from "node:module";process.on("exit",()=>console.error(Object.keys(m._cache).join()))';
    const { status, stdout, stderr } = await runCli(['--help'], {
      nodeArgs: ['--import', printLoaded],
    });
    expect(status).toBe(0);
    expect(stdout).toContain('Examples:');
    expect(stdout).toContain('Exit status:');
    expect(stderr).toContain('commander');
    expect(stderr).not.toContain('grpc');
  });

  test.each([
    { command: ['token'], words: 'Commands:' },
    { command: ['node', 'ls'], words: '--watch' },
  ])('help for a command is as its --help: $command', async ({ command, words }) => {
    const [asked, said] = await Promise.all([
      runCli(['help', ...command]),
      runCli([...command, '--help']),
    ]);
    expect(asked).toEqual(said);
    expect(asked).toMatchObject({ status: 0, stderr: '' });
    expect(asked.stdout).toContain(words);
  });

  test('prints its version', async () => {
    const { status, stdout } = await runCli(['--version']);
    expect(status).toBe(0);
    expect(stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });

  test.each([
    { args: ['srevice', 'ls'], words: "unknown command 'srevice'" },
    { args: ['service', 'ls', '--jsn'], words: '--json' },
    { args: ['service', 'run', 'registry/web:1'], words: "'-n, --name <name>' not specified" },
    { args: ['service', 'scale', 'web', 'many'], words: 'whole number' },
    { args: ['service', 'run', '-n', 'web', 'i', '--publish', '70000'], words: '1 to 65535' },
    { args: ['service', 'run', '-n', 'web', 'i', '--drain-timeout', '30'], words: '30s' },
    { args: ['service', 'ls'], words: 'FAIRLEAD_ADDRESS' },
    { args: ['service'], words: 'Usage: fairlead service' },
  ])('says how a command is wrong: $args', async ({ args, words }) => {
    const { status, stdout, stderr } = await runCli(args);
    expect(stderr).toContain(words);
    expect(stdout).toBe('');
    expect(status).toBe(2);
  });

  test('says that nobody answers, and why', async () => {
    await using fake = await startFakeControl();
    fake.stop();
    const { status, stdout, stderr } = await run(fake, 'service', 'ls', '--json');
    expect(stderr).toContain('refused');
    expect(stdout).toBe('');
    expect(status).toBe(7);
  });

  test('runs the daemons with their own flags', async () => {
    const { status, stderr } = await runFromSource(cliSource, [
      'coordinator',
      'run',
      '--listen',
      'nonsense',
    ]);
    expect(stderr).toContain('HOST:PORT');
    expect(status).toBe(2);
    const help = await runFromSource(cliSource, ['agent', 'run', '--help']);
    expect(help.stdout).toContain('--advertise-address');
    expect((await runFromSource(cliSource, ['agent', 'run', '--nonsense'])).status).toBe(2);
    const proxy = await runFromSource(cliSource, ['proxy', 'run', '--on-stop', 'maybe']);
    expect(proxy.stderr).toContain('must be keep or stop');
    expect(proxy.status).toBe(2);
  });
});

describe('exit statuses', () => {
  test('3 for what is not there', async () => {
    await using fake = await startFakeControl();
    for (const args of [
      ['service', 'inspect'],
      ['service', 'ps'],
      ['explain'],
      ['action', 'watch'],
    ]) {
      const { status, stderr } = await run(fake, ...args, 'nothing');
      expect(stderr).toContain('nothing');
      expect(status).toBe(3);
    }
  });

  test('4 for what is not allowed', async () => {
    await using fake = await startFakeControl();
    fake.addService('web');
    const viewer = await runCli(['service', 'stop', 'web'], {
      env: environmentOf(fake, viewerToken),
    });
    expect(viewer.stderr).toContain('needs the role operator');
    expect(viewer.status).toBe(4);
    const stranger = await runCli(['info'], { env: environmentOf(fake, 'nonsense') });
    expect(stranger.status).toBe(4);
  });

  test('5 for a conflict', async () => {
    await using fake = await startFakeControl();
    fake.addService('web');
    const taken = await run(fake, 'service', 'create', '--name', 'web', 'registry/web:1');
    expect(taken.stderr).toContain('exists');
    expect(taken.status).toBe(5);
    const changed = await run(fake, 'service', 'scale', 'web', '3', '--if-version', '77');
    expect(changed.stderr).toContain('version');
    expect(changed.status).toBe(5);
  });

  test('2 for a request that is refused, with every field at fault', async () => {
    await using fake = await startFakeControl();
    const violations = [
      { field: 'name', rule: 'must be lower-case letters' },
      { field: 'spec.image', rule: 'must be an image reference' },
    ];
    fake.refuse('CreateService', {
      status: Status.INVALID_ARGUMENT,
      message: violations.map(({ field, rule }) => `${field} ${rule}`).join('; '),
      reason: 'INVALID_REQUEST',
      violations,
    });
    const { status, stdout, stderr } = await run(fake, 'service', 'run', '-n', 'WEB', 'IMAGE');
    expect(stderr).toBe(
      'fairlead: the request is wrong:\n' +
        '  name must be lower-case letters\n' +
        '  spec.image must be an image reference\n',
    );
    expect(stdout).toBe('');
    expect(status).toBe(2);
  });

  test('6 when waiting takes too long, and the action goes on', async () => {
    await using fake = await startFakeControl();
    fake.addService('web');
    fake.holdActions = true;
    const { status, stdout, stderr } = await run(
      fake,
      ...['service', 'scale', 'web', '3', '--timeout', '200ms', '--json'],
    );
    expect(stderr).toContain('has not ended within 0.2s; it goes on as action');
    expect(stderr).toContain('fairlead action watch');
    expect(stdout).toBe('');
    expect(status).toBe(6);
  });

  test.each([
    { state: ActionState.FAILED, expected: 1 },
    { state: ActionState.SUPERSEDED, expected: 5 },
  ])('says why an action did not succeed ($expected)', async ({ state, expected }) => {
    await using fake = await startFakeControl();
    fake.addService('web');
    fake.holdActions = true;
    await using cli = await startCli(['service', 'redeploy', 'web', '--json'], {
      env: environmentOf(fake),
    });
    const [action] = await eventually(() => {
      expect(fake.actions.list()).toHaveLength(1);
      return fake.actions.list();
    });
    fake.finishAction(action!.id, state, 'web-2 was not ready in time: GET / answers 500');
    expect(await cli.ended()).toBe(expected);
    expect(cli.stderr).toContain('web-2 was not ready in time: GET / answers 500');
    expect(cli.stderr).toContain('fairlead explain web');
    expect(cli.stdout).toBe('');
  });

  test('130 when it is interrupted while waiting, and says that the action goes on', async () => {
    await using fake = await startFakeControl();
    fake.addService('web');
    fake.holdActions = true;
    await using cli = await startCli(['service', 'redeploy', 'web', '--progress'], {
      env: environmentOf(fake),
    });
    await eventually(() => {
      expect(cli.stderr).toContain('redeploying web (action');
    });
    cli.signal('SIGINT');
    expect(await cli.ended()).toBe(130);
    const [action] = fake.actions.list();
    expect(cli.stderr).toContain(`interrupted; redeploying web goes on as action ${action!.id}`);
    expect(action!.state).toBe(ActionState.IN_PROGRESS);
  });
});

describe('services', () => {
  test('A7: defines and starts one, with every flag in its place, variables from a file too', async () => {
    await using fake = await startFakeControl();
    addNodes(fake, 4);
    await using directory = new TemporaryDirectory();
    const envFile = join(directory.path, 'variables');
    writeFileSync(envFile, '# comment\n\nA=from file\nB=from file\n');
    const { status, stdout, stderr } = await run(
      fake,
      ...['service', 'run', '--name', 'web', 'registry/web:1', '--replicas', '8', '--json'],
      ...['--strategy', 'high-availability', '--tag', 'web', '--tag', 'eu,fast'],
      ...['--avoid-tag', 'edge,old'],
      ...['--publish', '80', '-p', '5000:53/udp', '--expose', '9000', '--expose', '80'],
      ...['--env-file', envFile, '--env', 'B=from flag', '-e', 'C=x=y', '--label', 'team=red'],
      ...['--link', 'api', '--link', 'db:store', '--restart', 'on-failure', '--role', 'viewer'],
      ...['--readiness', 'http:/healthz?deep=1:8080', '--readiness-interval', '500ms'],
      ...['--order', 'stop-first', '--parallelism', '2', '--update-deadline', '5m'],
      ...['--drain-timeout', '1.5s', '--stop-grace', '0', '--entrypoint', '/bin/web'],
      ...['--', '--queue', 'high'],
    );
    expect(stderr).toBe('');
    expect(status).toBe(0);
    const service = Service.fromJSON(parsed(stdout));
    expect(service.state).toBe(ServiceState.RUNNING);
    expect(service.readyContainers).toBe(8);
    const tcp = 'PORT_PROTOCOL_TCP';
    expect(ServiceSpec.toJSON(service.spec!)).toEqual({
      image: 'registry/web:1',
      replicas: 8,
      command: ['--queue', 'high'],
      entrypoint: ['/bin/web'],
      environment: { A: 'from file', B: 'from flag', C: 'x=y' },
      labels: { team: 'red' },
      ports: [
        { containerPort: 9000, protocol: tcp },
        { containerPort: 80, protocol: tcp, published: true },
        { containerPort: 53, protocol: 'PORT_PROTOCOL_UDP', published: true, hostPort: 5000 },
      ],
      links: [{ service: 'api' }, { service: 'db', alias: 'store' }],
      tags: ['web', 'eu', 'fast'],
      avoidTags: ['edge', 'old'],
      strategy: 'PLACEMENT_STRATEGY_HIGH_AVAILABILITY',
      restart: 'RESTART_POLICY_ON_FAILURE',
      readiness: { http: { path: '/healthz?deep=1', port: 8080 }, intervalMs: 500 },
      update: { order: 'UPDATE_ORDER_STOP_FIRST', parallelism: 2, deadlineMs: 300_000 },
      drainTimeoutMs: 1_500,
      stopGraceMs: 0,
      apiRole: 'API_ROLE_VIEWER',
    });
  });

  test('lists them as a table, as JSON and by name', async () => {
    await using fake = await startFakeControl();
    fake.addService('web', { replicas: 2 });
    fake.addService('api');
    const table = await run(fake, 'service', 'ls');
    expect(table.stdout.split('\n')[0]).toMatch(/^NAME +STATE +READY +IMAGE/);
    expect(table.stdout).toMatch(/^web +running +2\/2 +registry\/web:1 /m);
    expect(table.stdout).not.toContain('\u001b');
    const json = await run(fake, '--json', 'service', 'ls');
    const list = parsed(json.stdout) as unknown[];
    expect(list.map((item) => Service.fromJSON(item).name)).toEqual(['api', 'web']);
    expect(list[0]).toMatchObject({ state: 'SERVICE_STATE_RUNNING', started: true });
    expect(list[0]).not.toHaveProperty('message');
    expect((await run(fake, 'service', 'ls', '-q')).stdout).toBe('api\nweb\n');
  });

  test('lists those that a filter is for, also while watching', async () => {
    await using fake = await startFakeControl();
    addNodes(fake, 2);
    const labels = { tier: 'front', team: 'a' };
    fake.addService('web', { labels, strategy: PlacementStrategy.EMPTIEST_NODE });
    fake.addService('logs', { labels: { tier: '' }, strategy: PlacementStrategy.EVERY_NODE });
    const names = async (...args: string[]) =>
      (await run(fake, 'service', 'ls', '-q', ...args)).stdout.split('\n').slice(0, -1);
    expect(await names('--label', 'tier', '--label', 'team=a')).toEqual(['web']);
    expect(await names('--strategy', 'every-node')).toEqual(['logs']);
    const either = ['--strategy', 'every-node', '--strategy', 'emptiest-node'];
    expect(await names(...either, '--node', 'node-1')).toEqual(['logs', 'web']);
    expect(await names('web', '--node', 'node-3')).toEqual([]);
    const refused = await run(fake, 'service', 'ls', '--strategy', 'global');
    expect(refused).toMatchObject({ status: 2, stdout: '' });
    expect(refused.stderr).toContain('emptiest-node, high-availability, every-node');
    await using cli = await startCli(['service', 'ls', '-w', '--json', '--label', 'team'], {
      env: environmentOf(fake),
    });
    await eventually(() => {
      expect(cli.documents()).toMatchObject([{ snapshot: true, services: [{ name: 'web' }] }]);
    });
  });

  test('sets only what is given, and edits lists entry by entry', async () => {
    await using fake = await startFakeControl();
    fake.addService('web', {
      environment: { A: '1', B: '2' },
      tags: ['web', 'old'],
      avoidTags: ['edge', 'arm'],
      ports: [{ containerPort: 80, protocol: PortProtocol.TCP, published: true, hostPort: 0 }],
      strategy: PlacementStrategy.HIGH_AVAILABILITY,
    });
    const { status, stderr } = await run(
      fake,
      ...['service', 'set', 'web', '--image', 'registry/web:2', '--env', 'B=3', '--env-rm', 'A'],
      ...['--tag-add', 'new', '--tag-rm', 'old', '--publish', '8080:80', '--parallelism', '3'],
      ...['--readiness', 'none', '--avoid-tag-add', 'new-2', '--avoid-tag-rm', 'arm'],
    );
    expect(stderr).toBe('');
    expect(status).toBe(0);
    const [request] = fake.requestsOf('UpdateService') as UpdateServiceRequest[];
    expect([...request!.updateMask!].sort()).toEqual([
      'avoid_tags',
      'environment',
      'image',
      'ports',
      'readiness.none',
      'tags',
      'update.parallelism',
    ]);
    expect(request!.options?.version).toBeGreaterThan(0);
    expect(ServiceSpec.toJSON(fake.services.find('web')!.spec!)).toMatchObject({
      image: 'registry/web:2',
      replicas: 1,
      environment: { B: '3' },
      tags: ['web', 'new'],
      avoidTags: ['edge', 'new-2'],
      ports: [{ containerPort: 80, published: true, hostPort: 8080 }],
      strategy: 'PLACEMENT_STRATEGY_HIGH_AVAILABILITY',
      update: { parallelism: 3 },
    });
  });

  test('reads again when somebody else wrote in between, unless a version was named', async () => {
    await using fake = await startFakeControl();
    fake.addService('web');
    const conflict = { status: Status.ABORTED, message: 'changed', reason: 'VERSION_MISMATCH' };
    fake.refuse('UpdateService', conflict, conflict);
    expect((await run(fake, 'service', 'set', 'web', '--env', 'A=1')).status).toBe(0);
    expect(fake.requestsOf('UpdateService')).toHaveLength(3);
    const stale = await run(fake, 'service', 'set', 'web', '--env', 'A=1', '--if-version', '1');
    expect(stale.status).toBe(5);
  });

  test('sends a change again when its answer was lost, with the same request id', async () => {
    await using fake = await startFakeControl();
    fake.addService('web');
    fake.refuse('ScaleService', {
      status: Status.UNAVAILABLE,
      message: 'shutting down',
      afterwards: true,
    });
    const { status } = await run(fake, 'service', 'scale', 'web', '3');
    expect(status).toBe(0);
    const requests = fake.requestsOf('ScaleService') as ScaleServiceRequest[];
    const ids = requests.map(({ options }) => options?.requestId);
    expect(ids).toHaveLength(2);
    expect(new Set(ids).size).toBe(1);
    expect(fake.actions.list()).toHaveLength(1);
  });

  test('prints the plan of a dry run and changes nothing', async () => {
    await using fake = await startFakeControl();
    fake.addService('web');
    const { status, stdout } = await run(fake, 'service', 'scale', 'web', '9', '--dry-run');
    expect(status).toBe(0);
    expect(stdout).toMatch(/^unplaceable +web-2 .*node-1: has not the tag "web"$/m);
    const json = await run(fake, 'service', 'scale', 'web', '9', '--dry-run', '--json');
    expect(parsed(json.stdout)).toMatchObject({ steps: [{ kind: 'PLAN_STEP_KIND_START' }, {}] });
    expect(fake.services.find('web')?.spec?.replicas).toBe(1);
  });

  test('waits by default, and prints the action if it is not to wait', async () => {
    await using fake = await startFakeControl();
    fake.addService('web');
    fake.holdActions = true;
    const begun = await run(fake, 'service', 'scale', 'web', '3', '--no-wait', '--json');
    expect(begun.status).toBe(0);
    const action = Action.fromJSON(parsed(begun.stdout));
    expect(action.state).toBe(ActionState.IN_PROGRESS);

    await using cli = await startCli(['action', 'watch', action.id, '--json'], {
      env: environmentOf(fake),
    });
    await eventually(() => {
      expect(cli.documents()).toHaveLength(1);
    });
    fake.addProgress(action.id, 'web-3', 'pulling');
    await eventually(() => {
      expect(cli.documents()).toHaveLength(2);
    });
    fake.finishAction(action.id);
    expect(await cli.ended()).toBe(0);
    const states = cli.documents().map((document) => Action.fromJSON(document).state);
    expect(states).toEqual([
      ActionState.IN_PROGRESS,
      ActionState.IN_PROGRESS,
      ActionState.SUCCEEDED,
    ]);
  });

  test('shows progress when asked, on stderr alone', async () => {
    await using fake = await startFakeControl();
    fake.addService('web');
    fake.holdActions = true;
    await using cli = await startCli(['service', 'scale', 'web', '2', '--progress', '--json'], {
      env: environmentOf(fake),
    });
    const [action] = await eventually(() => {
      expect(fake.actions.list()).toHaveLength(1);
      return fake.actions.list();
    });
    fake.addProgress(action!.id, 'web-2', 'pulling registry/web:1');
    await eventually(() => {
      expect(cli.stderr).toContain('web-2  pulling registry/web:1');
    });
    fake.finishAction(action!.id);
    expect(await cli.ended()).toBe(0);
    expect(Service.fromJSON(parsed(cli.stdout)).readyContainers).toBe(2);
  });

  test('changes several at once and says which could not be changed', async () => {
    await using fake = await startFakeControl();
    fake.addService('web');
    fake.addService('api');
    const { status, stdout, stderr } = await run(
      fake,
      ...['service', 'rm', 'web', 'nothing', 'api', '--json'],
    );
    expect(status).toBe(3);
    expect(stderr).toContain('no service is called "nothing"');
    const removed = (parsed(stdout) as unknown[]).map((item) => Service.fromJSON(item).name);
    expect(removed).toEqual(['web', 'api']);
    expect(fake.services.list()).toEqual([]);
  });

  test('links services', async () => {
    await using fake = await startFakeControl();
    fake.addService('web');
    fake.addService('lb');
    expect((await run(fake, 'link', 'add', 'lb', 'web:www')).status).toBe(0);
    expect(fake.services.find('lb')?.spec?.links).toEqual([{ service: 'web', alias: 'www' }]);
    expect((await run(fake, 'link', 'rm', 'lb', 'www')).status).toBe(0);
    expect(fake.services.find('lb')?.spec?.links).toEqual([]);
  });
});

describe('watching', () => {
  test('prints one document a line, and starts again where the connection was lost', async () => {
    await using fake = await startFakeControl();
    fake.addService('web');
    await using cli = await startCli(['service', 'ls', '--watch', '--json'], {
      env: environmentOf(fake),
    });
    await eventually(() => {
      expect(cli.documents()).toMatchObject([{ snapshot: true, services: [{ name: 'web' }] }]);
    });
    fake.stop();
    await fake.start();
    fake.services.remove(fake.services.find('web')!.id);
    await eventually(() => {
      expect(cli.documents()[1]).toMatchObject({ removedIds: [expect.any(String)] });
    });
    cli.signal('SIGINT');
    expect(await cli.ended()).toBe(130);
    expect(cli.stderr).toBe('');
  });

  test('prints a new table for every change', async () => {
    await using fake = await startFakeControl();
    const web = fake.addService('web');
    await using cli = await startCli(['service', 'ps', 'web', '-w'], { env: environmentOf(fake) });
    await eventually(() => {
      expect(cli.stdout).toContain('web-1');
    });
    fake.settle({ ...web, spec: ServiceSpec.fromPartial({ ...web.spec, replicas: 2 }) });
    await eventually(() => {
      expect(cli.stdout).toContain('web-2');
    });
  });

  test('is quiet when its reader goes away', async () => {
    await using fake = await startFakeControl();
    fake.addService('web');
    await using cli = await startCli(['events', '--follow', '--json'], {
      env: environmentOf(fake),
    });
    await eventually(() => {
      expect(fake.requestsOf('WatchEvents')).toHaveLength(1);
    });
    cli.closeStdout();
    await eventually(() => {
      fake.addEvent('service.created', 'web', 'web was created');
      expect(cli.status).toBe(0);
    });
    expect(cli.stderr).toBe('');
  });

  test('follows events from the newest', async () => {
    await using fake = await startFakeControl();
    for (const name of ['a', 'b', 'c'])
      fake.addEvent('service.created', name, `${name} was created`);
    const kept = await run(fake, 'events', '--json');
    expect(parsed(kept.stdout)).toHaveLength(3);
    await using cli = await startCli(['events', '-f', '--tail', '1', '--json'], {
      env: environmentOf(fake),
    });
    await eventually(() => {
      expect(cli.documents()).toMatchObject([{ objectName: 'c' }]);
    });
    fake.addEvent('service.created', 'd', 'd was created');
    await eventually(() => {
      expect(cli.documents()).toMatchObject([{ objectName: 'c' }, { objectName: 'd' }]);
    });
  });
});

describe('events and actions are read', () => {
  test('events by type, service, object and time', async () => {
    await using fake = await startFakeControl();
    fake.addEvent('service.created', 'web', 'web was created');
    fake.addEvent('container.ready', 'web-1', 'ready');
    const asked = ['--type', 'container', '--service', 'web', '--object', 'x', '--since', '1h'];
    const { stdout } = await run(fake, 'events', ...asked, '--after', '0');
    expect(stdout).toContain('container.ready');
    expect(stdout).not.toContain('service.created');
    expect(fake.requestsOf('ListEvents')[0]).toMatchObject({
      ...{ types: ['container'], services: ['web'], objectId: 'x', cursor: '0', omitObjects: true },
      since: expect.any(Date) as Date,
      until: undefined,
    });
    // A watch that has an end is not opened again.
    const until = ['--until', '2026-11-22T14:20:00Z'];
    const ended = await run(fake, 'events', '-f', '--after', '1', '--json', ...until);
    expect(parsed(ended.stdout)).toMatchObject({ type: 'container.ready' });
    expect(fake.requestsOf('WatchEvents')).toHaveLength(1);
  });

  test('what an action did, to its end if that is asked for', async () => {
    await using fake = await startFakeControl();
    fake.holdActions = true;
    fake.addService('web');
    const begun = await run(fake, 'service', 'scale', 'web', '2', '--no-wait', '--json');
    const { id } = Action.fromJSON(parsed(begun.stdout));
    for (const message of ['pulling', 'starting']) fake.addProgress(id, 'web-2', message);
    const logs = await run(fake, 'action', 'logs', id);
    expect(logs.stdout).toMatch(
      /^\d{4}-\S+Z {2}web-2 {2}pulling\n\d{4}-\S+Z {2}web-2 {2}starting\n$/,
    );
    await using cli = await startCli(['action', 'logs', id, '-f', '-n', '1', '--json'], {
      env: environmentOf(fake),
    });
    await eventually(() => {
      expect(cli.documents()).toMatchObject([{ container: 'web-2', message: 'starting' }]);
    });
    fake.addProgress(id, 'web-2', 'ready');
    fake.finishAction(id, ActionState.FAILED, 'web-2 ended');
    expect(await cli.ended()).toBe(1);
    expect(cli.documents()).toMatchObject([{ message: 'starting' }, { message: 'ready' }]);
    expect(cli.stderr).toContain('web-2 ended');
  });
});

describe('the rest', () => {
  test('containers are listed, inspected, stopped and started', async () => {
    await using fake = await startFakeControl();
    addNodes(fake, 1);
    fake.addService('web', { replicas: 10 });
    const names = await run(fake, 'container', 'ls', '--service', 'web', '-q');
    expect(names.stdout.split('\n').slice(-3)).toEqual(['web-9', 'web-10', '']);
    const stopped = await run(fake, 'container', 'stop', 'web-3', '--json');
    expect(Container.fromJSON(parsed(stopped.stdout)).phase).toBe(ContainerPhase.STOPPED);
    expect((await run(fake, 'container', 'start', 'web-3')).stdout).toMatch(
      /^web-3 +ready +node-1/m,
    );
    expect((await run(fake, 'container', 'inspect', 'web-3')).stdout).toContain('phase: running');
  });

  test('nodes are tagged, paused and removed', async () => {
    await using fake = await startFakeControl();
    addNodes(fake, 2);
    await run(fake, 'node', 'tag', 'node-1', '--add', 'eu', '--remove', 'web');
    expect(fake.nodes.find('node-1')?.tags).toEqual(['eu']);
    await run(fake, 'node', 'tag', 'node-1', '--set', 'a,b');
    expect(fake.nodes.find('node-1')?.tags).toEqual(['a', 'b']);
    expect((await run(fake, 'node', 'tag', 'node-1', '--set', 'a', '--add', 'b')).status).toBe(2);
    const paused = await run(fake, 'node', 'pause', 'node-1', 'node-2', '--json');
    expect(parsed(paused.stdout)).toMatchObject([
      { availability: 'AVAILABILITY_PAUSED' },
      { availability: 'AVAILABILITY_PAUSED' },
    ]);
    const limits = ['--parallelism', '2', '--deadline', '5m', '--force'];
    const drained = await run(fake, 'node', 'drain', 'node-2', ...limits);
    expect(drained.stdout).toMatch(/^node-2 +drained/m);
    expect(fake.nodes.find('node-2')?.drain).toMatchObject({ parallelism: 2, force: true });
    expect((await run(fake, 'node', 'rm', 'node-2')).status).toBe(0);
    expect(fake.nodes.list().map(({ name }) => name)).toEqual(['node-1']);
  });

  test('tokens are made, with the secret alone on stdout, and revoked', async () => {
    await using fake = await startFakeControl();
    const made = await run(fake, ...['token', 'create', 'n1', '--role', 'node', '--tag', 'web']);
    expect(made).toEqual({ status: 0, stdout: 'secret-of-n1\n', stderr: '' });
    const json = await run(fake, ...['token', 'create', 'ci', '--role', 'operator', '--json']);
    expect(parsed(json.stdout)).toMatchObject({
      token: { role: 'ROLE_OPERATOR' },
      secret: 'secret-of-ci',
    });
    expect((await run(fake, 'token', 'ls', '--role', 'node', '-q')).stdout).toBe('n1\n');
    expect((await run(fake, 'token', 'revoke', 'n1')).status).toBe(0);
    expect(fake.tokens.find('n1')).toBeUndefined();
  });

  test('endpoints and load balancers are shown', async () => {
    await using fake = await startFakeControl();
    addNodes(fake, 1);
    fake.addService('web', {
      ports: [{ containerPort: 80, protocol: PortProtocol.TCP, published: true, hostPort: 0 }],
    });
    const endpoints = await run(fake, 'endpoint', 'ls', 'web', '--json');
    expect(parsed(endpoints.stdout)).toMatchObject([
      { kind: 'ENDPOINT_KIND_CONTAINER', url: 'http://198.51.100.7:49153' },
    ]);
    expect(EndpointKind.CONTAINER).toBe(10);
    fake.proxies.put(
      Proxy.fromPartial({
        id: fake.newId(),
        name: 'lb-1',
        service: 'lb',
        connected: true,
        publishedVersion: 8,
        serversVersion: 7,
        appliedVersion: 7,
        servers: [
          {
            backend: 'web-80',
            name: 'web-1.00000000.80',
            container: 'web-1',
            address: '198.51.100.7:49153',
            mode: TargetMode.READY,
            health: TargetHealth.UP,
            inFlight: 2,
            requests: 1_000,
          },
          {
            backend: 'web-80',
            name: 'web-2.00000000.80',
            container: 'web-2',
            mode: TargetMode.READY,
            health: TargetHealth.DOWN,
            healthMessage: 'refuses connections',
          },
        ],
        clientConnections: 3,
        haproxyVersion: '2.6.12',
        history: {
          reloads: 5,
          loadings: [
            {
              at: new Date(Date.now() - 120_000),
              kind: ProxyLoadingKind.RELOAD,
              reason: 'frontend "http-81" is new',
            },
          ],
          lastError: 'port 81 is taken',
          lastErrorAt: new Date(Date.now() - 300_000),
        },
      }),
    );
    fake.proxies.put(
      Proxy.fromPartial({
        ...{ id: fake.newId(), name: 'lb-2', service: 'lb', connected: true },
        ...{ publishedVersion: 8, serversVersion: 8, appliedVersion: 7 },
        message: 'HAProxy refused its configuration: no such file',
      }),
    );
    const status = await run(fake, 'lb', 'status');
    expect(status.stdout).toMatch(/^lb-2 +lb +partly applied +7\/8 .* HAProxy refused its conf/m);
    expect(status.stdout).toMatch(
      /^lb-1 +lb +applying +7\/8 +1\/2 +2 +3 +2.6.12 +5 +reload 2m ago: /m,
    );
    expect(status.stdout).toContain('frontend "http-81" is new');
    expect(status.stdout).toContain('well again; 5m ago: port 81 is taken');
    expect((await run(fake, 'lb', 'servers')).stdout).toMatch(
      /web-2 .* down .* refuses connections$/m,
    );
    const servers = await run(fake, 'lb', 'servers', 'lb', '--json');
    expect(parsed(servers.stdout)).toMatchObject([
      { proxy: 'lb-1', container: 'web-1', mode: 'TARGET_MODE_READY', inFlight: 2 },
      { container: 'web-2', healthMessage: 'refuses connections' },
    ]);
  });

  test('explains what is not as it should be', async () => {
    await using fake = await startFakeControl();
    const web = fake.addService('web', { replicas: 2 });
    fake.services.put({
      ...fake.services.find('web')!,
      state: ServiceState.PARTLY_RUNNING,
      message: 'waits for a node for 1 container',
      readyContainers: 1,
    });
    fake.containers.put({
      ...fake.containers.find('web-2')!,
      phase: ContainerPhase.PENDING,
      ready: false,
      message: 'no node can take it',
      placement: [{ node: 'node-1', filter: 'TAG_MISSING', reason: 'has not the tag "web"' }],
    });
    fake.waits.push({
      ...{ container: 'web-2', node: '', message: 'web-2 to be placed', placement: [] },
      since: new Date(1_700_000_000_000 - 90_000),
      until: undefined,
    });
    const { stdout } = await run(fake, 'explain', 'web');
    expect(stdout).toBe(
      'service web is partly running, 1 of 2 containers ready: waits for a node for 1 container\n' +
        '  waits for web-2 to be placed, for 90s\n' +
        '  container web-2 is pending: no node can take it\n' +
        '    not on node-1: has not the tag "web"\n',
    );
    const container = await run(fake, 'explain', 'web-2', '--json');
    expect(parsed(container.stdout)).toMatchObject({ containers: [{ serviceId: web.id }] });
  });

  test('takes the token from a file', async () => {
    await using fake = await startFakeControl();
    await using directory = new TemporaryDirectory();
    const path = join(directory.path, 'token');
    writeFileSync(path, `${viewerToken}\n`);
    const flag = await runCli([
      'info',
      '--coordinator',
      fake.address,
      '--token-file',
      path,
      '--json',
    ]);
    expect(parsed(flag.stdout)).toMatchObject({ role: 'ROLE_VIEWER' });
    const variable = await runCli(['info', '--json'], {
      env: { FAIRLEAD_ADDRESS: fake.address, FAIRLEAD_TOKEN_FILE: path },
    });
    expect(parsed(variable.stdout)).toMatchObject({ role: 'ROLE_VIEWER' });
  });

  test('takes what a container with an API role is told', async () => {
    await using fake = await startFakeControl();
    const { stdout } = await runCli(['info', '--json'], {
      env: { FAIRLEAD_ADDRESS: fake.address, FAIRLEAD_AUTH: `Bearer ${viewerToken}` },
    });
    expect(parsed(stdout)).toMatchObject({ role: 'ROLE_VIEWER' });
  });
});
