import { setMaxListeners } from 'node:events';
import { ChildController } from '../../../shared/abort.ts';
import { systemClock } from '../../../shared/clock.ts';
import { untilSignalled } from '../../../shared/process.ts';
import { describeMachine, wordsFor, type Machine } from './machine.ts';
import { renderTable } from './table.ts';

/** One figure and its limit. */
export interface Check {
  readonly name: string;
  readonly value: number;
  /** What it may be at the most, or has to be at the least, as its name says. */
  readonly limit: number;
  readonly ok: boolean;
}

/** What a benchmark found. */
export interface Findings {
  /** Everything that was measured, for programs. */
  readonly results: object;
  /** The same for people. */
  readonly tables: readonly string[];
  readonly checks: readonly Check[];
}

export interface BenchmarkOptions {
  readonly name: string;
  /** After this time it is given up, whatever it is doing. */
  readonly limitMs: number;
}

/** Tells people how far it is; not part of the result. */
export type Say = (words: string) => void;

/** Cleaning up may take a while, and is worth waiting for after a Ctrl-C too. */
const stopLimitMs = 150_000;

/** Compares a figure with the most that it may be. */
export function atMost(name: string, value: number, limit: number): Check {
  return { name, value, limit, ok: value <= limit };
}

/** Compares a figure with the least that it has to be. */
export function atLeast(name: string, value: number, limit: number): Check {
  return { name, value, limit, ok: value >= limit };
}

/**
 * Runs a benchmark as this process: prints its tables, or with `--json` one JSON document and nothing
 * else, and ends with status 1 if a check fails, the benchmark does, or it is interrupted.
 */
export async function runBenchmark(
  { name, limitMs }: BenchmarkOptions,
  measure: (say: Say, signal: AbortSignal) => Promise<Findings>,
): Promise<void> {
  const asJson = process.argv.includes('--json');
  let passed = false;
  const status = await untilSignalled(async (stop) => {
    using scope = new ChildController(stop);
    // Everything that waits listens to it, and stops listening when it is done.
    setMaxListeners(0, scope.signal);
    void systemClock.sleep(limitMs, scope.signal).then(() => {
      scope.abort(new Error(`${name} was not done after ${limitMs / 60_000} minutes`));
    });
    const machine = describeMachine();
    const startedAt = systemClock.monotonic();
    const say: Say = (words) => {
      const seconds = (systemClock.monotonic() - startedAt) / 1_000;
      process.stderr.write(`${seconds.toFixed(1).padStart(7)} s  ${words}\n`);
    };
    try {
      const findings = await measure(say, scope.signal);
      print(name, asJson, findings, machine());
      passed = findings.checks.every(({ ok }) => ok);
    } catch (error) {
      if (!stop.aborted) throw scope.signal.aborted ? scope.signal.reason : error;
      say('interrupted, everything is cleaned up');
    }
  }, stopLimitMs);
  // Connections that a pool keeps must not keep the process.
  process.exit(passed ? 0 : Math.max(status, 1));
}

function print(name: string, asJson: boolean, findings: Findings, machine: Machine): void {
  const { results, checks, tables } = findings;
  if (asJson) {
    process.stdout.write(`${JSON.stringify({ name, results: { machine, ...results }, checks })}\n`);
    return;
  }
  const rows = checks.map((check) => [
    check.ok ? 'ok' : 'FAILED',
    check.name,
    check.value,
    check.limit,
  ]);
  const parts = [
    `${name} on ${wordsFor(machine)}`,
    ...tables,
    renderTable(['check', '', 'value', 'limit'], rows),
  ];
  process.stdout.write(`${parts.join('\n\n')}\n`);
}
