import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { Fleet } from '../support/fleet/fleet.ts';
import { helloImage, startLabSite } from '../support/fleet/lab-site.ts';
import { describeWithLab } from '../support/needs.ts';
import { Report, silent } from '../tutorial/report.ts';
import { Tour } from '../tutorial/tour.ts';

describeWithLab('a service with a volume whose container was replaced after the backup', () => {
  const { signal } = new AbortController();
  const services = ['plain', 'kept', 'thrown'];
  let fleet: Fleet;
  let tour: Tour;
  /** As they were when the backup was made, and when the coordinator was killed. */
  let first: readonly string[];
  let successors: readonly string[];

  beforeAll(async () => {
    const site = await startLabSite({ hosts: 1, label: 'restore test' }, signal);
    fleet = await Fleet.start(site, [{ name: 'host-1', tags: [] }], signal);
    tour = new Tour(fleet, { report: new Report(silent), narrator: silent }, signal);
    const file = join(site.directory, 'backup');
    for (const name of services) {
      const volume = name === 'plain' ? [] : ['--volume', `${name}:/data`];
      await run('service', 'run', '--name', name, ...volume, helloImage);
    }
    first = await running();
    await run('coordinator', 'backup', file, '--state-dir', fleet.stateDir);
    await run('service', 'redeploy', ...services);
    successors = await running();
    await fleet.coordinator.kill(signal);
    await run('coordinator', 'restore', file, '--state-dir', fleet.stateDir, '--force');
    await fleet.startCoordinator(signal);
    await fleet.nodesReady(['host-1'], signal);
  });

  afterAll(async () => {
    await fleet[Symbol.asyncDispose]();
  });

  async function run<T>(...args: string[]): Promise<T> {
    return await tour.shell.run<T>(args, signal);
  }

  /** What the engine runs: its id after the name that Fairlead gave. */
  async function running(): Promise<string[]> {
    const format = '{{.Label "fairlead.name"}} {{.ID}}';
    const list = ['ps', '--no-trunc', '--filter', 'label=fairlead.node', '--format', format];
    return (await fleet.host('host-1').docker(list, signal)).trim().split('\n').sort();
  }

  const of = (name: string, all: readonly string[]) => all.filter((c) => c.startsWith(`${name}-1`));

  async function waitFor(name: string): Promise<string> {
    const { summary } = await run<{ summary: string }>('explain', name);
    return summary;
  }

  test('is not run beside its successor, which is an orphan; one without a volume is', async () => {
    for (const name of services) expect(of(name, successors)).not.toEqual(of(name, first));
    await eventually(async () => {
      // The stateless one is there again, so the others had their turn.
      expect(of('plain', await running())).toHaveLength(2);
      expect(await waitFor('kept')).toContain(
        'host-1 runs the orphan kept-1, which may write to the same volumes: adopt it (fairlead node adopt host-1 kept-1), or discard it (fairlead node discard host-1 kept-1)',
      );
      expect(await waitFor('thrown')).toContain('the orphan thrown-1');
    });
    const now = await running();
    for (const name of ['kept', 'thrown']) expect(of(name, now)).toEqual(of(name, successors));
  });

  test('waits on when the coordinator starts again', async () => {
    await fleet.coordinator.kill(signal);
    await fleet.startCoordinator(signal);
    await fleet.nodesReady(['host-1'], signal);
    await eventually(async () => {
      expect(await waitFor('kept')).toContain('the orphan kept-1');
    });
    const now = await running();
    for (const name of ['kept', 'thrown']) expect(of(name, now)).toEqual(of(name, successors));
  });

  test('gives its slot to the orphan when that is adopted', async () => {
    await run('node', 'adopt', 'host-1', 'kept-1');
    await eventually(async () => {
      const containers = await tour.containers('kept');
      expect(containers).toMatchObject([{ name: 'kept-1', ready: true }]);
      expect(of('kept', successors)).toEqual([`kept-1 ${containers[0]?.engineId}`]);
    });
    expect(of('kept', await running())).toEqual(of('kept', successors));
  });

  test('fills its slot when the orphan was discarded and is gone', async () => {
    await run('node', 'discard', 'host-1', 'thrown-1');
    await eventually(async () => {
      const containers = await tour.containers('thrown');
      expect(containers).toMatchObject([{ name: 'thrown-1', ready: true }]);
      expect(of('thrown', await running())).toEqual([`thrown-1 ${containers[0]?.engineId}`]);
    });
    expect(of('thrown', await running())).not.toEqual(of('thrown', successors));
  });
});
