import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { FalseClock } from '../support/false-clock.ts';
import { Fleet } from '../support/fleet/fleet.ts';
import { helloImage, proxyImage, startLabSite } from '../support/fleet/lab-site.ts';
import type { Site } from '../support/fleet/site.ts';
import { describeWithClocks } from '../support/needs.ts';
import { Load } from '../tutorial/load.ts';
import { Report, silent } from '../tutorial/report.ts';
import { Tour } from '../tutorial/tour.ts';

const patience = { timeoutMs: 60_000 };

/** How wrong the clock of each host is at first, and what is to be said of it. */
const hosts = [
  { name: 'host-1', by: '+240', words: '' },
  { name: 'host-2', by: '-240', words: '' },
  { name: 'host-3', by: '+3d', words: 'IS WRONG.*it is 3 days ahead of.*set it' },
  { name: 'host-4', by: '-3d', words: 'IS WRONG.*it is 3 days behind.*set it' },
] as const;
const yearsBehind = 'host-5';

describeWithClocks('a fleet whose clocks differ', () => {
  const { signal } = new AbortController();
  const clocks = new Map<string, FalseClock>();
  let site: Site;
  let fleet: Fleet;
  let tour: Tour;

  beforeAll(async () => {
    site = await startLabSite({ hosts: hosts.length + 1, label: 'clock test' }, signal);
    fleet = new Fleet(site, { env: clock('coordinator', '+0').env });
    await fleet.start(
      hosts.map(({ name, by }) => ({ name, tags: [], env: clock(name, by).env })),
      signal,
    );
    tour = new Tour(fleet, { report: new Report(silent), narrator: silent }, signal);
    await run('service', 'run', '--name', 'web', '--strategy', 'every-node', helloImage);
  });

  afterAll(async () => {
    await fleet[Symbol.asyncDispose]();
  });

  function clock(whose: string, by: string): FalseClock {
    const made = new FalseClock(join(site.directory, `${whose}.clock`), by);
    clocks.set(whose, made);
    return made;
  }

  async function run<T>(...args: string[]): Promise<T> {
    return await tour.shell.run<T>(args, signal);
  }

  async function messageOf(name: string): Promise<string> {
    const { node } = await fleet.client.control.getNode({ node: name }, { signal });
    return node?.message ?? '';
  }

  /** The engine containers of the service, by their name. */
  async function ready(count: number): Promise<Record<string, string>> {
    return await eventually(async () => {
      const containers = await tour.containers('web');
      expect(containers.filter((each) => each.ready)).toHaveLength(count);
      expect(containers).toHaveLength(count);
      return Object.fromEntries(containers.map(({ name, engineId }) => [name, engineId]));
    }, patience);
  }

  test.each(hosts)('$name, off by $by: it serves, and says what is wrong', async (host) => {
    const { name, words } = host;
    await ready(hosts.length);
    await eventually(async () => {
      const { containers } = await fleet.client.control.listContainers({}, { signal });
      expect(containers.filter((each) => each.node === name && each.ready)).toHaveLength(1);
    });
    const log = fleet.agent(name).log();
    if (words === '') {
      expect(await messageOf(name)).toBe('');
      expect(log).not.toContain('clocks differ');
      return;
    }
    await eventually(async () => {
      expect(await messageOf(name)).toMatch(new RegExp(`^ITS CLOCK ${words}`));
      expect(fleet.coordinator.log()).toMatch(new RegExp(`"node":"${name}","msg":"ITS CLOCK IS`));
    });
    expect(log).toMatch(new RegExp(`"THE CLOCK OF THIS HOST ${words}.*"clocks differ"`));
    const { events } = await fleet.client.control.listEvents(
      { types: ['node.clock-wrong'] },
      { signal },
    );
    expect(events.filter(({ objectName }) => objectName === name)).toHaveLength(1);
  });

  test('all of them renew their certificates, and none loses what runs', async () => {
    const before = await ready(hosts.length);
    await run('ca', 'rotate');
    for (const { name } of hosts) {
      await eventually(() => {
        expect(fleet.agent(name).log()).toContain('"certificate renewed"');
      }, patience);
    }
    expect(await ready(hosts.length)).toEqual(before);
  });

  test('a host that is two years behind is told so, and joins once its clock is set', async () => {
    const env = clock(yearsBehind, '-730d').env;
    const agent = await fleet.startAgent({ name: yearsBehind, tags: [], env }, signal);
    await eventually(() => {
      expect(agent.log()).toMatch(
        /the certificate of the coordinator at \S+ is valid from .*GMT here: one of the two clocks is wrong; set it.*"cannot join yet"/,
      );
    }, patience);
    expect(agent.isRunning()).toBe(true);
    clocks.get(yearsBehind)?.set('+0');
    await fleet.nodesReady([yearsBehind], signal);
    expect(await messageOf(yearsBehind)).toBe('');
    await ready(hosts.length + 1);
  });

  test('a rollout under load while the clock of the coordinator goes hours ahead, and back by more', async () => {
    await run('service', 'set', 'web', '--publish', '80');
    const balanced = ['--role', 'proxy', '--publish', '80:80', '--link', 'web'];
    await run('service', 'run', '--name', 'lb', ...balanced, proxyImage);
    const before = await ready(hosts.length + 1);
    const { cursor } = await fleet.client.control.listEvents({ limit: 1_000 }, { signal });
    const isNew = async (count: number) => {
      await eventually(async () => {
        const all = await tour.containers('web');
        const fresh = all.filter(
          ({ name, engineId }) => engineId !== before[name] && engineId !== '',
        );
        expect(fresh.length).toBeGreaterThanOrEqual(count);
      }, patience);
    };
    const seen = async (count: number) => {
      await eventually(() => {
        const steps = fleet.coordinator.log().split('"msg":"the clock of this host was set');
        expect(steps.length - 1).toBe(count);
      }, patience);
    };

    await using load = new Load(await tour.lbUrl(), { workers: 4, pauseMs: 20 }, signal);
    const slowly = ['--settle', '2s', '--update-deadline', '30s', '--env', 'STEP=1'];
    const rollout = run('service', 'set', 'web', ...slowly);
    await isNew(1);
    clocks.get('coordinator')?.set('+6h');
    await seen(1);
    await isNew(2);
    clocks.get('coordinator')?.set('-4h');
    await seen(2);
    // It fails if the rollout does.
    await rollout;
    clocks.get('coordinator')?.set('+0');
    await seen(3);
    await load[Symbol.asyncDispose]();
    expect(load.failures).toEqual([]);
    expect(load.entries.length).toBeGreaterThan(100);

    const after = await ready(hosts.length + 1);
    expect(Object.keys(after)).toEqual(Object.keys(before));
    for (const [name, engineId] of Object.entries(after)) expect(engineId).not.toBe(before[name]);
    const { events } = await fleet.client.control.listEvents({ cursor, limit: 1_000 }, { signal });
    const types = events.map(({ type }) => type);
    expect(types.filter((type) => type === 'container.ready')).toHaveLength(hosts.length + 1);
    expect(types.filter((type) => type === 'coordinator.clock-set')).toHaveLength(3);
    const wrong =
      /^(node\.(unreachable|down)|container\.(failed|drain-cut)|service\.roll.*back.*)$/;
    expect(types.filter((type) => wrong.test(type))).toEqual([]);
  });

  test('a coordinator whose clock goes days ahead and back ends no session, and touches nothing', async () => {
    const before = await ready(hosts.length + 1);
    const sessions = () => fleet.logs().split('"session begins"').length;
    const begun = sessions();
    clocks.get('coordinator')?.set('+10d');
    await eventually(async () => {
      expect(fleet.coordinator.log()).toContain('"msg":"the clock of this host was set');
      expect(await messageOf('host-1')).toMatch(/IS WRONG, or the coordinator's.*10 days behind/);
    }, patience);
    await run('service', 'set', 'web', '--drain-timeout', '5s');
    clocks.get('coordinator')?.set('+0');
    await eventually(async () => {
      expect(await messageOf('host-1')).toBe('');
    }, patience);
    await run('service', 'set', 'web', '--drain-timeout', '6s');
    expect(await ready(hosts.length + 1)).toEqual(before);
    expect(sessions()).toBe(begun);
    expect(fleet.coordinator.log()).not.toContain('node fell silent');
  });

  test('one whose clock goes further than certificates are good says that, and all is as it was when it is set', async () => {
    const before = await ready(hosts.length + 1);
    const names = [...hosts.map(({ name }) => name), yearsBehind];
    const count = (name: string, words: string) => fleet.agent(name).log().split(words).length - 1;
    const begun = names.map((name) => count(name, '"session begins"'));
    clocks.get('coordinator')?.set('+60d');
    await eventually(() => {
      const words =
        "the certificate has expired, by the coordinator's clock: if that is wrong, set it";
      // As its session is cut, and as it asks for another.
      for (const name of names) expect(count(name, words)).toBeGreaterThan(1);
    }, patience);
    clocks.get('coordinator')?.set('+0');
    await eventually(() => {
      for (const [at, name] of names.entries()) {
        expect(count(name, '"session begins"')).toBeGreaterThan(begun[at]!);
      }
    }, patience);
    await fleet.nodesReady(names, signal);
    expect(await ready(hosts.length + 1)).toEqual(before);
  });

  test('a clock that is set right is no more spoken of', async () => {
    for (const { name } of hosts) clocks.get(name)?.set('+0');
    await eventually(async () => {
      for (const { name } of hosts) expect(await messageOf(name)).toBe('');
    }, patience);
  });
});
