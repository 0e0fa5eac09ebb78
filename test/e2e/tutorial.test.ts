import { beforeAll, expect, test } from 'vitest';
import { Fleet } from '../support/fleet/fleet.ts';
import { startLabSite } from '../support/fleet/lab-site.ts';
import { describeWithLab } from '../support/needs.ts';
import { silent, type Report } from '../tutorial/report.ts';
import { checkIds, runTutorial } from '../tutorial/run-tutorial.ts';

describeWithLab('the tutorial, on five real hosts', () => {
  let report: Report;

  beforeAll(async () => {
    const { signal } = new AbortController();
    const site = await startLabSite({ hosts: 5, label: 'tutorial test' }, signal);
    await using fleet = new Fleet(site);
    report = await runTutorial(fleet, silent, signal);
    if (!report.ok) console.error(fleet.logs().split('\n').slice(-200).join('\n'));
  });

  test.each(checkIds)('%s', (id) => {
    const check = report.checks.find((each) => each.id === id);
    expect(check?.ok, check?.seen).toBe(true);
  });

  test('no step broke off', () => {
    const extra = report.checks.filter(({ id }) => !(checkIds as readonly string[]).includes(id));
    expect(extra).toEqual([]);
  });
});
