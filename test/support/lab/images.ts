import { existsSync, mkdirSync, mkdtempSync, renameSync, statSync } from 'node:fs';
import { readdir, rm, utimes } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../../shared/clock.ts';
import { run } from './command.ts';
import { docker } from './docker.ts';
import {
  buildOn,
  describeImages,
  hasImages,
  type ImageSet,
  type ImagesOptions,
} from './image-set.ts';
import { Lab } from './lab.ts';
import type { ImageSeed } from './image-seed.ts';
import { ensurePrivateDirectory } from './private-directory.ts';

/** How many sets stay cached; one that was used within the hour may be in use and stays too. */
const seedsKept = 4;
const idleMs = 3_600_000;

/**
 * Builds images that the engines of a lab shall have from their first moment: pass the result to
 * `Lab.start`. What was built once is kept below the system's temporary directory.
 */
export async function prepareImages(
  options: ImagesOptions,
  signal: AbortSignal,
): Promise<ImageSeed> {
  const set = await describeImages(options, signal);
  const version = await run('dockerd', ['--version'], {}, signal);
  const directory = join(
    cacheDirectory(),
    `${set.key}-${version.replaceAll(/[^\w.]+/g, '-').slice(0, 40)}`,
  );
  if (!existsSync(directory)) await makeSeed(set, directory, signal);
  const now = new Date(systemClock.now());
  await utimes(directory, now, now);
  await removeIdleSeeds();
  return { base: set.base, directory };
}

/** Builds images on the first of several running engines and copies them to the others. */
export async function buildImages(
  engines: readonly [string, ...string[]],
  options: ImagesOptions,
  signal: AbortSignal,
): Promise<{ readonly base: string }> {
  const set = await describeImages(options, signal);
  const [builder, ...others] = engines;
  await withWorkDirectory(async (workDirectory) => {
    await buildOn(builder, set, workDirectory, signal);
    const have = await Promise.all(others.map((engine) => hasImages(engine, set, signal)));
    const lacking = others.filter((_, index) => have[index] === false);
    if (lacking.length === 0) return;
    const archive = join(workDirectory, 'images.tar');
    const tags = [set.base, ...set.builds.map(({ tag }) => tag)];
    await docker(builder, ['save', '--output', archive, ...tags], {}, signal);
    const load = ['load', '--quiet', '--input', archive];
    await Promise.all(lacking.map((engine) => docker(engine, load, {}, signal)));
  });
  return { base: set.base };
}

/**
 * An engine of its own builds the images; when it has ended, what it stored becomes the seed. All
 * start from a seed of the base image alone, which is large, changes seldom, and is so stored once.
 */
async function makeSeed(set: ImageSet, directory: string, signal: AbortSignal): Promise<void> {
  const base = set.builds.length === 0 ? undefined : await prepareImages({}, signal);
  await withWorkDirectory(async (workDirectory) => {
    const options = { hosts: 1, label: 'images', ...(base === undefined ? {} : { images: base }) };
    await using lab = await Lab.start(options, signal);
    const host = lab.hosts[0]!;
    await buildOn(host.dockerSocket, set, workDirectory, signal);
    await host.stopEngine(signal);
    const unfinished = join(workDirectory, 'seed');
    mkdirSync(unfinished, { mode: 0o700 });
    for (const part of ['image', 'overlay2']) {
      renameSync(join(host.dataRoot, part), join(unfinished, part));
    }
    try {
      renameSync(unfinished, directory);
    } catch (error) {
      // Another process was faster; its seed was made of the same things.
      if (!existsSync(directory)) throw error;
    }
  });
}

function cacheDirectory(): string {
  return join(tmpdir(), 'fairlead-images');
}

async function withWorkDirectory(action: (directory: string) => Promise<void>): Promise<void> {
  ensurePrivateDirectory(cacheDirectory());
  const workDirectory = mkdtempSync(join(cacheDirectory(), 'work-'));
  try {
    await action(workDirectory);
  } finally {
    await rm(workDirectory, { recursive: true, force: true });
  }
}

async function removeIdleSeeds(): Promise<void> {
  const entries = (await readdir(cacheDirectory())).flatMap((name) => {
    const path = join(cacheDirectory(), name);
    const usedAt = statSync(path, { throwIfNoEntry: false })?.mtimeMs;
    return usedAt === undefined ? [] : [{ path, usedAt }];
  });
  const now = systemClock.now();
  const doomed = entries
    .sort((a, b) => b.usedAt - a.usedAt)
    .slice(seedsKept)
    .filter(({ usedAt }) => now - usedAt > idleMs);
  for (const { path } of doomed) await rm(path, { recursive: true, force: true });
}
