import { join } from 'node:path';
import { rmSync } from 'node:fs';
import { baseImageFiles, commandFiles, layOut } from '../lab/base-image.ts';

/** What no host without Node has. */
const notThere = ['/usr/local/bin/node', '/usr/sbin/haproxy'];

/**
 * Lays out a root file system of another make: busybox for every command but curl, the C and C++ libraries,
 * and neither dpkg nor systemd nor Node.
 */
export async function busyboxRoot(directory: string, signal: AbortSignal): Promise<void> {
  // The wget of busybox does not agree with a modern server on TLS.
  const files = [...(await baseImageFiles(signal)), ...(await commandFiles('curl', signal))];
  await layOut(directory, files, signal);
  for (const path of notThere) rmSync(join(directory, path));
}
