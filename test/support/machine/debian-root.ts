import { existsSync, mkdtempSync, renameSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from '../lab/command.ts';
import { ensurePrivateDirectory } from '../lab/private-directory.ts';

const suite = 'bookworm';
/** What a small Debian server has; and HAProxy, which one of our packages depends on. */
const packages = ['haproxy', 'systemd', 'wget'];

/**
 * A root file system of Debian with nothing of ours on it: not to be changed, machines lay their own changes
 * over it. It is made once, and kept below the system's temporary directory.
 */
export async function debianRoot(signal: AbortSignal): Promise<string> {
  const cache = join(tmpdir(), 'fairlead-roots');
  const root = join(cache, `${suite}-${packages.join('-')}`);
  if (existsSync(root)) return root;
  ensurePrivateDirectory(cache);
  const unfinished = mkdtempSync(join(cache, 'work-'));
  try {
    const include = `--include=${packages.join(',')}`;
    await run('debootstrap', ['--variant=minbase', include, suite, unfinished], {}, signal);
    await rm(join(unfinished, 'var/cache/apt/archives'), { recursive: true, force: true });
    await run('chmod', ['755', unfinished], {}, signal);
    try {
      renameSync(unfinished, root);
    } catch (error) {
      // Another process was faster.
      if (!existsSync(root)) throw error;
    }
  } finally {
    await rm(unfinished, { recursive: true, force: true });
  }
  return root;
}
