import type { RetireReason } from '../model.ts';
import type { Step } from './steps.ts';

/**
 * How much of a plan is carried out in one go. All that is written together is told to everybody together, and
 * nobody else has a turn before: for a service on two thousand nodes that was more than a second, in which no
 * session was heard.
 */
export const pieceSteps = 100;

/** After these nothing follows for the same slot that the next plan would not see by itself. */
const final: ReadonlySet<RetireReason> = new Set([
  'stopped',
  'scaled-down',
  'terminated',
  'not-eligible',
]);

/**
 * The beginning of a plan that may be carried out by itself: the next plan, made then, has the rest.
 *
 * It ends between two steps that do the same to two containers, for steps of one slot that belong together are of
 * different kinds: one goes for what it did, and another takes its place with what is known of that.
 */
export function pieceOf(steps: readonly Step[], limit = pieceSteps): readonly Step[] {
  for (let end = limit; end < steps.length; end++) {
    if (areApart(steps[end - 1], steps[end])) return steps.slice(0, end);
  }
  return steps;
}

function areApart(before: Step | undefined, after: Step | undefined): boolean {
  return before?.kind === after?.kind && standsAlone(before) && standsAlone(after);
}

function standsAlone(step: Step | undefined): boolean {
  if (step === undefined) return false;
  return step.kind === 'retire' ? final.has(step.reason) : single[step.kind];
}

/** Whether what it does is about one container, and no step of the same plan hangs on it. */
const single: Readonly<Record<Exclude<Step['kind'], 'retire'>, boolean>> = {
  ...{ create: true, stop: true, arrive: true, remove: true, forget: true },
  ...{ keep: false, 'fail-slot': false, turn: false, terminate: false, 'delete-service': false },
};
