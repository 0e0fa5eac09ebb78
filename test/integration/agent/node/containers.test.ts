import { readdirSync, readFileSync } from 'node:fs';
import { get } from 'node:http';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import {
  ReadinessState,
  WantedPhase,
  type ContainerDefinition,
  type ContainerStatus,
} from '../../../../shared/gen/fairlead/v1/agent_service.ts';
import { ContainerPhase } from '../../../../shared/gen/fairlead/v1/container.ts';
import {
  ContainerOptions,
  NetworkMode,
  PidMode,
} from '../../../../shared/gen/fairlead/v1/container_options.ts';
import { HttpCheck, RestartPolicy, Volume } from '../../../../shared/gen/fairlead/v1/service.ts';
import { eventually } from '../../../support/eventually.ts';
import { FakeCoordinator, nodeId } from '../../../support/fake-coordinator.ts';
import { prepareImages } from '../../../support/lab/images.ts';
import type { LabHost } from '../../../support/lab/lab-host.ts';
import type { LabProcess } from '../../../support/lab/lab-process.ts';
import { Lab } from '../../../support/lab/lab.ts';
import { programOf } from '../../../support/lab/proc.ts';
import { describeWithLab } from '../../../support/needs.ts';
import { bundleAgent, startAgent } from './agent-process.ts';
import { aDefinition, idOf, linked, published, tcpReadiness } from './definitions.ts';

const { signal } = new AbortController();
const hello = 'fairlead-lab/hello:1';

