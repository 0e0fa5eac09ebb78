import type { Progress } from './progress.ts';
import { fitnessOf } from './rollout.ts';
import { serves } from './standing.ts';
import type { ContainerView, ServiceView } from './views.ts';

export type ServiceState =
  | 'not-running'
  | 'starting'
  | 'running'
  | 'partly-running'
  | 'scaling'
  | 'redeploying'
  | 'paused'
  | 'stopping'
  | 'stopped'
  | 'failed'
  | 'terminating';

/** What the newest unfinished action on a service is after. */
export type Activity = 'starting' | 'scaling' | 'redeploying';

/** The one word for where a service stands. */
export function serviceState(
  service: ServiceView & { readonly everStarted: boolean },
  containers: readonly ContainerView[],
  progress: Progress,
  activity: Activity | null,
): ServiceState {
  if (service.terminating) return 'terminating';
  if (!service.started) {
    if (progress.kind === 'working') return 'stopping';
    return service.everStarted ? 'stopped' : 'not-running';
  }
  const running = containers.filter(
    (c) => c.wanted === 'running' && c.phase === 'running' && !c.lost,
  );
  switch (progress.kind) {
    case 'done':
      return 'running';
    case 'resting':
      return 'paused';
    case 'stuck':
      return whenStuck(service, running);
    case 'working':
      return activity ?? whenWorking(service, running);
  }
}

function whenStuck(service: ServiceView, running: readonly ContainerView[]): ServiceState {
  if (running.length === 0) return 'failed';
  if (!isComplete(service, running)) return 'partly-running';
  return service.rollout?.state === 'rolled-back' ? 'running' : 'paused';
}

function whenWorking(service: ServiceView, running: readonly ContainerView[]): ServiceState {
  const fits = fitnessOf(service);
  return running.some((c) => !fits(c) || c.outdated) ? 'redeploying' : 'starting';
}

/** As many serve as are wanted: what is stuck is the rollout alone. */
function isComplete(service: ServiceView, running: readonly ContainerView[]): boolean {
  if (service.rollout === null) return false;
  const serving = running.filter(serves).length;
  return serving >= (service.everyNode?.length ?? service.replicas);
}
