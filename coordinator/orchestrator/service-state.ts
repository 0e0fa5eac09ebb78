import type { Progress } from './progress.ts';
import type { ContainerView, ServiceView } from './views.ts';

export type ServiceState =
  | 'not-running'
  | 'starting'
  | 'running'
  | 'partly-running'
  | 'scaling'
  | 'redeploying'
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
    case 'stuck':
      return running.length > 0 ? 'partly-running' : 'failed';
    case 'working': {
      if (activity !== null) return activity;
      const old = running.some((c) => c.revision !== service.revision || c.outdated);
      return old ? 'redeploying' : 'starting';
    }
  }
}
