/** Opens what decides in a coordinator on the database that is named, and says how long that took and what it holds. */
import { systemClock } from '../../../shared/clock.ts';
import { openCore } from './big-fleet.ts';

const [path = ''] = process.argv.slice(2);
const collect = globalThis.gc;
if (collect === undefined) throw new Error('needs --expose-gc');

const startedAt = systemClock.monotonic();
using core = openCore(path);
// The first decision counts all that there is.
const [first] = core.store.services.values();
if (first !== undefined) core.placement.betterPlaces(first, 1);
const ms = systemClock.monotonic() - startedAt;
collect();
collect();
const { heapUsed, external, rss } = process.memoryUsage();
const containers = core.store.containers.size;
process.stdout.write(
  `${JSON.stringify({ ms, containers, heldBytes: heapUsed + external, rss })}\n`,
);
