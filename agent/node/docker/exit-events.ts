import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { Client, credentials } from '@grpc/grpc-js';
import { onAbort } from '../../../shared/abort.ts';
import type { Clock } from '../../../shared/clock.ts';
import { DomainError, messageOf } from '../../../shared/errors.ts';
import type { Logger } from '../../../shared/logger.ts';
import type { Random } from '../../../shared/random.ts';
import { keepRunning } from '../../../shared/retry.ts';

/** The end of the first process of a container, as containerd saw it: some 40 ms before Docker tells. */
export interface ProcessExit {
  readonly engineId: string;
  readonly pid: number;
  readonly exitCode: number;
  /** By the host's wall clock, in milliseconds with fractions. */
  readonly atMs: number;
}

/** A container's first process runs; the engine says so some milliseconds later, when all of its own is done. */
export interface ProcessStart {
  readonly engineId: string;
}

export interface ExitWatchDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly onExit: (exit: ProcessExit) => void;
  readonly onStart: (start: ProcessStart) => void;
}

const backoff = { minMs: 250, maxMs: 30_000 };

/**
 * Tells of the ends of processes, and of their starts, from whichever of the sockets can be reached, until the
 * signal aborts.
 *
 * Docker's own events stay the truth, and follow; nothing is asked of containerd but this. Where it
 * cannot be reached, as by an agent that is not root, Docker's have to do.
 */
export async function watchExits(
  socketPaths: readonly string[],
  { clock, random, log, ...listeners }: ExitWatchDeps,
  signal: AbortSignal,
): Promise<void> {
  const watch = async (socketPath: string): Promise<void> => {
    const attempt = async (until: AbortSignal): Promise<void> => {
      if (!(await reaches(socketPath))) {
        await clock.sleep(backoff.maxMs, until);
        return;
      }
      log.debug({ socketPath }, 'takes the ends of processes from containerd');
      await follow(socketPath, listeners, until);
    };
    const onFailure = (error: unknown, retryInMs: number) => {
      log.debug({ socketPath, reason: messageOf(error), retryInMs }, 'no ends from containerd');
    };
    const deps = { clock, random: () => random.fraction(), onFailure };
    await keepRunning(attempt, backoff, deps, signal);
  };
  await Promise.all(socketPaths.map(watch));
}

/** Whether this process may speak to containerd there. */
async function reaches(socketPath: string): Promise<boolean> {
  return await access(socketPath, constants.R_OK | constants.W_OK).then(
    () => true,
    () => false,
  );
}

const method = '/containerd.services.events.v1.Events/Subscribe';
const startTopic = '/tasks/start';
/** Docker's containers, and nothing of what else runs on this containerd. */
const filters = ['/tasks/exit', startTopic].map((topic) => `topic=="${topic}",namespace=="moby"`);

/** One subscription: returns when it is aborted, throws when containerd ends or refuses it. */
async function follow(
  socketPath: string,
  { onExit, onStart }: Pick<ExitWatchDeps, 'onExit' | 'onStart'>,
  signal: AbortSignal,
): Promise<void> {
  const client = new Client(`unix:${socketPath}`, credentials.createInsecure());
  const stream = client.makeServerStreamRequest(method, subscription, readNews, filters);
  using _abort = onAbort(signal, () => {
    stream.cancel();
  });
  try {
    await new Promise<void>((resolve, reject) => {
      stream.on('data', ({ exit, start }: TaskNews) => {
        if (exit !== null) onExit(exit);
        if (start !== null) onStart(start);
      });
      stream.on('error', reject);
      stream.on('end', resolve);
    });
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    client.close();
  }
  if (signal.aborted) return;
  throw new DomainError('unavailable', 'containerd ended its events', { reason: 'SESSION_ENDED' });
}

/** A SubscribeRequest. */
function subscription(texts: readonly string[]): Buffer {
  const writer = new BinaryWriter();
  for (const text of texts) writer.uint32(10).string(text);
  return Buffer.from(writer.finish());
}

/** What an Envelope tells of. */
interface TaskNews {
  readonly exit: ProcessExit | null;
  readonly start: ProcessStart | null;
}

/** Reads an Envelope. */
export function readNews(bytes: Uint8Array): TaskNews {
  const topic = Buffer.from(fieldOf(bytes, 3) ?? []).toString();
  return topic === startTopic
    ? { exit: null, start: readStart(bytes) }
    : { exit: readEnvelope(bytes), start: null };
}

/** Reads an Envelope with a TaskStart. */
function readStart(bytes: Uint8Array): ProcessStart | null {
  const event = fieldOf(bytes, 4);
  const start = event && fieldOf(event, 2);
  const engineId = start && fieldOf(start, 1);
  return engineId === undefined ? null : { engineId: Buffer.from(engineId).toString() };
}

/** Reads an Envelope with a TaskExit; null for the exit of another process than a container's first. */
export function readEnvelope(bytes: Uint8Array): ProcessExit | null {
  const event = fieldOf(bytes, 4);
  const exit = event && fieldOf(event, 2);
  return exit === undefined ? null : readTaskExit(exit);
}

function readTaskExit(bytes: Uint8Array): ProcessExit | null {
  const reader = new BinaryReader(bytes);
  let [engineId, id, pid, exitCode, atMs] = ['', '', 0, 0, 0];
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (field === 1) engineId = reader.string();
    else if (field === 2) id = reader.string();
    else if (field === 3) pid = reader.uint32();
    else if (field === 4) exitCode = reader.uint32();
    else if (field === 5) atMs = readTimestamp(reader.bytes());
    else reader.skip(type);
  }
  // A command that was run in the container ends with an id of its own.
  return id === engineId ? { engineId, pid, exitCode, atMs } : null;
}

function readTimestamp(bytes: Uint8Array): number {
  const reader = new BinaryReader(bytes);
  let [seconds, nanos] = [0, 0];
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (field === 1) seconds = Number(reader.int64());
    else if (field === 2) nanos = reader.int32();
    else reader.skip(type);
  }
  return seconds * 1_000 + nanos / 1e6;
}

/** The last field of that number that has a length. */
function fieldOf(bytes: Uint8Array, wanted: number): Uint8Array | undefined {
  const reader = new BinaryReader(bytes);
  let found: Uint8Array | undefined;
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (field === wanted && type === WireType.LengthDelimited) found = reader.bytes();
    else reader.skip(type);
  }
  return found;
}
