/** Makes Debian packages that are the same, byte for byte, whoever builds them of the same files. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  cpSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const scripts = fileURLToPath(new URL('../debian/', import.meta.url));

/** Debian's word for the architecture that this machine builds for. */
export const architecture = { x64: 'amd64', arm64: 'arm64' }[process.arch] ?? process.arch;

/**
 * Writes a package. `files` are copied: where from (a path, or `{ text }`), by where to, with a mode if it is
 * not 0644 or 0755 as the source's is. What lies below /etc belongs to the administrator from then on.
 */
export function makeDebianPackage({ name, version, control, files, maintainer, path, epoch }) {
  const root = mkdtempSync(join(tmpdir(), 'fairlead-deb-'));
  try {
    for (const [target, source] of Object.entries(files)) place(join(root, target), source);
    normalize(root);
    const content = filesBelow(root);
    const sizeKiB = content.reduce((sum, { size }) => sum + Math.ceil(size / 1024), 0);
    const settings = content.filter(({ name }) => name.startsWith('etc/'));
    const meta = join(root, 'DEBIAN');
    mkdirSync(meta, { mode: 0o755 });
    const fields = { Package: name, Version: version, 'Installed-Size': sizeKiB, ...control };
    const lines = Object.entries(fields).map(([field, value]) => `${field}: ${value}\n`);
    writeFileSync(join(meta, 'control'), lines.join(''));
    writeFileSync(join(meta, 'conffiles'), settings.map(({ name }) => `/${name}\n`).join(''));
    writeFileSync(join(meta, 'md5sums'), md5sums(root, content));
    for (const script of ['postinst', 'prerm', 'postrm']) {
      writeFileSync(join(meta, script), fill(join(scripts, script), maintainer), { mode: 0o755 });
    }
    setTimes(root, epoch);
    execFileSync('dpkg-deb', ['--root-owner-group', '-Zgzip', '-z6', '--build', root, path], {
      stdio: ['ignore', 'ignore', 'inherit'],
      env: { ...process.env, SOURCE_DATE_EPOCH: String(epoch) },
    });
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

/** The text of a file with every `@WORD@` replaced; a word without a value is a mistake. */
export function fill(path, values) {
  return readFileSync(path, 'utf8').replaceAll(/@([A-Z]+)@/g, (_, word) => {
    const value = values[word];
    if (value === undefined) throw new Error(`${path} asks for ${word}, which has no value`);
    return value;
  });
}

function place(target, source) {
  mkdirSync(dirname(target), { recursive: true });
  if (typeof source === 'string') {
    cpSync(source, target, { recursive: true, dereference: true });
    return;
  }
  if (source.text !== undefined) writeFileSync(target, source.text);
  else cpSync(source.path, target);
  chmodSync(target, source.mode ?? 0o644);
}

/** Modes do not depend on the umask of who built; files that are for nobody else stay so. */
function normalize(directory) {
  chmodSync(directory, 0o755);
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) normalize(path);
    else if (entry.isFile()) chmodSync(path, modeFor(lstatSync(path).mode));
  }
}

function modeFor(mode) {
  if ((mode & 0o777) === 0o600) return 0o600;
  return (mode & 0o100) === 0 ? 0o644 : 0o755;
}

function filesBelow(root) {
  return readdirSync(root, { recursive: true, encoding: 'utf8' })
    .map((name) => ({ name, stat: lstatSync(join(root, name)) }))
    .filter(({ stat }) => stat.isFile())
    .map(({ name, stat }) => ({ name, size: stat.size }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

function md5sums(root, content) {
  return content
    .map(({ name }) => {
      const sum = createHash('md5')
        .update(readFileSync(join(root, name)))
        .digest('hex');
      return `${sum}  ${name}\n`;
    })
    .join('');
}

function setTimes(root, epoch) {
  for (const name of readdirSync(root, { recursive: true, encoding: 'utf8' })) {
    const path = join(root, name);
    if (!lstatSync(path).isSymbolicLink()) utimesSync(path, epoch, epoch);
  }
  utimesSync(root, epoch, epoch);
}
