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

/** The steps with their checks. A run that ends early lacks some of these: that is a failure too. */
const steps = [
  { run: linkHosts, checkIds: ['0.T'] },
  { run: tagNodes, checkIds: ['1.T1', '1.T2', '1.T4', '1.T5'] },
  {
    run: deployWeb,
    checkIds: ['2.T1', '2.T2', '2.T3', '1.T3', '2.T4', '2.T5', '2.T6', '2.T7'],
  },
  { run: testWeb, checkIds: ['3.T1', '3.T2', '3.T3', '3.T4'] },
  { run: deployLb, checkIds: ['4.T1', '4.T2', '4.T3', '4.T4'] },
  { run: testLb, checkIds: ['5.T1', '5.T2', '5.T3', '5.T4', '5.T5'] },
  {
    run: changeWeb,
    checkIds: ['6.T1', '6.T2', '6.T3', '6.T4', '6.T5', '6.T6', '6.B'],
  },
  { run: scaleLb, checkIds: ['7.T1', '7.T2', '7.T3', '7.T5', '7.T4'] },
] as const;

/** Every check of the whole tutorial. */
export const checkIds = steps.flatMap((step) => step.checkIds);

/** The numbers of all steps, in their order. */
export const stepNumbers = steps.map((_, number) => number);

export interface TutorialOptions {
  readonly narrator: Narrator;
  /** Numbers of the steps to run; each needs those before it. */
  readonly steps: readonly number[];
}

/** Runs the whole tutorial on a site whose coordinator has not been started yet. */
export async function runTutorial(
  fleet: Fleet,
  narrator: Narrator,
  signal: AbortSignal,
): Promise<Report> {
  return await runSteps(fleet, { narrator, steps: stepNumbers }, signal);
}

/** Runs steps of the tutorial. What a step that broke off did not check is reported as failed. */
export async function runSteps(
  fleet: Fleet,
  { narrator, steps: numbers }: TutorialOptions,
  signal: AbortSignal,
): Promise<Report> {
  const report = new Report(narrator);
  const tour = new Tour(fleet, { report, narrator }, signal);
  for (const number of numbers) {
    const { run, checkIds: ids } = steps[number]!;
    let broke: unknown;
    try {
      await run(tour);
    } catch (error) {
      broke = error;
    }
    signal.throwIfAborted();
    if (broke !== undefined) {
      await report.check(`${number}.broke`, 'the step runs to its end', () => {
        throw broke as Error;
      });
    }
    const checked = new Set(report.checks.map(({ id }) => id));
    for (const id of ids.filter((each) => !checked.has(each))) {
      await report.check(id, 'is checked', () => {
        throw new Error('not reached');
      });
    }
  }
  return report;
}
