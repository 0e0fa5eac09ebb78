/**
 * `npm run demo`: makes a fresh clone ready (dependencies, build), then runs the demo itself. Plain
 * JavaScript, because before that there is nothing to run TypeScript with.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../', import.meta.url));
const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 11)) {
  console.error(`the demo needs Node 20.11 or later; this is ${process.version}`);
  process.exit(2);
}

/** What these print is no part of the demo's own output, which may be JSON. */
function prepare(what, command, args) {
  console.error(`${what} …`);
  const { status } = spawnSync(command, args, { cwd: root, stdio: ['ignore', 2, 2] });
  if (status !== 0) process.exit(status ?? 1);
}

if (!existsSync(`${root}node_modules/.package-lock.json`)) {
  prepare('installing dependencies (compiles SQLite: a few minutes)', 'npm', ['ci', '--silent']);
}
prepare('building', 'npm', ['run', '--silent', 'build']);

const { status } = spawnSync(
  process.execPath,
  ['--import', 'tsx', 'test/demo/main.ts', ...process.argv.slice(2)],
  { cwd: root, stdio: 'inherit' },
);
process.exit(status ?? 1);