describeWithLab('a node agent with a real engine', () => {
  let lab: Lab;
  let host: LabHost;
  let base: string;
  let bundle: string;
  let coordinator: FakeCoordinator;
  let agent: LabProcess;
  let containerNumber = 0;

  beforeAll(async () => {
    const images = await prepareImages({ hello }, signal);
    base = images.base;
    lab = await Lab.start({ hosts: 1, images, label: 'node agent' }, signal);
    host = lab.hosts[0]!;
    bundle = await bundleAgent(lab.directory);
  });
  afterAll(async () => {
    await lab[Symbol.asyncDispose]();
  });

  beforeEach(async ({ onTestFailed }) => {
    onTestFailed(() => {
      console.log(agent.log());
    });
    coordinator = await FakeCoordinator.start({ host: lab.gateway });
    agent = await startAgent(bundle, host, coordinator);
    await eventually(() => {
      expect(coordinator.engine?.reachable).toBe(true);
    });
  });
  afterEach(async () => {
    await agent.stop(5_000, signal);
    await coordinator[Symbol.asyncDispose]();
    const left = await host.docker(['ps', '--all', '--quiet'], signal);
    if (left !== '') await host.docker(['rm', '--force', ...left.split('\n')], signal);
  });

  /** Has a container run that answers HTTP, and waits until it is ready. */
  async function runHello(definition: Partial<ContainerDefinition> = {}): Promise<string> {
    const id = idOf(++containerNumber);
    const ports = [published(80)];
    coordinator.assign(
      id,
      WantedPhase.RUNNING,
      aDefinition({ image: hello, ports, ...definition }),
    );
    await becomes(id, { phase: ContainerPhase.RUNNING, readiness: ReadinessState.READY });
    return id;
  }

  /** Has a container run a command of busybox. */
  function runCommand(command: string[], definition: Partial<ContainerDefinition> = {}): string {
    const id = idOf(++containerNumber);
    const defined = aDefinition({ image: base, entrypoint: ['busybox'], command, ...definition });
    coordinator.assign(id, WantedPhase.RUNNING, defined);
    return id;
  }

  async function becomes(id: string, expected: Partial<ContainerStatus>): Promise<ContainerStatus> {
    return await eventually(() => {
      expect(coordinator.status(id)).toMatchObject(expected);
      return coordinator.status(id)!;
    });
  }

  function phasesOf(id: string): ContainerPhase[] {
    const phases = (coordinator.history.get(id) ?? []).map(({ phase }) => phase);
    return phases.filter((phase, index) => phase !== phases[index - 1]);
  }

  /** What the engine says of a container, by the template of `docker inspect`. */
  async function inspect(engineId: string, format: string): Promise<string> {
    return await host.docker(['inspect', '--format', format, engineId], signal);
  }

  test('starts a container as defined, and tells when and where it answers', async () => {
    // More than fits into the address of a request.
    const values = Array.from({ length: 40 }, (_, index) => [`BULK_${index}`, 'x'.repeat(30_000)]);
    const bulk = Object.fromEntries(values) as Record<string, string>;
    const id = await runHello({
      name: 'web-3',
      hostname: 'web-3',
      slot: 3,
      environment: { PORT: '8080', GREETING: 'a=b c', ...bulk },
      labels: { team: 'blue' },
      ports: [published(8080), linked(8081)],
      hosts: [{ name: 'db', address: '192.0.2.9' }],
      readiness: {
        ...tcpReadiness,
        check: { $case: 'http', value: HttpCheck.fromPartial({ path: '/healthz', port: 8080 }) },
      },
    });
    const status = coordinator.status(id)!;
    expect(status).toMatchObject({ name: 'web-3', restarts: 0, message: '', exitCode: undefined });
    expect(Date.now() - status.startedAt!.getTime()).toBeLessThan(60_000);
    const [web, peer] = status.ports;
    expect(web).toMatchObject({ containerPort: 8080, hostAddress: '0.0.0.0', published: true });
    expect(peer).toMatchObject({ containerPort: 8081, published: false });
    expect(peer?.hostAddress).toBe(host.address);
    expect(await fetchText(`http://${host.address}:${web!.hostPort}/`)).toContain(
      'My hostname is web-3',
    );
    expect(phasesOf(id)).toEqual([ContainerPhase.STARTING, ContainerPhase.RUNNING]);

    expect(await inspect(status.engineId, '{{.Name}} {{.HostConfig.RestartPolicy.Name}}')).toBe(
      `/fairlead-web-3-${id.slice(0, 8)} unless-stopped`,
    );
    expect(JSON.parse(await inspect(status.engineId, '{{json .Config.Labels}}'))).toMatchObject({
      team: 'blue',
      'fairlead.node': nodeId,
      'fairlead.container': id,
      'fairlead.slot': '3',
    });
    const hosts = await host.docker(['exec', status.engineId, 'cat', '/etc/hosts'], signal);
    expect(hosts).toMatch(/192\.0\.2\.9\s+db/);
    const environment = await host.docker(
      ['exec', status.engineId, 'sh', '-c', 'echo "$GREETING"'],
      signal,
    );
    expect(environment).toBe('a=b c');
  });

  test('A7: runs a process as its options say', async () => {
    const options = ContainerOptions.fromPartial({
      ...{ workingDir: '/srv/app', user: '1234:5678', domainname: 'example.com' },
      ...{ stopSignal: 'SIGUSR1', init: true, readOnly: true, tty: true },
      ...{ groups: ['4321'], capDrop: ['ALL'], capAdd: ['NET_BIND_SERVICE'] },
      securityOptions: ['no-new-privileges'],
      devices: [{ hostPath: '/dev/zero', containerPath: '/dev/nought', permissions: 'rw' }],
      ulimits: [{ name: 'nofile', soft: 99, hard: 199 }],
      ...{ dnsServers: ['192.0.2.53'], dnsSearch: ['example.com'], dnsOptions: ['ndots:2'] },
      extraHosts: [{ name: 'elsewhere', address: '192.0.2.99' }],
      log: { driver: 'json-file', options: { 'max-size': '1m', 'max-file': '2' } },
      limits: { cpuShares: 512, cpus: '0', memoryBytes: 64 * 1024 ** 2, shmBytes: 1024 ** 2 },
    });
    const script = 'trap "exit 7" USR1; while :; do sleep 0.1; done';
    const id = runCommand(['sh', '-c', script], { hostname: 'db.local', options });
    const { engineId } = await becomes(id, { phase: ContainerPhase.RUNNING });
    const say = (...command: string[]) => host.docker(['exec', engineId, ...command], signal);
    expect(await say('busybox', 'sh', '-c', 'pwd; id -u; id -g; id -G; hostname; ulimit -n')).toBe(
      '/srv/app\n1234\n5678\n5678 4321\ndb.local\n99',
    );
    await expect(say('busybox', 'touch', '/file')).rejects.toThrow('Read-only file system');
    expect(await say('busybox', 'sh', '-c', 'head -c 1 /dev/nought | wc -c')).toBe('1');
    expect(await say('busybox', 'cat', '/etc/hosts')).toMatch(/192\.0\.2\.99\s+elsewhere/);
    const resolver = await say('busybox', 'cat', '/etc/resolv.conf');
    for (const line of ['nameserver 192.0.2.53', 'search example.com', 'options ndots:2']) {
      expect(resolver).toContain(line);
    }
    const status = await say('busybox', 'cat', '/proc/1/status');
    expect(status).toMatch(/CapBnd:\s+0000000000000400[^]*NoNewPrivs:\s+1/);
    expect(await say('busybox', 'cat', '/proc/1/comm')).toBe('docker-init');
    const limits = '{{.Memory}} {{.CpuShares}} {{.CpusetCpus}} {{.ShmSize}} {{.LogConfig.Config}}';
    expect(await inspect(engineId, `{{with .HostConfig}}${limits}{{end}}`)).toBe(
      `${64 * 1024 ** 2} 512 0 ${1024 ** 2} map[max-file:2 max-size:1m]`,
    );
    coordinator.assign(id, WantedPhase.STOPPED);
    await becomes(id, { phase: ContainerPhase.STOPPED, exitCode: 7 });
  });

  test("runs in the node's network and with its processes, and is asked there", async () => {
    const options = ContainerOptions.fromPartial({
      network: NetworkMode.HOST,
      pid: PidMode.HOST,
    });
    const id = await runHello({ options, ports: [linked(8097)], environment: { PORT: '8097' } });
    const { engineId, ports } = coordinator.status(id)!;
    expect(ports).toEqual([{ ...linked(8097), hostAddress: '0.0.0.0', hostPort: 8097 }]);
    expect(await fetchText(`http://${host.address}:8097/`)).toContain('My hostname is web-1');
    const modes = '{{.HostConfig.NetworkMode}} {{.HostConfig.PidMode}}';
    expect(await inspect(engineId, modes)).toBe('host host');
  });

  test('mounts volumes, and tells which named ones there are', async () => {
    const volumes = [
      Volume.fromPartial({
        containerPath: '/data',
        source: { $case: 'named', value: { name: 'kept-data' } },
      }),
      Volume.fromPartial({
        containerPath: '/etc-of-node',
        source: { $case: 'bind', value: { path: '/etc' } },
        readOnly: true,
      }),
      Volume.fromPartial({
        containerPath: '/run',
        source: { $case: 'tmpfs', value: { sizeBytes: 65_536 } },
      }),
      Volume.fromPartial({ containerPath: '/cache' }),
    ];
    const script = 'echo kept > /data/file; sleep 1000';
    const id = runCommand(['sh', '-c', script], { volumes, stopGraceMs: 0 });
    const { engineId } = await becomes(id, { phase: ContainerPhase.RUNNING });
    const say = (...command: string[]) => host.docker(['exec', engineId, ...command], signal);
    const mounts = await say('busybox', 'cat', '/proc/mounts');
    expect(mounts).toMatch(/ \/run tmpfs [^ ]*size=64k/);
    expect(mounts).toMatch(/ \/cache /);
    await expect(say('busybox', 'touch', '/etc-of-node/x')).rejects.toThrow('Read-only');
    await eventually(() => {
      // Not the one without a name.
      expect(coordinator.session?.volumes).toEqual(['kept-data']);
    });

    coordinator.assign(id, WantedPhase.REMOVED);
    await becomes(id, { phase: ContainerPhase.REMOVED });
    const next = runCommand(['cat', '/data/file'], { volumes, restart: RestartPolicy.NEVER });
    expect(await becomes(next, { phase: ContainerPhase.STOPPED })).toMatchObject({ exitCode: 0 });
    await host.docker(['rm', '--force', coordinator.status(next)!.engineId], signal);
    await host.docker(['volume', 'rm', 'kept-data'], signal);
    await eventually(() => {
      expect(coordinator.session?.volumes).toEqual([]);
    });
  });

  test('restarts a process that lives but fails its liveness, once it is drained', async () => {
    const definition = aDefinition({
      image: hello,
      ports: [published(80)],
      volumes: [
        Volume.fromPartial({
          containerPath: '/run',
          source: { $case: 'tmpfs', value: { sizeBytes: 65_536 } },
        }),
      ],
      liveness: {
        check: { $case: 'command', value: { command: ['sh', '-c', 'test ! -e /run/sick'] } },
        ...{ intervalMs: 200, timeoutMs: 5_000, failureThreshold: 2 },
        ...{ successThreshold: 1, startPeriodMs: 0 },
      },
      drainTimeoutMs: 3_600_000,
    });
    const id = await runHello(definition);
    const before = coordinator.status(id)!;
    const fallSick = () => host.docker(['exec', before.engineId, 'touch', '/run/sick'], signal);
    const waiting = { readiness: ReadinessState.NOT_READY, awaitsDrain: true };
    await fallSick();
    const sick = await becomes(id, { ...waiting, phase: ContainerPhase.RUNNING });
    expect(sick.message).toBe(
      'its liveness check fails: the command "sh -c test ! -e /run/sick" ended with status 1; it is restarted once it is drained',
    );
    expect(sick.startedAt).toEqual(before.startedAt);

    const isBack = async (than: ContainerStatus) =>
      await eventually(() => {
        const status = coordinator.status(id)!;
        expect(status).toMatchObject({ readiness: ReadinessState.READY, awaitsDrain: false });
        expect(status.startedAt!.getTime()).toBeGreaterThan(than.startedAt!.getTime());
        return status;
      });
    coordinator.assign(id, WantedPhase.RUNNING, definition, true);
    const after = await isBack(before);
    expect(after.engineId).toBe(before.engineId);
    expect(phasesOf(id)).not.toContain(ContainerPhase.FAILED);

    // What was drained once is drained anew, by the coordinator or by the clock.
    await fallSick();
    await becomes(id, waiting);
    expect(coordinator.status(id)!.startedAt).toEqual(after.startedAt);
    coordinator.assign(id, WantedPhase.RUNNING, { ...definition, drainTimeoutMs: 1 });
    await isBack(after);
  });

  test('is not ready before its check passes, and not ready again when it fails', async () => {
    const id = idOf(++containerNumber);
    const definition = aDefinition({
      image: hello,
      ports: [published(80)],
      environment: { READY_AFTER_MS: '1500' },
      readiness: {
        ...tcpReadiness,
        check: { $case: 'http', value: HttpCheck.fromPartial({ path: '/healthz', port: 0 }) },
      },
    });
    coordinator.assign(id, WantedPhase.RUNNING, definition);
    await becomes(id, { phase: ContainerPhase.RUNNING, readiness: ReadinessState.NOT_READY });
    const { engineId } = await becomes(id, { readiness: ReadinessState.READY, message: '' });

    await host.docker(['pause', engineId], signal);
    await becomes(id, { readiness: ReadinessState.NOT_READY, message: 'is paused' });
    await host.docker(['unpause', engineId], signal);
    await becomes(id, { readiness: ReadinessState.READY, message: '' });
  });

  test('knows from the kernel that a process ended and from containerd how, before Docker says so or if it hangs', async () => {
    const id = await runHello();
    const before = coordinator.status(id)!;
    const pid = Number(await inspect(before.engineId, '{{.State.Pid}}'));
    const pidOf = (program: string) =>
      host.processes().find((process) => programOf(process.pid) === program)!.pid;
    const [dockerd, containerd] = [pidOf('dockerd'), pidOf('containerd')];
    await eventually(() => {
      expect(watchesFiles(agent.pid)).toBe(true);
    });
    const ended = { phase: ContainerPhase.STARTING, readiness: ReadinessState.NOT_READY };
    for (const daemon of [dockerd, containerd]) process.kill(daemon, 'SIGSTOP');
    try {
      process.kill(pid, 'SIGKILL');
      await becomes(id, { ...ended, message: 'its process ended', exitCode: undefined });
      process.kill(containerd, 'SIGCONT');
      await becomes(id, { ...ended, exitCode: 137 });
    } finally {
      for (const daemon of [containerd, dockerd]) process.kill(daemon, 'SIGCONT');
    }
    const after = await becomes(id, { readiness: ReadinessState.READY });
    expect(after.startedAt!.getTime()).toBeGreaterThan(before.startedAt!.getTime());
    expect(phasesOf(id)).not.toContain(ContainerPhase.FAILED);
  });

  test('takes a container whose process lives but listens no more for not ready', async () => {
    const script =
      'busybox httpd -f -p 80 & pid=$!; while [ ! -e /deaf ]; do sleep 0.1; done; kill $pid; sleep 1000';
    const id = runCommand(['sh', '-c', script], { ports: [published(80)] });
    const { engineId } = await becomes(id, { readiness: ReadinessState.READY });
    await host.docker(['exec', engineId, 'touch', '/deaf'], signal);
    const { message } = await becomes(id, { readiness: ReadinessState.NOT_READY });
    expect(message).toMatch(/^198\.18\.\d+\.11:\d+ refuses connections$/);
    expect(coordinator.status(id)).toMatchObject({ phase: ContainerPhase.RUNNING, restarts: 0 });
  });

  test('stops and removes a container on the order to, and forgets it when told', async () => {
    const id = await runHello();
    coordinator.assign(id, WantedPhase.STOPPED);
    const stopped = await becomes(id, { phase: ContainerPhase.STOPPED });
    expect(stopped).toMatchObject({ exitCode: 0, readiness: ReadinessState.NOT_READY, ports: [] });
    expect(stopped.endedAt).toBeInstanceOf(Date);
    expect(await inspect(stopped.engineId, '{{.State.Status}}')).toBe('exited');

    coordinator.assign(id, WantedPhase.REMOVED);
    await becomes(id, { phase: ContainerPhase.REMOVED, exitCode: 0 });
    expect(await host.docker(['ps', '--all', '--quiet'], signal)).toBe('');
    expect(phasesOf(id)).toEqual([
      ContainerPhase.STARTING,
      ContainerPhase.RUNNING,
      ContainerPhase.STOPPING,
      ContainerPhase.STOPPED,
      ContainerPhase.REMOVED,
    ]);
    coordinator.forget(id);
    // Orders are taken in their order, so the one before has been taken when this one has.
    coordinator.assign(idOf(9999), WantedPhase.REMOVED);
    await becomes(idOf(9999), { phase: ContainerPhase.REMOVED });
    await reconnect();
    expect(coordinator.session?.hello.inventory.map(({ containerId }) => containerId)).toEqual([
      idOf(9999),
    ]);
  });

  test('kills a process that does not heed the order to stop, after its grace', async () => {
    const id = runCommand(['sh', '-c', "trap '' TERM; while :; do sleep 1; done"], {
      stopGraceMs: 1_000,
    });
    await becomes(id, { phase: ContainerPhase.RUNNING });
    coordinator.assign(id, WantedPhase.REMOVED);
    await becomes(id, { phase: ContainerPhase.REMOVED, exitCode: 137 });
  });

  test('says that an image is missing and cannot be pulled', async () => {
    const id = runCommand([], { image: '127.0.0.1:1/nothing' });
    const { message } = await becomes(id, { phase: ContainerPhase.FAILED });
    expect(message).toMatch(
      /^image "127.0.0.1:1\/nothing" is not on this node and cannot be pulled: .*connection refused/,
    );
    expect(phasesOf(id)).toEqual([ContainerPhase.PULLING, ContainerPhase.FAILED]);
    coordinator.assign(id, WantedPhase.REMOVED);
    await becomes(id, { phase: ContainerPhase.REMOVED });
  });

  test('fails a container whose port is taken, and leaves nothing of it behind', async () => {
    const first = await runHello({ ports: [published(80, 8090)] });
    const second = idOf(++containerNumber);
    const definition = aDefinition({ image: hello, name: 'web-2', ports: [published(80, 8090)] });
    coordinator.assign(second, WantedPhase.RUNNING, definition);
    const { message } = await becomes(second, { phase: ContainerPhase.FAILED });
    expect(message).toMatch(/^cannot be started: .*8090.*port is already allocated/);
    await eventually(async () => {
      const all = await host.docker(['ps', '--all', '--no-trunc', '--quiet'], signal);
      expect(all).toBe(coordinator.status(first)?.engineId);
    });
    expect(coordinator.status(second)).toMatchObject({ phase: ContainerPhase.FAILED });
  });

  test('fails a container whose command cannot be run', async () => {
    const id = runCommand(['x'], { entrypoint: ['/no/such/program'] });
    const { message } = await becomes(id, { phase: ContainerPhase.FAILED });
    expect(message).toMatch(/^cannot be started: .*\/no\/such\/program/);
  });

  test('tells at once that a process died, and then that the engine leaves it so', async () => {
    const id = await runHello();
    const before = coordinator.status(id)!;
    const from = coordinator.history.get(id)!.length;
    await host.docker(['kill', before.engineId], signal);
    // Docker does not restart what was killed through it.
    const ended = await becomes(id, { phase: ContainerPhase.FAILED });
    expect(ended).toMatchObject({ exitCode: 137, readiness: ReadinessState.NOT_READY, ports: [] });
    expect(coordinator.history.get(id)!.slice(from)[0]).toMatchObject({
      readiness: ReadinessState.NOT_READY,
    });
  });

  test('finds out that somebody stopped it by hand, and lets them restart it', async () => {
    const id = await runHello();
    const { engineId } = coordinator.status(id)!;
    const from = coordinator.history.get(id)!.length;
    await host.docker(['restart', engineId], signal);
    await eventually(() => {
      const since = coordinator.history.get(id)!.slice(from);
      expect(since.map(({ phase }) => phase)).toContain(ContainerPhase.STARTING);
      expect(since.at(-1)?.readiness).toBe(ReadinessState.READY);
    });
    await host.docker(['stop', engineId], signal);
    // By the limit of a test's patience it was not taken for an engine that shuts down.
    const stopped = await becomes(id, { phase: ContainerPhase.STOPPED });
    expect(stopped).toMatchObject({ exitCode: 0, message: 'its process ended with exit status 0' });
    const ends = coordinator.history.get(id)!.slice(from);
    expect(ends.filter(({ phase }) => phase === ContainerPhase.STOPPED)).toHaveLength(1);
  });

  test('follows a process through its restarts', async () => {
    const id = await runHello({ environment: { ALLOW_CRASH: '1' } });
    const before = coordinator.status(id)!;
    const from = coordinator.history.get(id)!.length;
    await crash(before);
    const after = await eventually(() => {
      const status = coordinator.status(id)!;
      expect(status).toMatchObject({ restarts: 1, readiness: ReadinessState.READY });
      return status;
    });
    expect(after.phase).toBe(ContainerPhase.RUNNING);
    expect(after.startedAt!.getTime()).toBeGreaterThan(before.startedAt!.getTime());
    expect(await fetchText(`http://${host.address}:${after.ports[0]!.hostPort}/`)).toContain(
      'web-1',
    );
    const news = coordinator.history.get(id)!.slice(from);
    const ended = { phase: ContainerPhase.STARTING, readiness: ReadinessState.NOT_READY };
    expect(news[0]).toMatchObject(ended);
    const message = 'its process ended with exit status 1; the engine restarts it';
    expect(news).toContainEqual(expect.objectContaining({ ...ended, exitCode: 1, message }));
  });

  test('leaves a process ended that ended by itself and is not to be restarted', async () => {
    const failing = runCommand(['sh', '-c', 'exit 3'], { restart: RestartPolicy.NEVER });
    expect(await becomes(failing, { phase: ContainerPhase.FAILED })).toMatchObject({
      exitCode: 3,
      message: 'its process ended with exit status 3',
    });
    const done = runCommand(['true'], { name: 'job-1', restart: RestartPolicy.ON_FAILURE });
    expect(await becomes(done, { phase: ContainerPhase.STOPPED })).toMatchObject({ exitCode: 0 });
  });

  test('fails a container that somebody removed, and does not make it again', async () => {
    const id = await runHello();
    await host.docker(['rm', '--force', coordinator.status(id)!.engineId], signal);
    await becomes(id, { phase: ContainerPhase.FAILED });
    coordinator.sendCompleteSet();
    coordinator.assign(id, WantedPhase.REMOVED);
    await becomes(id, { phase: ContainerPhase.REMOVED });
    expect(await host.docker(['ps', '--all', '--quiet'], signal)).toBe('');
  });

  test('adopts what runs after it was killed, and never calls it not ready for that', async () => {
    const id = await runHello();
    const before = coordinator.status(id)!;
    await agent.kill(signal);
    const from = coordinator.history.get(id)!.length;
    agent = await startAgent(bundle, host, coordinator);
    await eventually(() => {
      expect(coordinator.history.get(id)!.length).toBeGreaterThan(from + 1);
    });
    const [first, ...later] = coordinator.history.get(id)!.slice(from);
    expect(first).toEqual({ ...before, readiness: ReadinessState.UNSPECIFIED });
    expect(later.map(({ readiness }) => readiness)).toEqual([ReadinessState.READY]);
    expect(await host.docker(['ps', '--all', '--quiet'], signal)).not.toContain('\n');
  });

  test('starts what an agent before it had only created, once', async () => {
    const id = idOf(++containerNumber);
    const labels = ['--label', `fairlead.node=${nodeId}`, '--label', `fairlead.container=${id}`];
    const name = `fairlead-web-1-${id.slice(0, 8)}`;
    const engineId = await host.docker(['create', '--name', name, ...labels, hello], signal);
    coordinator.assign(id, WantedPhase.RUNNING, aDefinition({ image: hello }));
    expect(await becomes(id, { phase: ContainerPhase.RUNNING })).toMatchObject({ engineId });
    expect(await host.docker(['ps', '--all', '--quiet'], signal)).not.toContain('\n');
  });

  test('leaves alone what it was not told of, and what is not of its node', async () => {
    const labels = (node: string, container: string) => [
      ...['--label', `fairlead.node=${node}`],
      ...['--label', `fairlead.container=${container}`],
    ];
    const orphan = idOf(++containerNumber);
    const named = ['--label', 'fairlead.name=old-1'];
    await host.docker(['run', '--detach', ...labels(nodeId, orphan), ...named, hello], signal);
    await host.docker(['run', '--detach', ...labels('f'.repeat(32), idOf(9999)), hello], signal);
    await host.docker(['run', '--detach', '--name', 'fairlead-web-1-00000000', hello], signal);
    await becomes(orphan, {
      name: 'old-1',
      phase: ContainerPhase.RUNNING,
      readiness: ReadinessState.UNSPECIFIED,
    });
    coordinator.sendCompleteSet();
    coordinator.assign(idOf(9999), WantedPhase.REMOVED);
    await becomes(idOf(9999), { phase: ContainerPhase.REMOVED });
    coordinator.forget(orphan);
    await runHello();
    expect((await host.docker(['ps', '--quiet'], signal)).split('\n')).toHaveLength(4);
  });

  test('keeps what it knows while the engine is away, and looks again when it is back', async () => {
    const id = await runHello();
    const from = coordinator.history.get(id)!.length;
    await host.stopEngine(signal);
    await eventually(() => {
      expect(coordinator.engine).toMatchObject({
        reachable: false,
        message: expect.stringMatching(
          /no Docker Engine listens at|ended its event stream/,
        ) as string,
      });
    });
    const waiting = runCommand(['sleep', '1000'], { name: 'later-1' });
    await host.startEngine(signal);
    await eventually(() => {
      expect(coordinator.engine).toEqual({ reachable: true, message: '' });
      expect(coordinator.status(id)?.readiness).toBe(ReadinessState.READY);
    });
    await becomes(waiting, { phase: ContainerPhase.RUNNING });
    const phases = coordinator.history
      .get(id)!
      .slice(from)
      .map(({ phase }) => phase);
    expect(new Set([...phases, ContainerPhase.RUNNING, ContainerPhase.STARTING])).toEqual(
      new Set([ContainerPhase.RUNNING, ContainerPhase.STARTING]),
    );
    expect(coordinator.sessions).toHaveLength(1);
  });

  test('begins without an engine, and says hello again when it knows what it runs on', async () => {
    await agent.stop(5_000, signal);
    await host.stopEngine(signal);
    agent = await startAgent(bundle, host, coordinator);
    await eventually(() => {
      expect(coordinator.session?.hello.engine?.reachable).toBe(false);
    });
    const { description } = coordinator.session!.hello;
    expect(description).toMatchObject({ architecture: 'amd64', engineVersion: '' });
    await host.startEngine(signal);
    await eventually(() => {
      expect(coordinator.session?.hello).toMatchObject({
        engine: { reachable: true },
        description: { architecture: 'amd64', engineApiVersion: '1.41' },
      });
    });
  });

  test('tells what happened while the coordinator was away', async () => {
    const dying = runCommand(['sh', '-c', 'read line < /gate; exit 4'], {
      entrypoint: ['busybox'],
      command: ['sh', '-c', 'mkfifo /gate; read line < /gate; exit 4'],
      restart: RestartPolicy.NEVER,
    });
    const { engineId } = await becomes(dying, { phase: ContainerPhase.RUNNING });
    const living = await runHello({ name: 'web-2' });
    coordinator.stop();
    // Not waited for: it may be ended with the container.
    await host.docker(['exec', '--detach', engineId, 'sh', '-c', 'echo go > /gate'], signal);
    await eventually(async () => {
      expect(await inspect(engineId, '{{.State.Status}}')).toBe('exited');
    });
    await coordinator.start();
    await becomes(dying, { phase: ContainerPhase.FAILED, exitCode: 4 });
    expect(coordinator.status(living)).toMatchObject({ readiness: ReadinessState.READY });
  });

  test('notices that its cable was cut, and comes back when it is mended', async () => {
    const id = await runHello();
    await host.link.cut(signal);
    await eventually(() => {
      expect(agent.log()).toContain('session lost');
    });
    await host.link.heal(signal);
    await eventually(() => {
      expect(coordinator.sessions.length).toBeGreaterThan(1);
      expect(coordinator.session).toBeDefined();
    });
    expect(coordinator.status(id)).toMatchObject({ readiness: ReadinessState.READY });
  });

  test('ends on SIGTERM with status 0, leaves its containers, and logs no secret', async () => {
    const id = await runHello({ environment: { PASSWORD: 'very-secret-value' } });
    await agent.stop(5_000, signal);
    await eventually(() => {
      expect(agent.exitStatus).toEqual({ code: 0, signal: null });
    });
    expect(await inspect(coordinator.status(id)!.engineId, '{{.State.Status}}')).toBe('running');
    expect(agent.log()).not.toMatch(/very-secret-value|join-secret|node-secret/);
  });

  async function reconnect(): Promise<void> {
    const before = coordinator.sessions.length;
    coordinator.stop();
    await coordinator.start();
    await eventually(() => {
      expect(coordinator.sessions.length).toBeGreaterThan(before);
    });
  }

  /** Has the process of a container end itself, as a bug would. */
  async function crash({ ports }: ContainerStatus): Promise<void> {
    const url = `http://${host.address}:${ports[0]!.hostPort}/crash`;
    await fetch(url, { method: 'POST' }).catch(() => undefined);
  }
});

async function fetchText(url: string): Promise<string> {
  return await new Promise((resolve, reject) => {
    get(url, { agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (part: string) => (text += part));
      response.on('end', () => {
        resolve(text);
      });
    }).on('error', reject);
  });
}

/** Whether a process has the kernel tell it of changes of a file. */
function watchesFiles(pid: number): boolean {
  const directory = `/proc/${pid}/fdinfo`;
  return readdirSync(directory).some((file) =>
    readFileSync(join(directory, file), 'utf8').includes('inotify wd:'),
  );
}
