import type { ContainerId } from '../../shared/ids.ts';
import type { EngineContainer } from './docker/engine.ts';
import type { ContainerStatus, Phase, ReadinessState, WantedPhase } from './model.ts';

/** All that is known of one container: what is wanted, what the engine has, what was tried. */
export interface View {
  readonly containerId: ContainerId;
  readonly name: string;
  /** `unassigned`: the coordinator did not name it, so it is watched and left alone. */
  readonly wanted: WantedPhase | 'unassigned';
  readonly hasDefinition: boolean;
  readonly engine: EngineContainer | undefined;
  /** Whether this agent ever saw an engine container of it. */
  readonly seen: boolean;
  readonly image: 'unknown' | 'missing' | 'present';
  /** Why it could not be started; final for this container. Empty if nothing failed. */
  readonly failure: string;
  /** Why it could not be stopped or removed yet; will be tried again. */
  readonly trouble: string;
  /**
   * Whether the engine may yet restart a process that ended: it says that it will, or it is shutting down
   * itself, which ends containers first and shows only when the engine is gone.
   */
  readonly mayReturn: boolean;
  /** Its process was seen to have ended, although the engine says that it lives. How it ended is not known. */
  readonly hasJustEnded: boolean;
  readonly readiness: ReadinessState;
  /** Why it is not ready; only while it is not. */
  readonly readinessMessage: string;
  /** Why its process is to be restarted although it lives; empty if it is not. */
  readonly livenessMessage: string;
  /** Its load balancers have drained it, or have had the time to. */
  readonly mayRestart: boolean;
  /** The status before. */
  readonly last: ContainerStatus | undefined;
}

/** What to do next for a container; `wait` is to look again when a time has passed. */
export type Action = Work | 'wait' | 'none';

/** Actions that the engine is asked for. */
export type Work = 'find-image' | 'pull' | 'create' | 'start' | 'restart' | 'stop' | 'remove';

/** The next action, and the status to report meanwhile; without one the last still holds. */
export interface Step {
  readonly action: Action;
  readonly status: ContainerStatus | undefined;
}

/**
 * Decides what is next for one container, and what it is now.
 *
 * Pure. Acting and asking again leads from any state to the wanted one, and the phase never goes back,
 * but for a running container that the engine restarts.
 */
export function advance(view: View): Step {
  const { action, status } = decide(view);
  return { action, status: status && withoutGoingBack(status, view.last) };
}

function decide(view: View): Step {
  switch (view.wanted) {
    case 'running':
      return advanceToRunning(view);
    case 'stopped':
      return advanceToStopped(view);
    case 'removed':
      return advanceToRemoved(view);
    case 'unassigned':
      return { action: 'none', status: statusOfUnassigned(view) };
  }
}

function advanceToRunning(view: View): Step {
  const { engine, failure } = view;
  if (failure !== '') {
    return {
      action: engine === undefined ? 'none' : 'remove',
      status: statusOf(view, 'failed', failure),
    };
  }
  return engine === undefined ? advanceFromNothing(view) : advanceFromCreated(view, engine);
}

function advanceFromCreated(view: View, engine: EngineContainer): Step {
  switch (engine.state) {
    case 'created':
      return { action: 'start', status: statusOf(view, 'starting', '') };
    case 'running':
    case 'paused':
      return advanceFromLive(view, engine);
    case 'restarting':
    case 'ended':
      return advanceFromEnd(view, engine);
    case 'removing':
      return {
        action: 'none',
        status: statusOf(view, 'failed', 'is being removed by somebody else'),
      };
  }
}

