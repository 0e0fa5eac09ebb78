import { type Action, Plan, type MutationOptions } from '../../shared/gen/fairlead/v1/action.ts';
import { backoffMs } from '../../shared/retry.ts';
import { systemClock } from '../../shared/clock.ts';
import { systemRandom } from '../../shared/random.ts';
import { Status } from 'nice-grpc-common';
import { FairleadError } from '../fairlead-error.ts';
import { CommandFailure, exitStatus } from './exit-status.ts';
import { toCommandFailure } from './failures.ts';
import type { Invocation } from './invocation.ts';
import { actionKind, planStepKind, type Kind } from './kinds.ts';
import { defaultTimeoutMs, type MutationFlags } from './mutation-flags.ts';
import type { Output } from './output.ts';

interface Answer {
  readonly action: Action | undefined;
  readonly plan: Plan | undefined;
}

/** One change that the user asked for. */
export interface Mutation<R extends Answer, T> {
  /** In words for the progress: `scaling web`. */
  readonly doing: string;
  readonly call: (options: MutationOptions) => Promise<R>;
  readonly kind: Kind<T>;
  /** The object when all is as it was asked. */
  readonly result: (answer: R) => Promise<T>;
  /** The object is gone then: people are told so instead of what it last was. */
  readonly gone?: 'removed' | 'revoked';
}

type Outcome<T> =
  | { readonly kind: 'planned'; readonly plan: Plan }
  | { readonly kind: 'begun'; readonly action: Action }
  | { readonly kind: 'done'; readonly object: T };

type Run = Pick<Invocation<MutationFlags>, 'client' | 'flags' | 'output' | 'signal'>;

/** Makes a change, waits for it unless told not to, and prints what came of it. */
export async function mutate<R extends Answer, T>(
  run: Run,
  mutation: Mutation<R, T>,
): Promise<void> {
  const outcome = await carryOut(run, mutation);
  switch (outcome.kind) {
    case 'planned':
      printPlan(run.output, outcome.plan);
      return;
    case 'begun':
      run.output.one(actionKind, outcome.action);
      return;
    case 'done':
      if (run.output.json) run.output.one(mutation.kind, outcome.object);
      else printObjects(run.output, mutation, [outcome.object]);
  }
}

/** As `mutate`, of a change of several objects at once. */
export async function mutateTogether<R extends Answer, T>(
  run: Run,
  mutation: Omit<Mutation<R, readonly T[]>, 'kind'> & { readonly kind: Kind<T> },
): Promise<void> {
  const outcome = await carryOut(run, mutation);
  if (outcome.kind === 'done') run.output.list(mutation.kind, outcome.object);
  else if (outcome.kind === 'begun') run.output.one(actionKind, outcome.action);
  else printPlan(run.output, outcome.plan);
}

/**
 * Makes the same change to each of some objects. With one name it is `mutate`; with
 * more, results are lists, and what fails does not keep the others from being done.
 */
export async function mutateEach<R extends Answer, T>(
  run: Run,
  names: readonly string[],
  mutationOf: (name: string) => Mutation<R, T>,
): Promise<void> {
  const [first, ...others] = names.map(mutationOf);
  if (first === undefined) return;
  if (others.length === 0) {
    await mutate(run, first);
    return;
  }
  if (run.flags.requestId !== undefined || run.flags.ifVersion !== undefined) {
    throw new CommandFailure(
      exitStatus.usage,
      '--request-id and --if-version are about one object; name only one',
    );
  }
  const settled = await carryOutAll(run, [first, ...others]);
  printAll(
    run.output,
    first,
    settled.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : [])),
  );
  const failures = settled.flatMap((result) =>
    result.status === 'rejected' ? [toCommandFailure(result.reason)] : [],
  );
  for (const { message, hints } of failures) run.output.failure(message, hints);
  if (failures[0] !== undefined) throw new CommandFailure(failures[0].status, '');
}

type Change<R extends Answer, T> = Pick<Mutation<R, T>, 'doing' | 'call' | 'result'>;

async function carryOut<R extends Answer, T>(
  run: Run,
  mutation: Change<R, T>,
): Promise<Outcome<T>> {
  return await finish(run, mutation, await begin(run, mutation));
}

async function begin<R extends Answer, T>(
  { flags, signal }: Run,
  mutation: Change<R, T>,
): Promise<R> {
  try {
    return await callUntilAnswered(mutation, flags, signal);
  } catch (error) {
    if (!signal.aborted) throw error;
    throw interrupted(signal, `interrupted before ${mutation.doing} was answered; it may be done`);
  }
}

async function finish<R extends Answer, T>(
  run: Run,
  { doing, result }: Change<R, T>,
  answer: R,
): Promise<Outcome<T>> {
  const { dryRun, wait } = run.flags;
  if (dryRun === true) return { kind: 'planned', plan: answer.plan ?? { steps: [] } };
  const { action } = answer;
  if (action !== undefined && wait === false) return { kind: 'begun', action };
  if (action !== undefined) await waitFor(run, doing, action);
  return { kind: 'done', object: await result(answer) };
}

