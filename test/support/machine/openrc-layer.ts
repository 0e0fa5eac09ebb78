import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  symlinkSync,
} from 'node:fs';
import { rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { messageOf } from '../../../shared/errors.ts';
import { run } from '../lab/command.ts';

/** OpenRC, and what it cannot do without. */
const packages = ['insserv', 'libeinfo1', 'librc1', 'openrc'];
/** Links in a root file system of Debian, which are to stay links. */
const merged = ['bin', 'lib', 'sbin'];

/**
 * OpenRC as files, to be laid over a root file system of Debian that has another service manager: installed as
 * packages they would get into each other's way. It is made once, and kept beside the root.
 */
export async function openrcLayer(root: string, signal: AbortSignal): Promise<string> {
  const cache = dirname(root);
  const layer = join(cache, `${basename(root)}-${packages.join('-')}`);
  if (existsSync(layer)) return layer;
  const work = mkdtempSync(join(cache, 'work-'));
  try {
    const unfinished = join(work, 'layer');
    for (const name of merged) {
      mkdirSync(join(unfinished, 'usr', name), { recursive: true });
      symlinkSync(`usr/${name}`, join(unfinished, name));
    }
    await download(root, work, signal);
    for (const name of readdirSync(work).filter((each) => each.endsWith('.deb'))) {
      const unpack = `dpkg-deb --fsys-tarfile '${name}' | tar -x --keep-directory-symlink -C layer`;
      await run('sh', ['-c', unpack], { cwd: work }, signal);
    }
    await run('chmod', ['755', unfinished], {}, signal);
    try {
      renameSync(unfinished, layer);
    } catch (error) {
      // Another process was faster.
      if (!existsSync(layer)) throw error;
    }
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return layer;
}

/**
 * Asked with what the root has of apt's settings, so that it is of the root's release whatever this machine is;
 * what apt knows on this machine stays as it is.
 */
async function download(root: string, directory: string, signal: AbortSignal): Promise<void> {
  for (const part of ['etc', 'var/lib/apt/lists/partial', 'var/cache/apt/archives/partial']) {
    mkdirSync(join(directory, part), { recursive: true });
  }
  cpSync(join(root, 'etc/apt'), join(directory, 'etc/apt'), { recursive: true });
  const options = {
    Dir: directory,
    'APT::Sandbox::User': 'root',
    'APT::Update::Error-Mode': 'any',
    'Acquire::Languages': 'none',
    'Acquire::Retries': '1',
    'Acquire::http::Timeout': '20',
  };
  const given = Object.entries(options).flatMap(([key, value]) => ['-o', `${key}=${value}`]);
  const env = { LC_ALL: 'C.UTF-8' };
  try {
    await run('apt-get', [...given, 'update'], { cwd: directory, env }, signal);
    await run('apt-get', [...given, 'download', ...packages], { cwd: directory, env }, signal);
  } catch (error) {
    signal.throwIfAborted();
    throw new Error(`no OpenRC can be fetched from the Debian archive: ${messageOf(error)}`, {
      cause: error,
    });
  }
}
