/** How a target in drain gets on. */
export interface Drain {
  /** On the clock that never jumps: from then on what is in flight is cut. */
  readonly deadlineAt: number;
  /** Readings in a row that had nothing in flight. */
  readonly zeroReadings: number;
  /** When it was last cut; undefined: never. */
  readonly cutAt: number | undefined;
}

/** What to do after a reading. `drained` ends it. */
export type DrainAction = 'wait' | 'cut' | 'drained';

/** One reading could be taken between two requests on their way. */
const zeroReadingsToDrain = 2;
const cutEveryMs = 200;
/** After this time of cutting the rest is left to the container's end. */
const giveUpMs = 2_000;

/** Takes a reading into account. */
export function advanceDrain(
  drain: Drain,
  inFlight: number,
  now: number,
): { readonly drain: Drain; readonly action: DrainAction } {
  if (inFlight === 0) {
    const next = { ...drain, zeroReadings: drain.zeroReadings + 1 };
    return { drain: next, action: next.zeroReadings < zeroReadingsToDrain ? 'wait' : 'drained' };
  }
  const next = { ...drain, zeroReadings: 0 };
  if (now < drain.deadlineAt) return { drain: next, action: 'wait' };
  if (now >= drain.deadlineAt + giveUpMs) return { drain: next, action: 'drained' };
  if (drain.cutAt !== undefined && now < drain.cutAt + cutEveryMs) {
    return { drain: next, action: 'wait' };
  }
  return { drain: { ...next, cutAt: now }, action: 'cut' };
}
