import { createServer } from 'node:net';
import { systemClock } from '../../../shared/clock.ts';
import { DomainError } from '../../../shared/errors.ts';
import { systemRandom } from '../../../shared/random.ts';
import { run } from './command.ts';
import { labsDirectory } from './plan.ts';
import { ensurePrivateDirectory } from './private-directory.ts';
import { createRecord, listRecords, type LabRecord } from './record.ts';
import { removeLeftovers } from './teardown.ts';

/** In the abstract namespace: the kernel frees it with its holder, however that one ends. */
const lockName = '\0fairlead-labs';

/** Does something while no other process of this machine does anything under the same lock. */
export async function withRegistryLock<T>(
  action: () => Promise<T>,
  signal: AbortSignal,
): Promise<T> {
  const server = createServer();
  try {
    while (!(await tryListen(server))) {
      await systemClock.sleep(10 + 20 * systemRandom.fraction(), signal);
      signal.throwIfAborted();
    }
    return await action();
  } finally {
    server.close();
  }
}

/** Takes a free subnet and an unused id by writing the lab's record. Call it under the lock. */
export async function claimLab(
  wanted: Omit<LabRecord, 'id' | 'subnet'>,
  signal: AbortSignal,
): Promise<LabRecord> {
  ensurePrivateDirectory(labsDirectory());
  // Records are made under the lock, which we hold: an unfinished one is left of a crash.
  await removeLeftovers(labsDirectory());
  const routes = await readRoutes(signal);
  const taken = new Set(listRecords().map((record) => record.subnet));
  const free = Array.from({ length: 256 }, (_, subnet) => subnet).filter(
    (subnet) => !taken.has(subnet) && !routes.some((route) => overlaps(route, subnet)),
  );
  const subnet = free[Math.floor(systemRandom.fraction() * free.length)];
  if (subnet === undefined) {
    throw new DomainError(
      'exhausted',
      'every subnet of 198.18.0.0/16 is in use on this machine; remove labs or routes in it',
      { reason: 'LAB_NO_FREE_SUBNET' },
    );
  }
  const record = { ...wanted, id: systemRandom.id().slice(0, 6), subnet };
  createRecord(record);
  return record;
}

interface Range {
  readonly first: number;
  readonly last: number;
}

async function readRoutes(signal: AbortSignal): Promise<Range[]> {
  const output = await run('ip', ['-4', '-j', 'route', 'show', 'table', 'all'], {}, signal);
  const routes = JSON.parse(output) as { readonly dst?: string }[];
  return routes
    .map(({ dst }) => dst ?? 'default')
    .filter((destination) => /^\d/.test(destination))
    .map(parseRange);
}

function parseRange(destination: string): Range {
  const [address = '', prefix = '32'] = destination.split('/');
  const first = address.split('.').reduce((sum, byte) => sum * 256 + Number(byte), 0);
  return { first, last: first + 2 ** (32 - Number(prefix)) - 1 };
}

function overlaps(route: Range, subnet: number): boolean {
  const { first, last } = parseRange(`198.18.${subnet}.0/24`);
  return route.first <= last && route.last >= first;
}

async function tryListen(server: ReturnType<typeof createServer>): Promise<boolean> {
  return await new Promise((resolve, reject) => {
    const onError = (error: NodeJS.ErrnoException) => {
      server.off('listening', onListening);
      if (error.code === 'EADDRINUSE') resolve(false);
      else reject(error);
    };
    const onListening = () => {
      server.off('error', onError);
      resolve(true);
    };
    server.once('error', onError).once('listening', onListening).listen(lockName);
  });
}
