import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

/** What a load came to. */
export interface LoadResult {
  readonly requestsPerSecond: number;
  readonly p99Ms: number;
  /** Requests that got no answer, or another one than 200. */
  readonly failures: number;
}

/** Has as many requests answered as the machine can, on connections that are kept. */
export async function runLoad(
  port: number,
  seconds: number,
  signal: AbortSignal,
): Promise<LoadResult> {
  const { stdout } = await promisify(execFile)(
    // In a session of its own, as the agents and their HAProxy: the kernel shares the processors out by session, and
    // clients that share with servers wait for them, at random, for longer than for HAProxy.
    'setsid',
    ['wrk', '-t1', '-c32', `-d${seconds}s`, '--latency', `http://127.0.0.1:${port}/`],
    { signal },
  );
  const errors = /Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(
    stdout,
  );
  const wrong = Number(/Non-2xx or 3xx responses: (\d+)/.exec(stdout)?.[1] ?? 0);
  return {
    requestsPerSecond: Number(/Requests\/sec:\s+([\d.]+)/.exec(stdout)?.[1]),
    p99Ms: milliseconds(/99%\s+([\d.]+)(us|ms|s)/.exec(stdout)),
    failures: wrong + (errors?.slice(1).reduce((sum, count) => sum + Number(count), 0) ?? 0),
  };
}

function milliseconds(found: RegExpExecArray | null): number {
  const [, value, unit] = found ?? [];
  if (value === undefined) throw new Error('wrk says nothing of latencies');
  return Number(value) * (unit === 's' ? 1_000 : unit === 'us' ? 0.001 : 1);
}
