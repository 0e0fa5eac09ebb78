import type { Fleet } from '../support/fleet/fleet.ts';
import { Report, type Narrator } from './report.ts';
import { linkHosts } from './steps/0-hosts.ts';
import { tagNodes } from './steps/1-nodes.ts';
import { deployWeb } from './steps/2-web.ts';
import { testWeb } from './steps/3-test-web.ts';
import { deployLb } from './steps/4-lb.ts';
import { testLb } from './steps/5-test-lb.ts';
import { changeWeb } from './steps/6-changes.ts';
import { scaleLb } from './steps/7-more-lbs.ts';
import { Tour } from './tour.ts';

/** Every check of the steps, in their order. A run that ends early lacks some: that is a failure too. */
export const checkIds = [
  ...['0.T', '1.T1', '1.T2', '1.T3', '1.T5'],
  ...['2.T1', '2.T2', '2.T3', '2.T4', '2.T5', '2.T6', '2.T7'],
  ...['3.T1', '3.T2', '3.T3', '3.T4', '4.T1', '4.T2', '4.T3', '4.T4'],
  ...['5.T1', '5.T2', '5.T3', '5.T4', '5.T5'],
  ...['6.T1', '6.T2', '6.T3', '6.T4', '6.T5', '6.T6', '6.B', '7.T1', '7.T4'],
] as const;

const steps = [linkHosts, tagNodes, deployWeb, testWeb, deployLb, testLb, changeWeb, scaleLb];

/**
 * Runs the tutorial, step by step, on a site whose coordinator has not been started yet. What a step that
 * broke off did not check is reported as failed.
 */
export async function runTutorial(
  fleet: Fleet,
  narrator: Narrator,
  signal: AbortSignal,
): Promise<Report> {
  const report = new Report(narrator);
  const tour = { current: undefined as Tour | undefined };
  for (const step of steps) {
    let broke: unknown;
    try {
      tour.current ??= new Tour(fleet, { report, narrator }, signal);
      await step(tour.current);
    } catch (error) {
      broke = error;
    }
    if (signal.aborted) break;
    if (broke !== undefined) {
      const id = `${steps.indexOf(step)}.broke`;
      await report.check(id, 'the step runs to its end', () => {
        throw broke as Error;
      });
    }
  }
  const checked = new Set(report.checks.map(({ id }) => id));
  for (const id of checkIds.filter((each) => !checked.has(each))) {
    await report.check(id, 'is checked', () => {
      throw new Error('not reached');
    });
  }
  return report;
}
