/** What a clone needs before the demo can run: a Node that is new enough, dependencies, a build. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { accessSync, constants, existsSync, readdirSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../', import.meta.url));

/** What the build is made of, and what it makes last. */
const sources = ['agent', 'client', 'coordinator', 'shared', 'deploy/bundle.js', 'package.json'];
const compilerOptions = ['tsconfig.json', 'tsconfig.build.json'];
const products = ['client/cli/main.js', 'fairlead-agent.cjs', 'fairlead-proxy.cjs'].map((name) =>
  join(root, 'dist', name),
);

/** SQLite is compiled with these where no compiled one can be downloaded. */
const compilers = [
  { command: 'python3', debianPackage: 'python3' },
  { command: 'make', debianPackage: 'make' },
  { command: 'g++', debianPackage: 'g++' },
];

/** Installs dependencies and builds, unless that was done; ends the process if it cannot be done. */
export async function makeReady() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major < 20 || (major === 20 && minor < 11)) {
    fail(`the demo needs Node 20.11 or later; this is ${process.version}`);
  }
  if (process.platform !== 'linux') {
    fail(
      `the demo needs Linux, this is ${process.platform}: its hosts are made of Linux namespaces, or\n` +
        'of addresses that containers share with this machine. A virtual machine with Linux does, as root.',
    );
  }
  if (isReady()) return;
  // Two demos that start at once must not install or build into the same directory.
  const lock = await takeLock();
  try {
    if (!hasDependencies()) installDependencies();
    if (!isBuilt()) mustDo('building', 'npm', ['run', '--silent', 'build']);
  } finally {
    lock.close();
  }
}

function isReady() {
  if (!hasDependencies()) return false;
  if (isBuilt()) return true;
  if (!products.every(existsSync) || may(constants.W_OK, products[0])) return false;
  console.error('note: this runs the build that is there: it is old, but not yours to renew');
  return true;
}

/** npm writes this file last. */
function hasDependencies() {
  return existsSync(join(root, 'node_modules/.package-lock.json'));
}

function isBuilt() {
  if (!products.every(existsSync)) return false;
  const builtAt = Math.min(...products.map((path) => statSync(path).mtimeMs));
  return [...sources, ...compilerOptions].every((name) => newest(join(root, name)) <= builtAt);
}

/** When the newest file at or below a path was changed. */
function newest(path) {
  const stat = statSync(path);
  if (!stat.isDirectory()) return stat.mtimeMs;
  return Math.max(0, ...readdirSync(path).map((name) => newest(join(path, name))));
}

function installDependencies() {
  const install = ['npm', ['ci', '--silent', '--no-audit', '--no-fund']];
  if (run('installing dependencies (a few minutes if SQLite must be compiled)', ...install)) return;
  const missing = compilers.filter(({ command }) => !isCommand(command));
  const packages = missing.map(({ debianPackage }) => debianPackage);
  if (missing.length === 0) fail('npm ci failed: what it said is above');
  for (const { command, debianPackage } of missing) {
    console.error(`missing: ${command} (package ${debianPackage}): SQLite is compiled with it`);
  }
  if (process.getuid() !== 0 || !isCommand('apt-get')) {
    fail(`install what is missing, for instance: sudo apt-get install ${packages.join(' ')}`);
  }
  const apt = ['install', '-y', '--no-install-recommends', ...packages];
  mustDo(`installing it: apt-get install ${packages.join(' ')}`, 'apt-get', apt);
  mustDo('installing dependencies once more', ...install);
}

function mustDo(what, command, args) {
  if (!run(what, command, args)) fail(`${what} failed: ${command} ${args.join(' ')}`);
}

/** What these print is no part of the demo's own output, which may be JSON. */
function run(what, command, args) {
  console.error(`${what} …`);
  const { status, signal, error } = spawnSync(command, args, {
    cwd: root,
    stdio: ['ignore', 2, 2],
  });
  if (signal !== null) process.exit(130);
  if (error !== undefined) console.error(`${command}: ${error.message}`);
  return status === 0;
}

function isCommand(command) {
  const directories = (process.env.PATH ?? '').split(':');
  return directories.some((directory) => may(constants.X_OK, join(directory, command)));
}

function may(mode, path) {
  try {
    accessSync(path, mode);
    return true;
  } catch {
    return false;
  }
}

/** In the abstract namespace: the kernel frees it with its holder, however that one ends. */
async function takeLock() {
  const name = `\0fairlead-build-${createHash('sha256').update(root).digest('hex').slice(0, 16)}`;
  for (let said = false; ; said = true) {
    const server = createServer();
    const taken = await new Promise((resolve) => {
      server.once('error', () => resolve(true));
      server.listen(name, () => resolve(false));
    });
    if (!taken) return server;
    if (!said) console.error('waiting for another process that makes this clone ready …');
    await sleep(200);
  }
}

function fail(words) {
  console.error(words);
  process.exit(1);
}
