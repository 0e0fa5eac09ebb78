import { messageOf } from '../../shared/errors.ts';
import { removeSiteImages } from '../support/fleet/single-engine/images.ts';
import { listNetworks } from '../support/fleet/single-engine/networks.ts';
import { isOrphaned, listSites, removeLeftovers } from '../support/fleet/single-engine/record.ts';
import { engineSocket, unreachableBecause } from '../support/fleet/single-engine/requirements.ts';
import { removeLost, tearDown } from '../support/fleet/single-engine/teardown.ts';
import { Lab, type LabSummary } from '../support/lab/lab.ts';
import { labsDirectory } from '../support/lab/plan.ts';
import { withRegistryLock } from '../support/lab/registry.ts';
import { removeLeftovers as removeLabLeftovers } from '../support/lab/teardown.ts';
import { demoLabel } from './sites.ts';

/** What became of the demos of this machine. */
export interface Removal {
  /** Ids of those that are gone now. */
  readonly removed: readonly string[];
  /** Ids of those that a living process runs: they are left alone. */
  readonly running: readonly string[];
  /** How many images are gone that demos had left in the engine for the next ones. */
  readonly images: number;
  /** What could not be removed, and why. */
  readonly failures: readonly string[];
}

/** Removes demos that were kept, and those whose process was killed, wherever they ran. */
export async function removeDemos(signal: AbortSignal): Promise<Removal> {
  const removed: string[] = [];
  const running: string[] = [];
  const failures: string[] = [];
  const remove = async (id: string, removal: Promise<void>) => {
    try {
      await removal;
      removed.push(id);
    } catch (error) {
      signal.throwIfAborted();
      failures.push(`${id}: ${messageOf(error)}`);
    }
  };
  for (const lab of Lab.list()) {
    if (isDoomed(lab)) await remove(lab.id, removeLab(lab.id, signal));
    else if (lab.label === demoLabel) running.push(lab.id);
  }
  for (const site of listSites()) {
    if (site.kept || isOrphaned(site)) await remove(site.id, tearDown(site, signal));
    else running.push(site.id);
  }
  let images = 0;
  try {
    await removeHalfMade(signal);
    const engine = engineSocket(process.env);
    if ((await unreachableBecause(engine, signal)) === undefined) {
      removed.push(...(await removeLost(engine, signal)));
      // Whatever has a network there needs its images, whoever's it is.
      const inUse = (await listNetworks(engine, signal)).length > 0;
      images = inUse ? 0 : await removeSiteImages(engine, signal);
    }
  } catch (error) {
    signal.throwIfAborted();
    failures.push(messageOf(error));
  }
  return { removed, running, images, failures };
}

/** The lab that a demo builds its images in is nobody's once its owner was killed, whoever that was. */
function isDoomed({ label, kept, orphaned }: LabSummary): boolean {
  return label === demoLabel ? kept || orphaned : label === 'images' && orphaned;
}

async function removeLab(id: string, signal: AbortSignal): Promise<void> {
  try {
    await Lab.remove(id, signal);
  } catch (error) {
    // Somebody else removes it, too.
    if (Lab.list().some((lab) => lab.id === id)) throw error;
  }
}

/** Removes directories of demos that were killed before they had a record, or after it was gone. */
async function removeHalfMade(signal: AbortSignal): Promise<void> {
  // Labs are root's, and so is their directory.
  if (process.getuid?.() === 0) {
    await withRegistryLock(() => removeLabLeftovers(labsDirectory()), signal);
  }
  await removeLeftovers();
}
