import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Clock } from '../shared/clock.ts';
import { writeDurably } from '../shared/durable-file.ts';
import { messageOf } from '../shared/errors.ts';
import type { Logger } from '../shared/logger.ts';
import { seal, type CompiledCode } from './compiled-code.ts';

/** By then agents that were connected before are back, and what they had it do is compiled. */
const keptAfterMs = 10_000;

/**
 * Has the next run begin with what this one has compiled when it has run for a while. Each run does, also one that
 * began with such code itself: the first of all had no agents yet.
 */
export async function keepCompiledCode(
  { path, key, reused, take }: CompiledCode,
  { clock, log }: { readonly clock: Clock; readonly log: Logger },
  signal: AbortSignal,
): Promise<void> {
  log.debug({ reused }, 'compiled code of an earlier run');
  await clock.sleep(keptAfterMs, signal);
  if (signal.aborted) return;
  try {
    const code = take();
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    await writeDurably(path, seal(key, code));
    log.debug({ bytes: code.length }, 'compiled code kept for the next run');
  } catch (error) {
    log.info({ reason: messageOf(error) }, 'compiled code not kept: the next start takes longer');
  }
}
