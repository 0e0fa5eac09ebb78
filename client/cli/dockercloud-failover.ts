import type { Route } from '../../shared/gen/fairlead/v1/route.ts';
import { ServiceSpec, type Service } from '../../shared/gen/fairlead/v1/service.ts';
import type { FairleadClient } from '../fairlead-client.ts';

/** A service that is to stand in for the one with the same routes. */
export interface Failover {
  readonly name: string;
  readonly routes: readonly Route[];
  /** True: nothing is changed. */
  readonly dryRun: boolean;
}

/**
 * Makes a service the backup of the one that has a route for the same, and says so; or why not. `isBackup`: the
 * other one keeps the routes for both.
 */
export async function takeOverFailover(
  { name, routes, dryRun }: Failover,
  client: FairleadClient,
  signal: AbortSignal,
): Promise<{ readonly isBackup: boolean; readonly words: string }> {
  const { services } = await client.control.listServices({}, { signal });
  const [main, ...others] = services.filter(
    (each) => each.name !== name && each.spec?.routes.some((route) => matches(route, routes)),
  );
  if (main === undefined || others.length > 0) {
    const found = main === undefined ? 'no service has' : 'more than one service has';
    const advice = `run service set --backup ${name} on the one that it stands in for`;
    const words = `FAILOVER: not taken over: ${found} a route for the same VIRTUAL_HOST; ${advice}`;
    return { isBackup: false, words };
  }
  const before = main.spec?.balancing?.backups ?? [];
  if (!dryRun && !before.includes(name)) await addBackup(main, [...before, name], client, signal);
  return {
    isBackup: true,
    words: `FAILOVER: taken over as --backup ${name} of ${main.name}, which has the routes for both`,
  };
}

async function addBackup(
  { id, version }: Service,
  backups: string[],
  client: FairleadClient,
  signal: AbortSignal,
): Promise<void> {
  const spec = ServiceSpec.fromPartial({ balancing: { backups } });
  const updateMask = ['balancing.backups'];
  await client.control.updateService(
    { service: id, spec, updateMask, options: { version } },
    { signal },
  );
}

function matches(route: Route, others: readonly Route[]): boolean {
  return others.some(
    (other) => overlap(route.hosts, other.hosts) && overlap(route.paths, other.paths),
  );
}

function overlap(some: readonly string[], others: readonly string[]): boolean {
  if (some.length === 0 || others.length === 0) return some.length === others.length;
  return some.some((each) => others.includes(each));
}
