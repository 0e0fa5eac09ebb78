import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  ActionError,
  NodeState,
  ServiceState,
  TargetHealth,
  type Container,
} from '../../client/index.ts';
import { systemClock } from '../../shared/clock.ts';
import { eventually } from '../support/eventually.ts';
import { Fleet } from '../support/fleet/fleet.ts';
import { helloImage, startLabSite } from '../support/fleet/lab-site.ts';
import type { Lab } from '../support/lab/lab.ts';
import { describeWithLab } from '../support/needs.ts';
import { open } from '../tutorial/browser.ts';
import { Load, type Entry } from '../tutorial/load.ts';
import { Report, silent } from '../tutorial/report.ts';
import { named, Tour } from '../tutorial/tour.ts';

/** How long DNS lets its answers be kept, by default. */
const ttlMs = 5_000;

/** Failures other than to wait in vain for what had been given to a host before it was known to have vanished. */
function unexplained(load: Load, knownAtMs: number): readonly Entry[] {
  return load.failures.filter(
    ({ atMs, outcome }) => atMs > knownAtMs || !outcome.includes('did not answer'),
  );
}

describeWithLab('a fleet whose parts fail under load', () => {
  const { signal } = new AbortController();
  let fleet: Fleet;
  let lab: Lab;
  let tour: Tour;
  let url = '';

  beforeAll(async () => {
    const site = await startLabSite({ hosts: 3, label: 'failures test' }, signal);
    lab = site.lab;
    const plans = site.hosts.map(({ name }) => ({ name, tags: name === 'host-3' ? [] : ['web'] }));
    fleet = await Fleet.start(site, plans, signal);
    tour = new Tour(fleet, { report: new Report(silent), narrator: silent }, signal);
    const { shell } = tour;
    const web = ['service', 'run', '--name', 'web', '--replicas', '4', '--publish', '80'];
    await shell.run([...web, '--tag', 'web', '--env', 'ALLOW_CRASH=1', helloImage], signal);
    const lb = ['service', 'run', '--name', 'lb', '--role', 'proxy', '--publish', '80:80'];
    await shell.run([...lb, '--link', 'web', 'fairlead/haproxy'], signal);
    url = await tour.lbUrl();
  });

  afterAll(async () => {
    await fleet[Symbol.asyncDispose]();
  });

  async function enginesOf(service: string): Promise<string[]> {
    const containers = await tour.containers(service);
    return containers.map(({ name, engineId }) => `${name} ${engineId}`).sort();
  }

  async function loaded(load: Load, more = 50): Promise<void> {
    const count = load.entries.length + more;
    await eventually(() => {
      expect(load.entries.length).toBeGreaterThan(count);
    });
  }

  async function haproxyPid(): Promise<number> {
    const [proxy] = await tour.proxies('lb');
    return proxy?.haproxyPid ?? 0;
  }

  test('a redeploy cuts no request, not even slow ones that are in flight', async () => {
    await using load = new Load(url, { workers: 4, pauseMs: 10 }, signal);
    const slow = Array.from({ length: 8 }, () => open(`${url}/?delay=3000`, signal));
    await tour.shell.run(['service', 'redeploy', 'web'], signal);
    const pages = await Promise.all(slow);
    expect(pages.map(({ status }) => status)).toEqual(pages.map(() => 200));
    await load[Symbol.asyncDispose]();
    expect(load.failures).toEqual([]);
    expect(load.entries.length).toBeGreaterThan(20);
  });

  test('C1: the coordinator killed and started again: nothing is touched, no request fails', async () => {
    const before = {
      web: await enginesOf('web'),
      lb: await enginesOf('lb'),
      pid: await haproxyPid(),
    };
    await using load = new Load(url, { workers: 4, pauseMs: 10 }, signal);
    await fleet.coordinator.kill(signal);
    for (let i = 0; i < 20; i++) expect((await open(url, signal)).status).toBe(200);
    await fleet.startCoordinator(signal);
    await fleet.nodesReady(['host-1', 'host-2', 'host-3'], signal);
    await eventually(async () => {
      const [proxy] = await tour.proxies('lb');
      expect(proxy).toMatchObject({ connected: true });
      expect(proxy?.servers.length).toBe(4);
      expect(proxy?.appliedVersion).toBe(proxy?.publishedVersion);
    });
    await tour.shell.run(['service', 'scale', 'web', '5'], signal);
    await tour.shell.run(['service', 'scale', 'web', '4'], signal);
    await load[Symbol.asyncDispose]();
    expect(load.failures).toEqual([]);
    const after = {
      web: await enginesOf('web'),
      lb: await enginesOf('lb'),
      pid: await haproxyPid(),
    };
    const survivors = before.web.filter((engine) => after.web.includes(engine));
    expect(survivors.length).toBeGreaterThanOrEqual(3);
    expect({ lb: after.lb, pid: after.pid }).toEqual({ lb: before.lb, pid: before.pid });
  });

  test('N10: an agent killed: its containers live on, and it takes them up again', async () => {
    const before = await enginesOf('web');
    await using load = new Load(url, { workers: 2, pauseMs: 10 }, signal);
    await fleet.agent('host-1').kill(signal);
    await eventually(async () => {
      const { node } = await fleet.client.control.getNode({ node: 'host-1' });
      expect(node?.state).toBe(NodeState.UNREACHABLE);
      expect(node?.message).not.toBe('');
    });
    await fleet.startAgent({ name: 'host-1', tags: ['web'] }, signal);
    await fleet.nodesReady(['host-1'], signal);
    await load[Symbol.asyncDispose]();
    expect(load.failures).toEqual([]);
    expect(await enginesOf('web')).toEqual(before);
  });

  test('a host cut off: unreachable, its backends stay, and only what was in flight there waits; healed: ready', async () => {
    await using load = new Load(url, { workers: 6, pauseMs: 5 }, signal);
    await loaded(load);
    const there = (await tour.containers('web')).filter(({ node }) => node === 'host-2');
    expect(there.length).toBeGreaterThan(0);
    await lab.hosts[1]!.link.cut(signal);
    // The load balancer finds out by itself, and says why.
    await eventually(async () => {
      const [proxy] = await tour.proxies('lb');
      const down = proxy?.servers.filter(({ health }) => health === TargetHealth.DOWN) ?? [];
      expect(down.length).toBe(there.length);
      for (const { healthMessage } of down) expect(healthMessage).not.toBe('');
    });
    const downAtMs = systemClock.now();
    await eventually(async () => {
      const { node } = await fleet.client.control.getNode({ node: 'host-2' });
      expect(node?.state).toBe(NodeState.UNREACHABLE);
    });
    const [proxy] = await tour.proxies('lb');
    expect(proxy?.servers.length).toBe(4);
    await lab.hosts[1]!.link.heal(signal);
    await fleet.nodesReady(['host-2'], signal);
    await load[Symbol.asyncDispose]();
    expect(unexplained(load, downAtMs)).toEqual([]);
  });

  test('HAProxy killed: restarted from the last list, and said', async () => {
    const lb = named(await tour.containers('lb'), 'lb-1');
    const before = await haproxyPid();
    await tour.exec(lb, ['sh', '-c', 'kill -9 $(cat /var/lib/fairlead/haproxy.pid)']);
    await eventually(async () => {
      expect(await haproxyPid()).not.toBe(before);
      expect(await haproxyPid()).not.toBe(0);
      const { status, hostname } = await open(url, signal);
      expect({ status, hostname }).toMatchObject({ status: 200 });
    });
    expect(named(await tour.containers('lb'), 'lb-1').engineId).toBe(lb.engineId);
  });

  test('the proxy agent killed: HAProxy serves on, and is taken up again', async () => {
    const lb = named(await tour.containers('lb'), 'lb-1');
    const before = await haproxyPid();
    await using load = new Load(url, { workers: 2, pauseMs: 10 }, signal);
    await tour.exec(lb, [
      'sh',
      '-c',
      'for p in /proc/[0-9]*; do grep -q fairlead-proxy.cjs $p/cmdline && grep -q ^node $p/cmdline && kill -9 ${p#/proc/}; done; true',
    ]);
    await tour.shell.run(['service', 'scale', 'web', '5'], signal);
    await tour.shell.run(['service', 'scale', 'web', '4'], signal);
    await load[Symbol.asyncDispose]();
    expect(load.failures).toEqual([]);
    expect(await haproxyPid()).toBe(before);
  });

  test('an engine that goes away and comes back is said, and its containers are there again', async () => {
    const host = lab.hosts[0]!;
    await host.stopEngine(signal);
    await eventually(async () => {
      const { node } = await fleet.client.control.getNode({ node: 'host-1' });
      expect(node?.state).toBe(NodeState.ENGINE_AWAY);
      expect(node?.message).toContain('Docker Engine');
    });
    await host.startEngine(signal);
    await fleet.nodesReady(['host-1'], signal);
    await eventually(
      async () => {
        expect((await tour.service('web')).state).toBe(ServiceState.RUNNING);
        const containers = await tour.containers('web');
        expect(containers.filter(({ ready }) => ready).length).toBe(4);
      },
      { timeoutMs: 60_000 },
    );
  });

  test('N7: a node that is drained: its containers go elsewhere, and no request fails', async () => {
    const slow = Array.from({ length: 6 }, () => open(`${url}/?delay=3000`, signal));
    await using load = new Load(url, { workers: 4, pauseMs: 10 }, signal);
    await tour.shell.run(['node', 'drain', 'host-2'], signal);
    expect(await lab.hosts[1]!.docker(['ps', '--quiet'], signal)).toBe('');
    expect((await tour.containers('web')).map(({ node }) => node)).toEqual(
      Array<string>(4).fill('host-1'),
    );
    expect((await Promise.all(slow)).map(({ status }) => status)).toEqual(slow.map(() => 200));
    await load[Symbol.asyncDispose]();
    expect(load.failures).toEqual([]);
    await tour.shell.run(['node', 'activate', 'host-2'], signal);
    await tour.shell.run(['service', 'redeploy', 'web'], signal);
  });

  test('a host that dies: what was in flight there is repeated elsewhere; its containers are made elsewhere; back, nothing runs twice', async () => {
    const host = lab.hosts[1]!;
    // What takes so long is in flight when the host dies.
    const slow = Array.from({ length: 8 }, () =>
      open(`${url}/?delay=6000`, signal, { timeoutMs: 30_000 }).then(
        ({ status }) => status === 200,
        () => false,
      ),
    );
    const inFlightThere = await eventually(async () => {
      const servers = (await tour.proxies('lb')).flatMap((proxy) => proxy.servers);
      const sum = (all: typeof servers) => all.reduce((total, each) => total + each.inFlight, 0);
      expect(sum(servers)).toBe(slow.length);
      return sum(servers.filter(({ address }) => address.startsWith(`${host.address}:`)));
    });
    expect(inFlightThere).toBeGreaterThan(0);
    await using load = new Load(url, { workers: 6, pauseMs: 10, timeoutMs: 30_000 }, signal);
    await loaded(load);
    expect(load.failures).toEqual([]);
    await host.kill(signal);
    await eventually(
      async () => {
        expect((await tour.service('web')).state).toBe(ServiceState.RUNNING);
        const ready = (await tour.containers('web')).filter((container) => container.ready);
        expect(ready.map(({ node }) => node)).toEqual(Array<string>(4).fill('host-1'));
      },
      { timeoutMs: 60_000 },
    );
    await loaded(load);
    await host.startEngine(signal);
    await fleet.startAgent({ name: 'host-2', tags: ['web'] }, signal);
    await fleet.nodesReady(['host-2'], signal);
    await eventually(
      async () => {
        expect(await tour.containers('web')).toHaveLength(4);
        expect(await host.docker(['ps', '--all', '--quiet'], signal)).toBe('');
      },
      { timeoutMs: 60_000 },
    );
    expect((await tour.service('web')).state).toBe(ServiceState.RUNNING);
    await load[Symbol.asyncDispose]();
    // What was given to it meanwhile waits in vain, is ended, and asked again elsewhere.
    expect(load.failures).toEqual([]);
    // The kernel noticed that its peer is gone, and HAProxy may repeat what only asks.
    expect(await Promise.all(slow)).toEqual(slow.map(() => true));
  });

  test('a host that is rebooted comes back by itself: the same node, which serves again', async () => {
    const nodeNow = async () => (await fleet.client.control.getNode({ node: 'host-2' })).node!;
    const { id } = await nodeNow();
    await fleet.site.reboot!(fleet.host('host-2'), signal);
    // What a service manager does at boot: the same command, which finds its identity.
    await fleet.startAgent({ name: 'host-2', tags: ['web'] }, signal);
    await fleet.nodesReady(['host-2'], signal);
    expect(await nodeNow()).toMatchObject({ id, message: '', tags: ['web'] });
    await eventually(
      async () => {
        const containers = await tour.containers('web');
        expect(containers.filter(({ ready }) => ready).length).toBe(4);
        expect((await tour.service('web')).state).toBe(ServiceState.RUNNING);
      },
      { timeoutMs: 60_000 },
    );
  });

  test('a container whose liveness fails is drained, then restarted: no request fails, the others go on', async () => {
    const check = ['--health-cmd', 'test ! -e /dev/shm/ill', '--health-interval', '1s'];
    const patience = ['--health-retries', '2', '--health-timeout', '30s'];
    await tour.shell.run(['service', 'set', 'web', ...check, ...patience], signal);
    const before = await tour.containers('web');
    const ill = named(before, 'web-1');
    await using load = new Load(url, { workers: 4, pauseMs: 10 }, signal);
    const slow = Array.from({ length: 8 }, () => open(`${url}/?delay=3000`, signal));
    // It is gone with the process: so is the illness.
    await tour.exec(ill, ['touch', '/dev/shm/ill']);
    await eventually(
      async () => {
        const { startedAt, ready } = named(await tour.containers('web'), 'web-1');
        expect(startedAt).not.toEqual(ill.startedAt);
        expect(ready).toBe(true);
      },
      { timeoutMs: 60_000 },
    );
    const pages = await Promise.all(slow);
    expect(pages.map(({ status }) => status)).toEqual(pages.map(() => 200));
    await load[Symbol.asyncDispose]();
    expect(load.failures).toEqual([]);
    const processes = (containers: readonly Container[]) =>
      containers
        .map(({ name, engineId, startedAt }) => ({
          ...{ name, engineId },
          startedAt: name === ill.name ? undefined : startedAt,
        }))
        .sort((a, b) => a.name.localeCompare(b.name));
    expect(processes(await tour.containers('web'))).toEqual(processes(before));
  });

  test('an image that is nowhere: the action fails and says why, and nothing loops', async () => {
    const { client } = fleet;
    const { action } = await client.control.createService({
      name: 'missing',
      spec: { image: 'fairlead/no-such-image:1', replicas: 1 },
      start: true,
    });
    const wait = client.waitForAction(action?.id ?? '', { timeoutMs: 120_000 }, signal);
    await expect(wait).rejects.toThrow(ActionError);
    const { state, message } = await tour.service('missing');
    expect(state).toBe(ServiceState.FAILED);
    expect(message).toContain('no-such-image');
    const [container] = await tour.containers('missing');
    expect(container satisfies Container | undefined).toMatchObject({ ready: false });
    await tour.shell.run(['service', 'rm', 'missing'], signal);
  });
  test('L13: one of three load balancers killed: who asks DNS anew is past it within its TTL', async () => {
    await tour.shell.run(['service', 'scale', 'lb', '3'], signal);
    await eventually(async () => {
      expect(await tour.resolve('lb')).toHaveLength(3);
    });
    await using load = new Load(
      async () => `http://${(await tour.resolve('lb'))[0] ?? ''}`,
      { workers: 4, pauseMs: 10 },
      signal,
    );
    await eventually(() => {
      expect(load.entries.length).toBeGreaterThan(50);
    });
    expect(load.failures).toEqual([]);
    const lb = (await tour.containers('lb'))[1]!;
    const killedAtMs = systemClock.now();
    await tour.fleet.host(lb.node).docker(['kill', lb.engineId], signal);
    await eventually(() => {
      expect(load.entries.at(-1)?.atMs).toBeGreaterThan(killedAtMs + 2 * ttlMs);
    });
    await load[Symbol.asyncDispose]();
    expect(load.failures.filter(({ atMs }) => atMs > killedAtMs + ttlMs)).toEqual([]);
  });

  test('load balancers in containers renew their certificates, and one that is revoked is cut, while all serve', async () => {
    const { control } = fleet.client;
    const connected = () =>
      eventually(
        async () => {
          const proxies = await tour.proxies('lb');
          expect(proxies.map((proxy) => proxy.connected)).toEqual([true, true, true]);
        },
        { timeoutMs: 30_000 },
      );
    await connected();
    await using load = new Load(url, { workers: 2, pauseMs: 10 }, signal);
    const enginesBefore = await enginesOf('lb');
    // Whoever has a certificate of the authority before renews it soon.
    const [before] = (await control.getTrust({})).trust?.authorities ?? [];
    expect(before?.proxies).toBe(3);
    await control.rotateAuthority({});
    await eventually(
      async () => {
        const now = (await control.getTrust({})).trust?.authorities;
        const old = now?.find(({ pin }) => pin === before?.pin);
        expect([old?.nodes, old?.proxies]).toEqual([0, 0]);
      },
      { timeoutMs: 30_000 },
    );
    await connected();
    expect(await enginesOf('lb')).toEqual(enginesBefore);

    const addressOf = async ({ node }: Container) =>
      (await control.getNode({ node })).node?.publicAddress ?? '';
    const all = await tour.containers('lb');
    const addresses = await Promise.all(all.map(addressOf));
    // Another than the one under load.
    const at = addresses.findIndex((address) => !url.includes(address));
    const { name } = all[at]!;
    const { tokens } = await control.listTokens({});
    const own = tokens.find((token) => token.name.startsWith(`container:${name}:`));
    await control.revokeToken({ token: own?.id ?? '' });
    await eventually(async () => {
      const proxies = await tour.proxies('lb');
      expect(proxies.filter((proxy) => !proxy.connected)).toHaveLength(1);
    });
    expect((await open(`http://${addresses[at]!}`, signal)).status).toBe(200);
    // Its successor has a token of its own.
    await tour.shell.run(['container', 'redeploy', name], signal);
    await connected();
    await load[Symbol.asyncDispose]();
    expect(load.failures).toEqual([]);
  });
});
