import { pathOf } from './backend-list.ts';
import type { ServerRef } from './plan-servers.ts';
import type { RuntimeClient } from './runtime-client.ts';
import { parseCounters, parseInfo } from './server-state.ts';

/**
 * Opens the frontends of a worker that somebody else paused, lifts what was limited to less than the configuration
 * does, and returns the names of frontends that were shut for good: it takes another worker to open them.
 */
export async function openFrontends(client: RuntimeClient): Promise<string[]> {
  const { frontends } = parseCounters(await client.query('show stat -1 1 -1'));
  const { connections, configured, rates } = parseInfo(await client.query('show info')).limits;
  const namesOf = (status: string) =>
    frontends.filter((each) => each.status === status).map(({ name }) => name);
  const limited = frontends.filter(({ limit }) => limit !== configured);
  await client.sendAll([
    // First: HAProxy 2.6 leaves clients waiting at a frontend that is opened while it has another limit.
    ...(connections === configured ? [] : [`set maxconn global ${configured}`]),
    ...limited.map(({ name }) => `set maxconn frontend ${name} ${configured}`),
    ...rates.map((rate) => `set rate-limit ${rate} global 0`),
    ...namesOf('PAUSED').map((name) => `enable frontend ${name}`),
  ]);
  return namesOf('STOP');
}

/** Lifts the limits that somebody else gave to servers: ours have none. */
export async function liftLimits(
  client: RuntimeClient,
  servers: readonly ServerRef[],
): Promise<void> {
  await client.sendAll(servers.map((server) => `set maxconn server ${pathOf(server)} 0`));
}
