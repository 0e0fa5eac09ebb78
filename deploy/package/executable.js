/**
 * Makes one executable of a bundled program: Node itself with the program inside it, for hosts that have no
 * Node. It runs on this machine's architecture, on any Linux with glibc 2.28 or later.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

/** Node looks for what was injected only if this mark in it has been switched on. */
const fuse = 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2';

const resource = 'NODE_SEA_BLOB';
const postject = fileURLToPath(new URL('../../node_modules/.bin/postject', import.meta.url));

/** A copy of the Node that runs this, without its symbols; after an injection strip would break it. */
export function strippedNode(path) {
  quietly('strip', ['-o', path, process.execPath]);
}

/** Writes the executable of a bundle; the same bundle and Node give the same bytes. */
export function makeExecutable({ node, bundle, path, workDirectory }) {
  const blob = join(workDirectory, 'blob');
  const settings = join(workDirectory, 'blob.json');
  writeFileSync(
    settings,
    JSON.stringify({
      // The path becomes part of the executable: it must not tell where this was made.
      main: basename(bundle),
      output: blob,
      disableExperimentalSEAWarning: true,
      useSnapshot: false,
      // It would start 20 ms sooner and keep 5 MB more in memory.
      useCodeCache: false,
    }),
  );
  quietly(process.execPath, ['--experimental-sea-config', settings], dirname(bundle));
  writeFileSync(path, readFileSync(node), { mode: 0o755 });
  quietly(postject, [path, resource, blob, '--sentinel-fuse', fuse]);
  rmSync(blob);
  rmSync(settings);
}

/** Writes a file's compressed form; the same file gives the same bytes. */
export function compress(path, target) {
  writeFileSync(target, gzipSync(readFileSync(path), { level: 6 }));
}

/** What a tool has to say matters only when it fails. */
function quietly(command, args, cwd) {
  execFileSync(command, args, { cwd, stdio: ['ignore', 'pipe', 'pipe'] });
}
