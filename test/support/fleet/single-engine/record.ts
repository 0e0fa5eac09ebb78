import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmdirSync,
  writeFileSync,
} from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { systemRandom } from '../../../../shared/random.ts';
import { ensurePrivateDirectory } from '../../lab/private-directory.ts';
import { bootId, identify, isRunning, type ProcessIdentity } from '../../lab/proc.ts';

/** What site.json says: with what lies beside it, enough to remove every trace of the site. */
export interface SiteRecord {
  readonly id: string;
  readonly engineSocket: string;
  readonly hostNames: readonly string[];
  readonly owner: ProcessIdentity;
  readonly bootId: string;
  /** The site outlives its owner. */
  readonly kept: boolean;
}

/** Where this user's sites keep their files and records. */
export function sitesDirectory(): string {
  return join(tmpdir(), `fairlead-demos-${process.getuid?.() ?? 0}`);
}

/** The files of a site; the record is one of them. */
export function directoryOf({ id }: Pick<SiteRecord, 'id'>): string {
  return join(sitesDirectory(), id);
}

/** What a host of a site keeps. */
export function hostDirectory(record: SiteRecord, host: string): string {
  return join(directoryOf(record), host);
}

/** Makes the directory of a site together with its record: there is never one without the other. */
export function createRecord(engineSocket: string, hostNames: readonly string[]): SiteRecord {
  ensurePrivateDirectory(sitesDirectory());
  const record: SiteRecord = {
    id: systemRandom.id().slice(0, 6),
    engineSocket,
    hostNames,
    owner: identify(process.pid)!,
    bootId: bootId(),
    kept: false,
  };
  // The name says whose unfinished directory this is, in case we are killed right here.
  const { pid, startTime } = record.owner;
  const unfinished = join(sitesDirectory(), `.new-${record.id}-${pid}-${startTime}`);
  for (const name of ['processes', 'logs', ...hostNames]) {
    mkdirSync(join(unfinished, name), { recursive: true, mode: 0o700 });
  }
  writeRecord(unfinished, record);
  renameSync(unfinished, directoryOf(record));
  return record;
}

/** Replaces the record by one with `kept` set. */
export function markKept(record: SiteRecord): SiteRecord {
  const kept = { ...record, kept: true };
  writeRecord(directoryOf(record), kept);
  return kept;
}

/** The records of all sites of this user. */
export function listSites(): SiteRecord[] {
  return namesIn(sitesDirectory())
    .filter((name) => !name.startsWith('.'))
    .map((id) => readRecord(join(sitesDirectory(), id)))
    .filter((record) => record !== undefined);
}

/** Whether nobody answers for the site any more: its owner is gone and it was not kept. */
export function isOrphaned({ kept, bootId: boot, owner }: SiteRecord): boolean {
  return !kept && (boot !== bootId() || !isRunning(owner));
}

/** The ids that the coordinator gave to the nodes of a site: their containers carry them. */
export function nodeIdsOf(record: SiteRecord): string[] {
  return record.hostNames.flatMap((host) => {
    const path = join(stateDirOf(record, host), 'node.json');
    if (!existsSync(path)) return [];
    const { nodeId } = JSON.parse(readFileSync(path, 'utf8')) as { readonly nodeId?: string };
    return nodeId === undefined ? [] : [nodeId];
  });
}

/** Renamed first: whoever reads records while it is emptied must not meet half of one. */
export async function removeDirectory(record: SiteRecord): Promise<void> {
  const directory = directoryOf(record);
  const doomed = join(dirname(directory), `.gone-${basename(directory)}`);
  try {
    renameSync(directory, doomed);
  } catch (error) {
    if (existsSync(directory)) throw error;
  }
  await rm(doomed, { recursive: true, force: true, maxRetries: 5 });
  removeIfEmpty(dirname(directory));
}

/** Deletes directories that a killed process was about to make or to remove. */
export async function removeLeftovers(): Promise<void> {
  for (const name of namesIn(sitesDirectory()).filter(isLeftover)) {
    await rm(join(sitesDirectory(), name), { recursive: true, force: true, maxRetries: 5 });
  }
  removeIfEmpty(sitesDirectory());
}

function isLeftover(name: string): boolean {
  const [, pid, startTime] = /^\.new-[^-]+-(\d+)-(\d+)$/.exec(name) ?? [];
  if (pid === undefined) return name.startsWith('.gone-');
  return !isRunning({ pid: Number(pid), startTime: Number(startTime) });
}

function stateDirOf(record: SiteRecord, host: string): string {
  return join(hostDirectory(record, host), 'agent');
}

function readRecord(directory: string): SiteRecord | undefined {
  try {
    return JSON.parse(readFileSync(join(directory, 'site.json'), 'utf8')) as SiteRecord;
  } catch {
    // Being removed by somebody else: it reads as nothing.
    return undefined;
  }
}

/** Written aside and renamed: a reader never sees half of it. */
function writeRecord(directory: string, record: SiteRecord): void {
  const path = join(directory, 'site.json');
  writeFileSync(`${path}.new`, `${JSON.stringify(record, undefined, 2)}\n`, { mode: 0o600 });
  renameSync(`${path}.new`, path);
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

/** The system says itself whether it is: another demo may put its own into it at this very moment. */
function removeIfEmpty(directory: string): void {
  try {
    rmdirSync(directory);
  } catch {
    return;
  }
}
