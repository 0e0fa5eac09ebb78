import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { docker } from '../../lab/docker.ts';
import { buildOn, describeImages } from '../../lab/image-set.ts';
import { helloImage, proxyImage } from '../lab-site.ts';
import { programs } from '../programs.ts';
import { takeLock } from './lock.ts';
import { directoryOf, type SiteRecord } from './record.ts';

/** What the builder labels each image with, and what it calls the one that they stand on. */
const imageLabel = 'fairlead.lab.images';
const baseRepository = 'fairlead-lab/base';

/**
 * Builds what the engine has not got yet, from this machine's files; the tag of the base image. One site
 * at a time: the second one finds what the first one built, and none leaves images that nothing names.
 */
export async function buildSiteImages(record: SiteRecord, signal: AbortSignal): Promise<string> {
  const options = { hello: helloImage, proxy: { tag: proxyImage, bundlePath: programs.proxy } };
  const set = await describeImages(options, signal);
  const workDirectory = join(directoryOf(record), 'images');
  mkdirSync(workDirectory, { mode: 0o700 });
  await using _lock = await takeLock('fairlead-demo-images', signal);
  await buildOn(record.engineSocket, set, workDirectory, signal);
  return set.base;
}

/** Removes the images that sites left for the next ones; how many. One that a container uses stays. */
export async function removeSiteImages(engine: string, signal: AbortSignal): Promise<number> {
  const list = async (args: readonly string[]) =>
    (await docker(engine, ['image', 'ls', '--no-trunc', ...args], {}, signal))
      .split('\n')
      .filter((line) => line !== '');
  const built = await list(['--quiet', '--filter', `label=${imageLabel}`]);
  const bases = await list(['--format', '{{.Repository}}:{{.Tag}}', baseRepository]);
  let removed = 0;
  for (const image of new Set([...built, ...bases])) {
    try {
      await docker(engine, ['image', 'rm', image], {}, signal);
      removed++;
    } catch (error) {
      signal.throwIfAborted();
      if (!/conflict|in use|no such image/i.test(String(error))) throw error;
    }
  }
  return removed;
}
