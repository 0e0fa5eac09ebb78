import { mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { bootId, isRunning, type ProcessIdentity } from './proc.ts';
import { labsDirectory } from './plan.ts';

/** How the engines of a lab are run. */
export interface EngineOptions {
  /** Containers go on while the engine is away (`--live-restore`); off unless asked for. */
  readonly liveRestore?: boolean;
  /** Further arguments of dockerd. */
  readonly args?: readonly string[];
}

/** What lab.json says: enough, with the plan that follows from it, to remove every trace. */
export interface LabRecord {
  readonly id: string;
  /** The third number of the lab's addresses; nobody else has it while the record exists. */
  readonly subnet: number;
  readonly hostCount: number;
  /** What the lab is for, in the words of whoever started it. */
  readonly label: string;
  readonly owner: ProcessIdentity;
  readonly bootId: string;
  /** The lab outlives its owner. */
  readonly kept: boolean;
  readonly engine: EngineOptions;
}

/** One process of a lab: a file of its own, so that several writers never meet. */
export interface ProcessRecord extends ProcessIdentity {
  readonly name: string;
  /** The host it runs on; undefined in the root namespace. */
  readonly host: string | undefined;
  readonly logPath: string;
}

/** Makes the lab's directory together with its record: there is never one without the other. */
export function createRecord(record: LabRecord): void {
  const unfinished = join(labsDirectory(), `.new-${record.id}`);
  mkdirSync(join(unfinished, 'processes'), { recursive: true, mode: 0o700 });
  mkdirSync(join(unfinished, 'logs'), { mode: 0o700 });
  writeJson(join(unfinished, 'lab.json'), record);
  renameSync(unfinished, join(labsDirectory(), record.id));
}

/** Replaces the record by one with `kept` set. */
export function markKept(record: LabRecord): LabRecord {
  const kept = { ...record, kept: true };
  writeJson(join(labsDirectory(), record.id, 'lab.json'), kept);
  return kept;
}

/** The record of a lab; undefined when there is none. */
export function readRecord(id: string): LabRecord | undefined {
  return readJson(join(labsDirectory(), id, 'lab.json')) as LabRecord | undefined;
}

/** The records of all labs of this machine, whoever started them. */
export function listRecords(): LabRecord[] {
  return namesIn(labsDirectory())
    .filter((name) => !name.startsWith('.'))
    .map(readRecord)
    .filter((record) => record !== undefined);
}

/** Whether somebody still answers for the lab: its living owner, or nobody because it was kept. */
export function isOrphaned(record: LabRecord): boolean {
  return !record.kept && (record.bootId !== bootId() || !isRunning(record.owner));
}

/** Notes a process that was just started. Returns how to strike it out again. */
export function recordProcess(labDirectory: string, record: ProcessRecord): () => void {
  const path = join(labDirectory, 'processes', `${record.pid}-${record.startTime}.json`);
  writeJson(path, record);
  return () => {
    rmSync(path, { force: true });
  };
}

/** The noted processes that still run. */
export function listProcesses(labDirectory: string): ProcessRecord[] {
  const directory = join(labDirectory, 'processes');
  return namesIn(directory)
    .filter((name) => name.endsWith('.json'))
    .map((name) => readJson(join(directory, name)) as ProcessRecord | undefined)
    .filter((record) => record !== undefined)
    .filter(isRunning);
}

/** Written aside and renamed: a reader never sees half of it. */
function writeJson(path: string, value: unknown): void {
  writeFileSync(`${path}.new`, `${JSON.stringify(value, undefined, 2)}\n`, { mode: 0o600 });
  renameSync(`${path}.new`, path);
}

/** A directory that was not made yet, or is being removed by somebody else, is empty. */
function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

/** What is being removed by somebody else reads as nothing. */
function readJson(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    return undefined;
  }
}
