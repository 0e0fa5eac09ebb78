/**
 * Makes all that is installed: for each program its bundle, an executable with Node inside, a Debian package
 * and the context of an image, and the script that installs the node agent.
 *
 *   node deploy/package.js [--out DIRECTORY] [--as-version VERSION] [agent] [proxy] [coordinator]
 *
 * Without names all are made; without a directory they go to dist/packages, where a coordinator that runs from
 * dist/ finds what it serves. With a version
 * what is made of the agents says that it is that one, to try an upgrade with. Needs `npm run build` for the coordinator, and strip and dpkg-deb.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { bundle, programs } from './bundle.js';
import { architecture, fill, makeDebianPackage } from './package/debian.js';
import { compress, makeExecutable, strippedNode } from './package/executable.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const deploy = join(root, 'deploy');
const epoch = sourceTime();
const listName = 'SHA256SUMS';
const launcherName = 'fairlead-agent-launcher';

const common = {
  Architecture: architecture,
  Maintainer: 'Fairlead contributors <contributors@fairlead.invalid>',
  Section: 'admin',
  Priority: 'optional',
};
/** What Node's own builds need. */
const nodeLibraries = 'libc6 (>= 2.28), libgcc-s1, libstdc++6 (>= 5.2)';
const serviceTools = 'init-system-helpers (>= 1.54), passwd';

const sqliteFiles =
  /^(|package\.json|LICENSE|lib(\/.*)?|build|build\/Release|build\/Release\/better_sqlite3\.node)$/;

/** In this order: the coordinator's package has those before it inside, to serve them. */
const makers = { agent: makeAgent, proxy: makeProxy, coordinator: makeCoordinator };

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    out: { type: 'string', default: join(root, 'dist/packages') },
    'as-version': { type: 'string' },
  },
});
const version =
  values['as-version'] ?? JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).version;
const unknown = positionals.filter((name) => !Object.hasOwn(makers, name));
if (unknown.length > 0) {
  throw new Error(`there is no ${unknown.join(', ')}; there are ${Object.keys(makers).join(', ')}`);
}
requireTools();
await main(
  Object.keys(makers).filter((name) => positionals.length === 0 || positionals.includes(name)),
  resolve(values.out),
);

async function main(names, out) {
  clear(out);
  const workDirectory = mkdtempSync(join(tmpdir(), 'fairlead-package-'));
  try {
    const node = join(workDirectory, 'node');
    strippedNode(node);
    await bundle(
      names.filter((name) => Object.hasOwn(programs, name)),
      out,
      values['as-version'],
    );
    for (const name of names) {
      makers[name]({ node, workDirectory, out });
      console.log(`made ${name}`);
    }
  } finally {
    rmSync(workDirectory, { recursive: true, force: true });
  }
  list(out);
}

/** What was made before goes; anything else in the way is somebody's. */
function clear(out) {
  mkdirSync(out, { recursive: true });
  if (readdirSync(out).length > 0 && !existsSync(join(out, listName))) {
    throw new Error(`${out} has other things in it: name an empty directory by --out`);
  }
  rmSync(out, { recursive: true });
  mkdirSync(out);
  // From the start, so that what is left of a failure is known for what it is.
  writeFileSync(join(out, listName), '');
  writeFileSync(join(out, 'VERSION'), `${version}\n`);
}

