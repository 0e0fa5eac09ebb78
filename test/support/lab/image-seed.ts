import { mkdirSync } from 'node:fs';
import { run } from './command.ts';

/** Images as an engine stores them, ready to be given to engines that have not started yet. */
export interface ImageSeed {
  /** Tag of the image that stands in for `node:20-bookworm-slim`. */
  readonly base: string;
  readonly directory: string;
}

/**
 * Gives a new engine the images of a seed, in milliseconds and without a byte copied.
 *
 * The files are shared by hard links, which is safe because no engine writes to a file of a layer
 * and each replaces its lists of images as whole files. They are in the page cache once, too.
 */
export async function plantImages(
  seed: ImageSeed,
  dataRoot: string,
  signal: AbortSignal,
): Promise<void> {
  mkdirSync(dataRoot, { recursive: true, mode: 0o700 });
  await run('cp', ['--archive', '--link', `${seed.directory}/.`, dataRoot], {}, signal);
}