/** Begins changes one after the other, because one may allow the next, and waits for all together. */
async function carryOutAll<R extends Answer, T>(
  run: Run,
  mutations: readonly Mutation<R, T>[],
): Promise<PromiseSettledResult<Outcome<T>>[]> {
  let earlier: Promise<unknown> = Promise.resolve();
  const outcomes = mutations.map(async (mutation) => {
    const begun = earlier.then(() => begin(run, mutation));
    earlier = begun.catch(() => undefined);
    return await finish(run, mutation, await begun);
  });
  return await Promise.allSettled(outcomes);
}

const retry = { minMs: 200, maxMs: 2_000 };
const maxCalls = 5;

/**
 * Sends the request again if the connection is lost before the answer. The request id makes that
 * harmless: what was carried out already is not carried out twice.
 */
async function callUntilAnswered<R extends Answer, T>(
  { call }: Change<R, T>,
  { requestId = systemRandom.id(), dryRun = false, ifVersion = 0 }: MutationFlags,
  signal: AbortSignal,
): Promise<R> {
  for (let calls = 1; ; calls++) {
    try {
      return await call({ requestId, dryRun, version: ifVersion });
    } catch (error) {
      const isLost = error instanceof FairleadError && error.code === Status.UNAVAILABLE;
      if (!isLost || calls === maxCalls || signal.aborted) throw error;
      await systemClock.sleep(
        backoffMs(calls - 1, retry, () => systemRandom.fraction()),
        signal,
      );
    }
  }
}

async function waitFor(
  { client, flags, output, signal }: Run,
  doing: string,
  { id }: Action,
): Promise<void> {
  const shows = flags.progress ?? output.isWatched;
  const timeoutMs = flags.timeout ?? defaultTimeoutMs;
  const hints = [`watch it: fairlead action watch ${id}`];
  if (shows) output.note(`${doing} (action ${id})`, 'dim');
  try {
    await client.waitForAction(
      id,
      {
        ...(timeoutMs === 0 ? {} : { timeoutMs }),
        onProgress: (entry) => {
          if (shows) printProgress(output, entry);
        },
      },
      signal,
    );
  } catch (error) {
    if (signal.aborted) {
      throw interrupted(signal, `interrupted; ${doing} goes on as action ${id}`, hints);
    }
    if (error instanceof FairleadError && error.reason === 'WAIT_TIMED_OUT') {
      throw new CommandFailure(
        exitStatus.timedOut,
        `${doing} has not ended within ${timeoutMs / 1_000}s; it goes on as action ${id}`,
        hints,
      );
    }
    throw error;
  }
}

/** A line of an action's timeline. */
export function printProgress(
  output: Output,
  { time, container, message, lines }: Action['timeline'][number],
): void {
  const clock = time?.toTimeString().slice(0, 8) ?? '';
  output.note([clock, container, message].filter((part) => part !== '').join('  '));
  for (const line of lines) output.note(`  | ${line}`, 'dim');
}

function interrupted(signal: AbortSignal, message: string, hints: readonly string[] = []) {
  const status =
    signal.reason instanceof CommandFailure ? signal.reason.status : exitStatus.interrupted;
  return new CommandFailure(status, message, hints);
}

/** The steps that a dry run answered with. */
export function printPlan(output: Output, plan: Plan): void {
  if (output.json) output.document(Plan.toJSON(plan));
  else if (plan.steps.length === 0) output.line('nothing would change');
  else output.table(planStepKind, plan.steps);
}

type Shown<T> = Pick<Mutation<Answer, T>, 'kind' | 'gone'>;

/** Objects as they now are, or that they are no more. */
function printObjects<T>(output: Output, { kind, gone }: Shown<T>, objects: readonly T[]): void {
  if (output.json || gone === undefined) output.list(kind, objects);
  else for (const object of objects) output.line(`${gone}: ${kind.nameOf(object)}`);
}

function printAll<T>(output: Output, mutation: Shown<T>, outcomes: readonly Outcome<T>[]): void {
  const plans = outcomes.flatMap((outcome) => (outcome.kind === 'planned' ? [outcome.plan] : []));
  const actions = outcomes.flatMap((outcome) => (outcome.kind === 'begun' ? [outcome.action] : []));
  const objects = outcomes.flatMap((outcome) => (outcome.kind === 'done' ? [outcome.object] : []));
  if (plans.length > 0 && output.json) output.document(plans.map((plan) => Plan.toJSON(plan)));
  else if (plans.length > 0) printPlan(output, { steps: plans.flatMap(({ steps }) => steps) });
  else if (actions.length > 0) output.list(actionKind, actions);
  else printObjects(output, mutation, objects);
}
