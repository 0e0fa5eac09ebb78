import {
  cpSync,
  existsSync,
  mkdirSync,
  realpathSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { CommandError, run, searchPath } from './command.ts';
import { docker } from './docker.ts';

/** One file of this machine and where it is put in the image. */
interface ImageFile {
  readonly source: string;
  readonly target: string;
}

/** Loaded by name at run time by older C libraries, so that ldd does not list them. */
const resolverLibraries = ['libnss_files.so.2', 'libnss_dns.so.2', 'libresolv.so.2'];

/** The files of this machine that the image is made of. */
export async function baseImageFiles(signal: AbortSignal): Promise<ImageFile[]> {
  const node = realpathSync(process.execPath);
  const haproxy = findCommand('haproxy');
  const busybox = findCommand('busybox');
  const libraries = [
    ...(await librariesOf(node, signal)),
    ...(await librariesOf(haproxy, signal)),
    ...(await librariesOf(busybox, signal)),
  ];
  const certificates = '/etc/ssl/certs/ca-certificates.crt';
  const files = [
    { source: busybox, target: '/bin/busybox' },
    { source: node, target: '/usr/local/bin/node' },
    { source: haproxy, target: '/usr/sbin/haproxy' },
    ...[...new Set(libraries)].map((path) => ({ source: path, target: path })),
  ];
  return existsSync(certificates)
    ? [...files, { source: certificates, target: certificates }]
    : files;
}

/** A command of this machine and the libraries that it loads. */
export async function commandFiles(command: string, signal: AbortSignal): Promise<ImageFile[]> {
  const source = findCommand(command);
  const libraries = await librariesOf(source, signal);
  return [
    { source, target: `/usr/bin/${command}` },
    ...libraries.map((path) => ({ source: path, target: path })),
  ];
}

/** Differs when any of the files was changed: a cheap stand-in for their contents. */
export function fingerprint(files: readonly ImageFile[]): string {
  return files
    .map(({ source, target }) => {
      const { size, mtimeMs } = statSync(source);
      return `${target} ${size} ${mtimeMs}`;
    })
    .join('\n');
}

/** Lays the files out as a root file system and imports it into an engine. */
export async function importBaseImage(
  engine: string,
  {
    tag,
    files,
    workDirectory,
  }: { tag: string; files: readonly ImageFile[]; workDirectory: string },
  signal: AbortSignal,
): Promise<void> {
  const root = join(workDirectory, 'root');
  const archive = join(workDirectory, 'base.tar');
  await layOut(root, files, signal);
  const ownership = ['--owner=0', '--group=0', '--numeric-owner'];
  await run('tar', ['-C', root, ...ownership, '-cf', archive, '.'], {}, signal);
  const settings = [
    'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    'CMD ["node"]',
  ];
  const changes = settings.flatMap((setting) => ['--change', setting]);
  await docker(engine, ['import', ...changes, archive, tag], {}, signal);
}

/** Makes a root file system of these files, with busybox's commands and a few accounts. */
export async function layOut(
  root: string,
  files: readonly ImageFile[],
  signal: AbortSignal,
): Promise<void> {
  for (const { source, target } of files) {
    mkdirSync(dirname(join(root, target)), { recursive: true });
    cpSync(source, join(root, target), { dereference: true });
  }
  await addBusybox(root, signal);
  addAccounts(root);
}

async function addBusybox(root: string, signal: AbortSignal): Promise<void> {
  const applets = (await run(findCommand('busybox'), ['--list'], {}, signal)).split('\n');
  for (const applet of applets.filter((name) => name !== '' && name !== 'busybox')) {
    symlinkSync('busybox', join(root, 'bin', applet));
  }
  mkdirSync(join(root, 'usr/bin'), { recursive: true });
  symlinkSync('/bin/busybox', join(root, 'usr/bin/env'));
}

function addAccounts(root: string): void {
  const write = (path: string, lines: readonly string[]) => {
    writeFileSync(join(root, path), `${lines.join('\n')}\n`);
  };
  for (const path of ['etc', 'root', 'run', 'proc', 'sys', 'dev', 'var/lib/haproxy', 'home/node']) {
    mkdirSync(join(root, path), { recursive: true });
  }
  mkdirSync(join(root, 'tmp'), { mode: 0o1777 });
  write('etc/passwd', [
    'root:x:0:0:root:/root:/bin/sh',
    'haproxy:x:99:99::/var/lib/haproxy:/bin/false',
    'node:x:1000:1000::/home/node:/bin/sh',
    'nobody:x:65534:65534:nobody:/nonexistent:/bin/false',
  ]);
  write('etc/group', ['root:x:0:', 'haproxy:x:99:', 'node:x:1000:', 'nogroup:x:65534:']);
  write('etc/nsswitch.conf', ['passwd: files', 'group: files', 'hosts: files dns']);
}

/** Where a command lies on this machine; the requirements of a lab say that it does. */
function findCommand(command: string): string {
  const path = searchPath()
    .map((directory) => join(directory, command))
    .find((candidate) => existsSync(candidate));
  if (path === undefined) throw new Error(`there is no command "${command}" on this machine`);
  return realpathSync(path);
}

/** None for a program that is linked statically, which ldd calls a failure. */
async function librariesOf(program: string, signal: AbortSignal): Promise<string[]> {
  const output = await run('ldd', [program], {}, signal).catch((error: unknown) => {
    if (error instanceof CommandError && error.exitCode === 1) return '';
    throw error;
  });
  const listed = [...output.matchAll(/(?:=> |^\s*)(\/\S+) \(0x/gm)].map((match) => match[1]!);
  const libc = listed.find((path) => path.includes('/libc.so'));
  const resolvers = resolverLibraries
    .map((name) => join(dirname(libc ?? '/'), name))
    .filter((path) => existsSync(path));
  return [...listed, ...resolvers];
}
