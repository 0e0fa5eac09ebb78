import { startLabSite } from '../support/fleet/lab-site.ts';
import type { Site } from '../support/fleet/site.ts';
import { installMissing } from '../support/lab/install.ts';
import { Lab } from '../support/lab/lab.ts';
import { requirements } from '../support/lab/requirements.ts';

const label = 'demo';

export interface SiteOptions {
  readonly hosts: number;
  readonly say: (line: string) => void;
}

/** Five real hosts where the machine can have them. What is missing is installed, after saying so. */
export async function startSite({ hosts, say }: SiteOptions, signal: AbortSignal): Promise<Site> {
  const { missing } = requirements();
  if (missing.length > 0) await installMissing(missing, { log: say }, signal);
  say('starting five hosts, each with a Docker Engine of its own …');
  return await startLabSite({ hosts, label }, signal);
}

/** Removes demos that were kept, and those whose owner was killed; their ids. */
export async function removeKept(signal: AbortSignal): Promise<string[]> {
  const demos = Lab.list().filter((lab) => lab.label === label && (lab.kept || lab.orphaned));
  await Promise.all(demos.map(({ id }) => Lab.remove(id, signal)));
  return demos.map(({ id }) => id);
}
