import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { Fleet } from '../support/fleet/fleet.ts';
import { helloImage, startLabSite } from '../support/fleet/lab-site.ts';
import { describeWithLab } from '../support/needs.ts';
import { Report, silent } from '../tutorial/report.ts';
import { Tour } from '../tutorial/tour.ts';

const planted = 'planted-in-an-environment-55d0';

describeWithLab('a coordinator that goes back to an older backup', () => {
  const { signal } = new AbortController();
  let fleet: Fleet;
  let tour: Tour;
  let file: string;

  beforeAll(async () => {
    const site = await startLabSite({ hosts: 1, label: 'backup test' }, signal);
    fleet = await Fleet.start(site, [{ name: 'host-1', tags: [] }], signal);
    tour = new Tour(fleet, { report: new Report(silent), narrator: silent }, signal);
    file = join(site.directory, 'backup');
    const web = ['service', 'run', '--name', 'web', '--replicas', '2', '--publish', '80'];
    await run(...web, '--env', `PASSWORD=${planted}`, helloImage);
  });

  afterAll(async () => {
    await fleet[Symbol.asyncDispose]();
  });

  async function run<T>(...args: string[]): Promise<T> {
    return await tour.shell.run<T>(args, signal);
  }

  /** What the engine runs: its ids, by the name that Fairlead gave. */
  async function running(): Promise<Record<string, string>> {
    const format = '{{.Label "fairlead.name"}} {{.ID}}';
    const list = ['ps', '--no-trunc', '--filter', 'label=fairlead.node', '--format', format];
    const lines = (await fleet.host('host-1').docker(list, signal)).split('\n');
    return Object.fromEntries(lines.map((line) => line.split(' ') as [string, string]));
  }

  async function orphans(): Promise<string[]> {
    const { node } = await fleet.client.control.getNode({ node: 'host-1' }, { signal });
    return (node?.orphaned ?? []).map((o) => `${o.name} ${o.running ? 'runs' : 'ended'}`).sort();
  }

  test('touches nothing that was made since: it runs on, and is shown', async () => {
    await run('coordinator', 'backup', file, '--state-dir', fleet.stateDir);
    await run('service', 'scale', 'web', '4');
    await run('service', 'run', '--name', 'late', helloImage);
    const before = await running();
    expect(Object.keys(before).sort()).toEqual(['late-1', 'web-1', 'web-2', 'web-3', 'web-4']);

    await expect(
      run('coordinator', 'restore', file, '--state-dir', fleet.stateDir, '--force'),
    ).rejects.toThrow('in use by another process');
    await fleet.coordinator.kill(signal);
    await run('coordinator', 'restore', file, '--state-dir', fleet.stateDir, '--force');
    await fleet.startCoordinator(signal);
    await fleet.nodesReady(['host-1'], signal);
    await eventually(async () => {
      expect(await orphans()).toEqual(['late-1 runs', 'web-3 runs', 'web-4 runs']);
      expect(await tour.service('web')).toMatchObject({
        readyContainers: 2,
        spec: { replicas: 2 },
      });
    });
    // It has planned since: what it knows is as it was asked.
    await run('service', 'set', 'web', '--drain-timeout', '5s');
    expect(await running()).toEqual(before);
    const listed = await run<{ name: string; node: string }[]>('node', 'orphans');
    expect(listed.map(({ node, name }) => `${node} ${name}`)).toEqual([
      ...['host-1 late-1', 'host-1 web-3', 'host-1 web-4'],
    ]);
  });

  test('an orphan is adopted: the same process, in its service again', async () => {
    const before = await running();
    await run('node', 'adopt', 'host-1', 'web-3');
    const containers = await tour.containers('web');
    expect(containers.map(({ name, ready }) => `${name} ${ready}`).sort()).toEqual([
      ...['web-1 true', 'web-2 true', 'web-3 true'],
    ]);
    const adopted = containers.find(({ name }) => name === 'web-3');
    expect(adopted?.engineId).toBe(before['web-3']);
    expect(await running()).toEqual(before);
    expect(await orphans()).toEqual(['late-1 runs', 'web-4 runs']);
    // From now on it is one like the others.
    await run('service', 'scale', 'web', '2');
    expect(Object.keys(await running()).sort()).toEqual(['late-1', 'web-1', 'web-2', 'web-4']);
  });

  test('one without a place is not adopted, and says why', async () => {
    await expect(run('node', 'adopt', 'host-1', 'late-1')).rejects.toThrow(
      'no service is there for late-1',
    );
    await expect(run('node', 'adopt', 'host-1', 'web-9')).rejects.toThrow('has no orphan "web-9"');
  });

  test('one whose slot was filled meanwhile takes the place of what was made anew', async () => {
    const before = await running();
    await run('service', 'scale', 'web', '4');
    const made = (await tour.containers('web')).find(({ name }) => name === 'web-4');
    expect(made?.engineId).not.toBe(before['web-4']);
    await run('node', 'adopt', 'host-1', 'web-4');
    await eventually(async () => {
      const containers = await tour.containers('web');
      expect(containers.map(({ name, ready }) => `${name} ${ready}`).sort()).toEqual([
        ...['web-1 true', 'web-2 true', 'web-3 true', 'web-4 true'],
      ]);
      const kept = containers.find(({ name }) => name === 'web-4');
      expect(kept?.engineId).toBe(before['web-4']);
    });
    expect((await running())['web-4']).toBe(before['web-4']);
    expect(await orphans()).toEqual(['late-1 runs']);
  });

  test('an orphan is stopped and removed when that is asked, and nothing else', async () => {
    await run('node', 'discard', 'host-1', 'late-1');
    await eventually(async () => {
      expect(await orphans()).toEqual([]);
    });
    expect(Object.keys(await running()).sort()).toEqual(['web-1', 'web-2', 'web-3', 'web-4']);
    expect(await tour.containers('web')).toHaveLength(4);
    const actions = (await fleet.client.control.listActions({}, { signal })).actions;
    expect(actions.map(({ method }) => method)).toEqual(
      expect.arrayContaining(['AdoptOrphan', 'DiscardOrphan']),
    );
  });

  test('no secret is in a log, or in the arguments of any process', async () => {
    const secrets = [fleet.token, await fleet.joinToken()].map((token) => token.slice(21, 64));
    const cmdlines = readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map((pid) => readOrEmpty(`/proc/${pid}/cmdline`));
    expect(cmdlines.join('\n')).toContain(fleet.stateDir);
    for (const secret of [...secrets, planted]) {
      expect(cmdlines.filter((cmdline) => cmdline.includes(secret))).toEqual([]);
      expect(fleet.logs().includes(secret)).toBe(false);
    }
  });
});

/** Processes come and go. */
function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