function makeAgent(place) {
  const { out } = place;
  const executable = executableOf('agent', place);
  compress(executable, join(out, `fairlead-agent-linux-${architecture}.gz`));
  const launcher = fill(join(deploy, launcherName), { VERSION: version });
  writeFileSync(join(out, launcherName), launcher, { mode: 0o755 });
  const home = '/usr/lib/fairlead';
  const files = {
    'usr/lib/fairlead/fairlead-agent': { path: executable, mode: 0o755 },
    [`usr/lib/fairlead/${launcherName}`]: { text: launcher, mode: 0o755 },
    ...serviceFiles('agent', `${home}/${launcherName} ${home}/fairlead-agent`),
  };
  makeDebianPackage({
    ...packageOf('agent', { out, user: '', needed: 'FAIRLEAD_COORDINATOR' }),
    control: {
      ...common,
      Depends: `${nodeLibraries}, ${serviceTools}`,
      Suggests: 'docker.io | docker-ce',
      Description: describe(
        'Fairlead node agent',
        'Runs containers on this host through its Docker Engine, as a Fairlead coordinator says.',
      ),
    },
    files,
  });
  const unit = files['lib/systemd/system/fairlead-agent.service'];
  writeFileSync(join(out, 'fairlead-agent.service'), unit.text);
  writeInstallScript(out);
  image('agent', out, {
    Dockerfile: join(deploy, 'agent.Dockerfile'),
    'fairlead-agent.cjs': join(out, programs.agent.file),
  });
}

function makeProxy(place) {
  const { out } = place;
  const executable = executableOf('proxy', place);
  makeDebianPackage({
    ...packageOf('proxy', { out, user: 'fairlead-proxy', needed: 'FAIRLEAD_COORDINATOR' }),
    control: {
      ...common,
      Depends: `${nodeLibraries}, ${serviceTools}, haproxy (>= 2.6)`,
      Description: describe(
        'Fairlead proxy agent',
        'Drives an HAProxy on this host, as a Fairlead coordinator says.',
      ),
    },
    files: {
      'usr/lib/fairlead/fairlead-proxy': { path: executable, mode: 0o755 },
      ...serviceFiles('proxy', '/usr/lib/fairlead/fairlead-proxy'),
    },
  });
  image('proxy', out, {
    Dockerfile: join(deploy, 'proxy.Dockerfile'),
    'proxy-entrypoint.sh': join(deploy, 'proxy-entrypoint.sh'),
    'fairlead-proxy.cjs': join(out, programs.proxy.file),
  });
}

/** SQLite's native part and the many files of the libraries keep the coordinator from being one file. */
function makeCoordinator({ node, workDirectory, out }) {
  const tree = join(workDirectory, 'coordinator');
  copyProgram(tree);
  const home = '/usr/lib/fairlead/coordinator';
  const command = `${home}/node ${home}/dist/client/cli/main.js`;
  const served = join(tree, 'dist/packages');
  mkdirSync(served);
  for (const name of servedFiles(out)) cpSync(join(out, name), join(served, name));
  list(served);
  image('coordinator', out, {
    Dockerfile: join(deploy, 'coordinator.Dockerfile'),
    fairlead: tree,
  });
  makeDebianPackage({
    ...packageOf('coordinator', { out, user: 'fairlead-coordinator', needed: '' }),
    control: {
      ...common,
      Depends: `${nodeLibraries}, ${serviceTools}`,
      Description: describe(
        'Fairlead coordinator and command line',
        'Decides what runs where on the hosts of a Fairlead fleet, and serves its API.',
      ),
    },
    files: {
      [home.slice(1)]: tree,
      [`${home.slice(1)}/node`]: { path: node, mode: 0o755 },
      'usr/bin/fairlead': { text: `#!/bin/sh\nexec ${command} "$@"\n`, mode: 0o755 },
      ...serviceFiles('coordinator', `${command} coordinator run`),
    },
  });
}

function executableOf(name, { node, workDirectory, out }) {
  const path = join(workDirectory, `fairlead-${name}`);
  makeExecutable({ node, bundle: join(out, programs[name].file), path, workDirectory });
  return path;
}

function packageOf(name, { out, user, needed }) {
  const full = `fairlead-${name}`;
  return {
    name: full,
    version,
    epoch,
    maintainer: { PACKAGE: full, NAME: name, USER: user, NEEDED: needed },
    path: join(out, `${full}_${version}_${architecture}.deb`),
  };
}

/** The unit, and the settings that may hold a token. */
function serviceFiles(name, command) {
  const unit = `fairlead-${name}.service`;
  return {
    [`lib/systemd/system/${unit}`]: {
      text: fill(join(deploy, 'systemd', unit), { COMMAND: command }),
    },
    [`etc/fairlead/${name}.env`]: { path: join(deploy, `debian/${name}.env`), mode: 0o600 },
    [`usr/share/doc/fairlead-${name}/copyright`]: { path: join(root, 'LICENSE') },
  };
}