/** A process that lives no more leaves the load balancers first, and is restarted then. */
function advanceFromLive(view: View, engine: EngineContainer): Step {
  const { livenessMessage, mayRestart, trouble, hasJustEnded } = view;
  const status = statusOfLive(view, engine);
  const isLeftAlone = engine.state === 'paused' || hasJustEnded;
  if (isLeftAlone || livenessMessage === '') return { action: 'none', status };
  const message = `its liveness check fails: ${livenessMessage}; it is restarted once it is drained`;
  return {
    action: mayRestart ? 'restart' : 'wait',
    status: {
      ...status,
      readiness: 'not-ready',
      message: trouble === '' ? message : trouble,
      awaitsDrain: !mayRestart,
    },
  };
}

function advanceFromEnd(view: View, engine: EngineContainer): Step {
  if (!view.mayReturn) return { action: 'none', status: statusOfEnded(view, engine) };
  return { action: 'wait', status: statusOfRestarting(view, engine) };
}

function advanceFromNothing(view: View): Step {
  const { seen, hasDefinition, image, last } = view;
  if (seen) {
    // How it ended says more than that it was tidied away then.
    const isOver = last?.phase === 'stopped' || last?.phase === 'failed';
    const message = "was removed behind Fairlead's back";
    return { action: 'none', status: isOver ? last : statusOf(view, 'failed', message) };
  }
  if (!hasDefinition) {
    const message = 'the coordinator wants it to run but did not say what to run';
    return { action: 'none', status: statusOf(view, 'failed', message) };
  }
  switch (image) {
    case 'unknown':
      return { action: 'find-image', status: undefined };
    case 'missing':
      return { action: 'pull', status: statusOf(view, 'pulling', '') };
    case 'present':
      return { action: 'create', status: statusOf(view, 'starting', '') };
  }
}

function advanceToStopped(view: View): Step {
  const { engine, trouble } = view;
  if (engine === undefined) return { action: 'none', status: statusOf(view, 'removed', '') };
  switch (engine.state) {
    case 'running':
    case 'paused':
    case 'restarting':
      return { action: 'stop', status: statusOf(view, 'stopping', trouble) };
    case 'created':
      return { action: 'none', status: statusOf(view, 'stopped', 'was never started') };
    case 'ended':
      return { action: 'none', status: statusOf(view, 'stopped', '') };
    case 'removing':
      return { action: 'none', status: statusOf(view, 'stopped', 'is being removed') };
  }
}

function advanceToRemoved(view: View): Step {
  const step = advanceToStopped(view);
  const { engine, trouble } = view;
  if (engine?.state !== 'created' && engine?.state !== 'ended') return step;
  return { action: 'remove', status: statusOf(view, 'stopped', trouble) };
}

function statusOfUnassigned(view: View): ContainerStatus | undefined {
  const { engine, last } = view;
  if (engine === undefined) return last && statusOf(view, 'removed', '');
  switch (engine.state) {
    case 'created':
      return statusOf(view, 'starting', '');
    case 'running':
    case 'paused':
      return statusOfLive(view, engine);
    case 'restarting':
      return statusOfRestarting(view, engine);
    case 'ended':
    case 'removing':
      // Whether that was wanted will be known with the assignment: `failed` can still follow.
      return statusOf(view, 'stopped', '');
  }
}

function statusOfLive(view: View, engine: EngineContainer): ContainerStatus {
  const { ports } = engine;
  if (view.hasJustEnded) return statusOfJustEnded(view, engine);
  if (engine.state === 'paused') return { ...statusOf(view, 'running', 'is paused'), ports };
  const { readiness, readinessMessage } = view;
  return { ...statusOf(view, 'running', readinessMessage), ports, readiness };
}

/** Whether it failed can only be told when it is known how it ended, unless the engine restarts it anyway. */
function statusOfJustEnded(view: View, { restartPolicy }: EngineContainer): ContainerStatus {
  return statusOf(view, restartPolicy === 'always' ? 'starting' : 'running', 'its process ended');
}

function statusOfRestarting(view: View, engine: EngineContainer): ContainerStatus {
  const hope =
    engine.state === 'restarting' ? 'the engine restarts it' : 'the engine may restart it';
  return statusOf(view, 'starting', `${endOf(engine)}; ${hope}`);
}

