import { existsSync } from 'node:fs';
import { systemClock } from '../../../../shared/clock.ts';
import { DomainError, messageOf } from '../../../../shared/errors.ts';
import { docker } from '../../lab/docker.ts';
import { killAll } from '../../lab/members.ts';
import { labVariable } from '../../lab/plan.ts';
import { bootId, findProcesses, hasVariable } from '../../lab/proc.ts';
import { listProcesses } from '../../lab/record.ts';
import { listNetworks, siteLabel, type SiteNetwork } from './networks.ts';
import { directoryOf, nodeIdsOf, removeDirectory, type SiteRecord } from './record.ts';

const nodeLabel = 'fairlead.node';
/** Containers are killed, not asked, but an engine under load takes its time for each. */
const deadlineMs = 60_000;
const pollMs = 200;

/**
 * Removes every trace of a site, from any process and from any state: half made, half removed, or being
 * removed by somebody else at the same time. In the engine it touches what the site made, and nothing else.
 */
export async function tearDown(record: SiteRecord, signal: AbortSignal): Promise<void> {
  const recorded = () => (record.bootId === bootId() ? listProcesses(directoryOf(record)) : []);
  await killAll(
    () => [...recorded(), ...findProcesses((pid) => hasVariable(pid, labVariable, record.id))],
    signal,
  );
  await clearEngine(record.engineSocket, { id: record.id, nodeIds: nodeIdsOf(record) }, signal);
  await removeDirectory(record);
}

/**
 * Removes from an engine what is left of this user's sites whose record is lost, as after a boot that
 * emptied the temporary directory; their ids. Their containers are known by the addresses they publish on.
 */
export async function removeLost(engine: string, signal: AbortSignal): Promise<string[]> {
  const user = String(process.getuid?.() ?? 0);
  const networks = (await listNetworks(engine, signal)).filter(
    (network) => network.user === user && !existsSync(network.directory),
  );
  const ids = [...new Set(networks.map(({ siteId }) => siteId))];
  for (const id of ids) {
    const own = networks.filter(({ siteId }) => siteId === id).map(({ address }) => address);
    const nodeIds: string[] = [];
    for (const { id: container, node } of await listContainers(engine, signal)) {
      const addresses = node === '' ? [] : await publishedOn(engine, container, signal);
      if (addresses.some((address) => own.includes(address))) nodeIds.push(node);
    }
    await clearEngine(engine, { id, nodeIds }, signal);
  }
  return ids;
}

interface SiteTraces {
  readonly id: string;
  readonly nodeIds: readonly string[];
}

interface SiteContainer {
  readonly id: string;
  readonly node: string;
  readonly site: string;
}

/** Looks again after everything was removed: an order to the engine outlives who gave it. */
async function clearEngine(
  engine: string,
  { id, nodeIds }: SiteTraces,
  signal: AbortSignal,
): Promise<void> {
  const deadline = systemClock.monotonic() + deadlineMs;
  let failure: unknown;
  const tryTo = async (args: readonly string[]) => {
    try {
      await docker(engine, args, {}, signal);
    } catch (error) {
      signal.throwIfAborted();
      // Being removed already, by the engine or by somebody else: the next look tells.
      failure = error;
    }
  };
  for (let clean = false; ;) {
    const containers = (await listContainers(engine, signal)).filter(
      ({ node, site }) => nodeIds.includes(node) || site === id,
    );
    const networks = (await listNetworks(engine, signal)).filter(({ siteId }) => siteId === id);
    if (containers.length === 0 && networks.length === 0) {
      if (clean) return;
      clean = true;
    } else {
      clean = false;
      if (systemClock.monotonic() > deadline) throw leftovers(engine, networks, failure);
      if (containers.length > 0) {
        await tryTo(['rm', '--force', '--volumes', ...containers.map((each) => each.id)]);
      }
      if (networks.length > 0) await tryTo(['network', 'rm', ...networks.map((each) => each.id)]);
    }
    await systemClock.sleep(pollMs, signal);
    signal.throwIfAborted();
  }
}

async function listContainers(engine: string, signal: AbortSignal): Promise<SiteContainer[]> {
  const label = (name: string) => `{{json (.Label "${name}")}}`;
  const format = `{"id":{{json .ID}},"node":${label(nodeLabel)},"site":${label(siteLabel)}}`;
  const list = ['container', 'ls', '--all', '--no-trunc', '--format', format];
  const lines = (await docker(engine, list, {}, signal)).split('\n').filter((line) => line !== '');
  return lines.map((line) => JSON.parse(line) as SiteContainer);
}

/** The addresses of this machine that a container publishes ports on; none if it is gone by now. */
async function publishedOn(engine: string, id: string, signal: AbortSignal): Promise<string[]> {
  const inspect = ['container', 'inspect', '--format', '{{json .HostConfig.PortBindings}}', id];
  try {
    const bindings = JSON.parse(await docker(engine, inspect, {}, signal)) as Readonly<
      Record<string, readonly { readonly HostIp: string }[] | null>
    > | null;
    return Object.values(bindings ?? {}).flatMap((each) =>
      (each ?? []).map(({ HostIp }) => HostIp),
    );
  } catch (error) {
    signal.throwIfAborted();
    if (/no such container/i.test(messageOf(error))) return [];
    throw error;
  }
}

function leftovers(
  engine: string,
  networks: readonly SiteNetwork[],
  failure: unknown,
): DomainError {
  const names = networks.map(({ id }) => id).join(', ');
  return new DomainError(
    'unavailable',
    `the engine at ${engine} does not let go of everything (networks left: ${names}): ${messageOf(failure)}`,
    { reason: 'DEMO_ENGINE_STUCK', cause: failure },
  );
}