function describe(title, text) {
  return `${title}\n ${text}`;
}

/** What was built, and the packages that it needs when it runs, without what only compiling them needs. */
function copyProgram(tree) {
  if (!existsSync(join(root, 'dist/client/cli/main.js'))) {
    throw new Error("there is no build: run 'npm run build' first");
  }
  for (const program of ['agent', 'client', 'coordinator', 'shared']) {
    cpSync(join(root, 'dist', program), join(tree, 'dist', program), {
      recursive: true,
      filter: (path) => !path.endsWith('.map') && !path.endsWith('.d.ts'),
    });
  }
  for (const name of ['package.json', 'LICENSE']) cpSync(join(root, name), join(tree, name));
  for (const path of productionPackages()) {
    cpSync(join(root, path), join(tree, path), {
      recursive: true,
      dereference: true,
      filter: (file) => isNeeded(path, relative(join(root, path), file)),
    });
  }
}

/** As the lockfile says; one that is optional may be missing. */
function productionPackages() {
  const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'));
  return Object.entries(lock.packages)
    .filter(([path, { dev, devOptional }]) => path !== '' && !dev && !devOptional)
    .map(([path]) => path)
    .filter((path) => existsSync(join(root, path)))
    .filter((path) => !/^node_modules\/(@types\/|cpu-features$)/.test(path));
}

/** Packages inside packages are listed themselves. Of SQLite only what was compiled is needed. */
function isNeeded(owner, path) {
  if (path.startsWith('node_modules')) return false;
  if (owner === 'node_modules/better-sqlite3') return sqliteFiles.test(path);
  return !/\.(map|md|markdown|d\.[cm]?ts)$/i.test(path);
}

function writeInstallScript(out) {
  const hashes = installable(out).map((name) => `    ${name}) echo ${hashOf(join(out, name))} ;;`);
  const text = fill(join(deploy, 'install.sh'), { VERSION: version, HASHES: hashes.join('\n') });
  writeFileSync(join(out, 'install.sh'), text, { mode: 0o755 });
}

function installable(out) {
  return servedFiles(out).filter((name) => name.startsWith('fairlead-agent'));
}

function servedFiles(out) {
  return readdirSync(out, { withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name !== listName)
    .map(({ name }) => name)
    .sort();
}

/** What is served, and nothing else is; as `sha256sum --check` reads it. */
function list(directory) {
  const lines = servedFiles(directory).map((name) => `${hashOf(join(directory, name))}  ${name}\n`);
  writeFileSync(join(directory, listName), lines.join(''));
}

/** A directory that `docker build` takes as it is. */
function image(name, out, files) {
  const context = join(out, 'images', name);
  mkdirSync(context, { recursive: true });
  for (const [target, source] of Object.entries(files)) {
    cpSync(source, join(context, target), { recursive: true });
    if (target.endsWith('.sh')) chmodSync(join(context, target), 0o755);
  }
}

function hashOf(path) {
  return createHash('sha256').update(readFileSync(path)).digest('hex');
}

/** The time that files get: that of the commit, so that a package can be made again. */
function sourceTime() {
  const given = process.env.SOURCE_DATE_EPOCH;
  if (given !== undefined) return Number(given);
  try {
    return Number(
      execFileSync('git', ['log', '-1', '--format=%ct'], {
        cwd: root,
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'ignore'],
      }),
    );
  } catch {
    return 0;
  }
}

function requireTools() {
  const tools = { strip: 'binutils', 'dpkg-deb': 'dpkg' };
  const missing = Object.entries(tools).filter(([tool]) => {
    const directories = (process.env.PATH ?? '').split(':');
    return !directories.some((directory) => existsSync(join(directory, tool)));
  });
  if (missing.length > 0) {
    const words = missing.map(([tool, source]) => `${tool} (package ${source})`);
    throw new Error(`cannot make packages without ${words.join(' and ')}`);
  }
}