/** Its process ended by itself, and the engine does not restart it. */
function statusOfEnded(view: View, engine: EngineContainer): ContainerStatus {
  if (engine.error !== '') return statusOf(view, 'failed', engine.error);
  if (engine.state === 'restarting') {
    return statusOf(view, 'failed', `${endOf(engine)}; the engine was to restart it but did not`);
  }
  const phase = engine.exitCode === 0 && !engine.outOfMemory ? 'stopped' : 'failed';
  return statusOf(view, phase, endOf(engine));
}

function endOf({ exitCode, outOfMemory }: EngineContainer): string {
  const reason = outOfMemory ? ', killed for lack of memory' : '';
  return `its process ended with exit status ${exitCode}${reason}`;
}

function statusOf(view: View, phase: Phase, message: string): ContainerStatus {
  const { containerId, name, engine, last } = view;
  return {
    containerId,
    name,
    phase,
    readiness: 'not-ready',
    ports: [],
    message,
    awaitsDrain: false,
    ...(engine === undefined ? processBefore(last) : processOf(engine)),
  };
}

type ProcessFacts = Pick<
  ContainerStatus,
  'engineId' | 'restarts' | 'exitCode' | 'startedAt' | 'endedAt'
>;

function processOf(engine: EngineContainer): ProcessFacts {
  const { engineId, restarts, startedAt, exitCode, endedAt } = engine;
  const hasEnded = engine.state === 'ended' || engine.state === 'restarting';
  return {
    engineId,
    restarts,
    startedAt,
    exitCode: hasEnded ? exitCode : undefined,
    endedAt: hasEnded ? endedAt : undefined,
  };
}

/** What was known while the engine still had it. */
function processBefore(last: ContainerStatus | undefined): ProcessFacts {
  return {
    engineId: last?.engineId ?? '',
    restarts: last?.restarts ?? 0,
    exitCode: last?.exitCode,
    startedAt: last?.startedAt,
    endedAt: last?.endedAt,
  };
}

const order: Readonly<Record<Phase, number>> = {
  pulling: 1,
  starting: 2,
  running: 3,
  stopping: 4,
  stopped: 5,
  failed: 6,
  removed: 7,
};

/** Keeps a later phase, with its message, when the engine seems to have gone back. */
function withoutGoingBack(
  status: ContainerStatus,
  last: ContainerStatus | undefined,
): ContainerStatus {
  if (last === undefined || order[status.phase] >= order[last.phase]) return status;
  const isRestart = status.phase === 'starting' && last.phase === 'running';
  if (isRestart) return status;
  return {
    ...status,
    phase: last.phase,
    message: last.message,
    readiness: 'not-ready',
    awaitsDrain: false,
    ports: [],
    exitCode: status.exitCode ?? last.exitCode,
    endedAt: status.endedAt ?? last.endedAt,
  };
}

/** How the engine tells of the end of a process. */
export interface ProcessEnd {
  readonly exitCode: number;
  readonly atMs: number;
}

/**
 * What is known of an engine container at the moment its process ended, before the engine was asked:
 * whether the policy restarts it is presumed. Returns the container itself if the news is older than it.
 */
export function afterEnd(engine: EngineContainer, { exitCode, atMs }: ProcessEnd): EngineContainer {
  const isLive = engine.state === 'running' || engine.state === 'paused';
  if (!isLive || atMs < (engine.startedAt?.getTime() ?? 0)) return engine;
  const { restartPolicy, restartLimit } = engine;
  const isLeft = restartLimit === 0 || engine.restarts < restartLimit;
  const restarts =
    restartPolicy === 'always' || (restartPolicy === 'on-failure' && exitCode !== 0 && isLeft);
  return {
    ...engine,
    state: restarts ? 'restarting' : 'ended',
    exitCode,
    endedAt: new Date(Math.floor(atMs)),
    ports: [],
  };
}
