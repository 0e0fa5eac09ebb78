import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, stat, type FileHandle } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { DomainError, messageOf } from '../../shared/errors.ts';

// A backup is one file: a line with the format and the SHA-256 of the next line; that line, which lists the
// files in it with size and SHA-256; then the files, one after the other.

const format = 'fairlead-backup 1';
const failed = 'no fairlead-backup: ';
const maxHeadBytes = 64 * 1024;

/** A file in a backup. */
export interface ArchivedFile {
  readonly name: string;
  readonly bytes: number;
  /** Hexadecimal. */
  readonly sha256: string;
}

/** What a backup says of itself. */
export interface Manifest {
  /** ISO 8601. */
  readonly createdAt: string;
  /** Version of the coordinator that wrote it. */
  readonly version: string;
  readonly files: readonly ArchivedFile[];
}

/** A file on its way into a backup, and what it is called there. */
export interface Source {
  readonly name: string;
  readonly path: string;
}

/** The bytes of a backup of these files, which must not change meanwhile. */
export async function* archiveOf(
  sources: readonly Source[],
  about: Pick<Manifest, 'createdAt' | 'version'>,
): AsyncGenerator<Buffer> {
  const files: ArchivedFile[] = [];
  for (const { name, path } of sources) {
    const hash = createHash('sha256');
    for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
    files.push({ name, bytes: (await stat(path)).size, sha256: hash.digest('hex') });
  }
  const manifest = JSON.stringify({ ...about, files } satisfies Manifest);
  yield Buffer.from(`${format} ${sha256Of(manifest)}\n${manifest}\n`);
  for (const { path } of sources) yield* createReadStream(path) as AsyncIterable<Buffer>;
}

/**
 * Reads a backup to its end and checks all of it; throws 'precondition' if anything is not as it was
 * written. With `into`, a directory, writes its files there, mode 0600 and on disk when it returns.
 */
export async function readArchive(path: string, into?: string): Promise<Manifest> {
  let archive: FileHandle;
  try {
    archive = await open(path, 'r');
  } catch (error) {
    throw damaged(path, `it cannot be read: ${messageOf(error)}`);
  }
  try {
    const { manifest, offset } = await readHead(archive, path);
    let position = offset;
    for (const file of manifest.files) {
      await copyOut(archive, { path, position, file, into });
      position += file.bytes;
    }
    const { size } = await archive.stat();
    if (size !== position) throw damaged(path, `it goes on after its end`);
    return manifest;
  } finally {
    await archive.close();
  }
}

/** What is sent in place of a backup that cannot be made. */
export function failureLine(error: unknown): string {
  return `${failed}${messageOf(error)}\n`;
}

async function readHead(archive: FileHandle, path: string) {
  const buffer = Buffer.alloc(maxHeadBytes);
  const { bytesRead } = await archive.read(buffer, 0, maxHeadBytes, 0);
  const [first = '', line, rest] = buffer.toString('latin1', 0, bytesRead).split('\n', 3);
  if (first.startsWith(failed)) {
    const why = first.slice(failed.length);
    throw new DomainError('unavailable', `the coordinator cannot make a backup: ${why}`, {
      reason: 'BACKUP_FAILED',
    });
  }
  if (!first.startsWith('fairlead-backup ')) throw damaged(path, 'it is no backup of Fairlead');
  if (!first.startsWith(`${format} `)) {
    throw damaged(path, 'it was written by another version of Fairlead; use that one');
  }
  if (line === undefined || rest === undefined || first !== `${format} ${sha256Of(line)}`) {
    throw damaged(path, 'its list of files is not whole');
  }
  const manifest = JSON.parse(line) as Manifest;
  return { manifest, offset: first.length + line.length + 2 };
}

interface Copy {
  readonly path: string;
  readonly position: number;
  readonly file: ArchivedFile;
  readonly into: string | undefined;
}

async function copyOut(archive: FileHandle, { path, position, file, into }: Copy): Promise<void> {
  // Names come from a file: they must not lead elsewhere.
  if (basename(file.name) !== file.name || /^\.*$/.test(file.name)) {
    throw damaged(path, `a file in it has the name "${file.name}"`);
  }
  const hash = createHash('sha256');
  const target = into === undefined ? undefined : await open(join(into, file.name), 'wx', 0o600);
  try {
    const bytes = await copy(archive, { position, length: file.bytes, hash, target });
    if (bytes !== file.bytes) throw damaged(path, 'it ends too early');
    if (hash.digest('hex') !== file.sha256) throw damaged(path, `${file.name} in it was changed`);
    await target?.sync();
  } finally {
    await target?.close();
  }
}

interface Range {
  readonly position: number;
  readonly length: number;
  readonly hash: Hash;
  readonly target: FileHandle | undefined;
}

async function copy(archive: FileHandle, { position, length, hash, target }: Range) {
  const buffer = Buffer.alloc(256 * 1024);
  let done = 0;
  while (done < length) {
    const wanted = Math.min(buffer.length, length - done);
    const { bytesRead } = await archive.read(buffer, 0, wanted, position + done);
    if (bytesRead === 0) break;
    const chunk = buffer.subarray(0, bytesRead);
    hash.update(chunk);
    await target?.appendFile(chunk);
    done += bytesRead;
  }
  return done;
}

function sha256Of(text: string): string {
  return createHash('sha256').update(text, 'latin1').digest('hex');
}

function damaged(path: string, why: string): DomainError {
  return new DomainError('precondition', `${path} cannot be used: ${why}; take another backup`, {
    reason: 'BACKUP_DAMAGED',
  });
}
