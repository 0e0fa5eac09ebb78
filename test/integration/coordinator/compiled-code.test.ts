import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { keepCompiledCode } from '../../../coordinator/compiled-code-keeper.ts';
import { compiledCodeFile, readCompiledCode } from '../../../coordinator/compiled-code.ts';
import { takeBackup } from '../../../coordinator/backup/backup.ts';
import { createLogger } from '../../../shared/logger.ts';
import { eventually } from '../../support/eventually.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { programs, requireBuild } from '../../support/fleet/programs.ts';
import { TemporaryDirectory } from '../../support/temporary-directory.ts';

const { signal: never } = new AbortController();
const waitMs = 10_000;

let directory: TemporaryDirectory;
let path: string;

beforeEach(() => {
  directory = new TemporaryDirectory();
  path = compiledCodeFile(directory.join('state'));
  mkdirSync(directory.join('state'));
});

afterEach(() => directory[Symbol.asyncDispose]());

/** Keeps code under a key, as a run of the coordinator does; what is logged of it. */
async function keep(key: string, text: string): Promise<readonly unknown[]> {
  const clock = new FakeClock();
  const lines: unknown[] = [];
  const write = (line: string) => lines.push(JSON.parse(line));
  const log = createLogger({ level: 'debug', process: 'test' }, { write });
  const take = () => Buffer.from(text);
  const kept = keepCompiledCode({ path, key, reused: false, take }, { clock, log }, never);
  await clock.advance(waitMs - 1);
  expect(lines).toHaveLength(1);
  await clock.advance(1);
  await kept;
  return lines.slice(1);
}

describe('compiled code in its file', () => {
  test('is read as it was kept, by its user alone', async () => {
    expect(readCompiledCode(path, 'a')).toBeUndefined();
    expect(await keep('a', 'compiled')).toMatchObject([{ level: 'debug', bytes: 8 }]);
    expect(readCompiledCode(path, 'a')?.toString()).toBe('compiled');
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(statSync(dirname(path)).mode & 0o777).toBe(0o700);
  });

  test('of another program is not read, and gone when this one has kept its own', async () => {
    await keep('a', 'compiled');
    expect(readCompiledCode(path, 'b')).toBeUndefined();
    await keep('b', 'other');
    expect(readCompiledCode(path, 'a')).toBeUndefined();
    expect(readCompiledCode(path, 'b')?.toString()).toBe('other');
  });

  test.each([0, 1, 32, 39])('that is cut after %d bytes is not read', async (length) => {
    await keep('a', 'compiled');
    truncateSync(path, length);
    expect(readCompiledCode(path, 'a')).toBeUndefined();
  });

  test.each([0, 31, 32, 39])('with another byte at %d is not read', async (index) => {
    await keep('a', 'compiled');
    const content = readFileSync(path);
    content[index]! ^= 1;
    writeFileSync(path, content);
    expect(readCompiledCode(path, 'a')).toBeUndefined();
  });

  test.each([0o620, 0o602])('that others may write to, mode %o, is not read', async (mode) => {
    await keep('a', 'compiled');
    chmodSync(path, mode);
    expect(readCompiledCode(path, 'a')).toBeUndefined();
  });

  test.runIf(process.getuid?.() === 0)('of another user is not read', async () => {
    await keep('a', 'compiled');
    chownSync(path, 65_534, 65_534);
    expect(readCompiledCode(path, 'a')).toBeUndefined();
  });

  test('that cannot be written is a word in the log, and nothing is left of it', async () => {
    mkdirSync(path, { recursive: true });
    expect(await keep('a', 'compiled')).toMatchObject([
      { level: 'info', reason: expect.any(String) as string },
    ]);
    expect(existsSync(`${path}.new`)).toBe(false);
    expect(readCompiledCode(path, 'a')).toBeUndefined();
  });

  test('is not written by a run that ends before', async () => {
    const stop = new AbortController();
    const log = createLogger({ level: 'silent', process: 'test' });
    const clock = new FakeClock();
    const take = () => Buffer.from('compiled');
    const kept = keepCompiledCode(
      { path, key: 'a', reused: false, take },
      { clock, log },
      stop.signal,
    );
    await clock.advance(waitMs - 1);
    stop.abort();
    await kept;
    expect(existsSync(path)).toBe(false);
  });
});

/** A coordinator as it is shipped, on the state directory of the test. */
class Shipped implements AsyncDisposable {
  #output = '';
  readonly #process;
  readonly #ended: Promise<unknown>;

  constructor(nodeArgs: readonly string[] = []) {
    const flags = ['--state-dir', directory.join('state'), '--log-level', 'debug'];
    const listen = ['--listen', '127.0.0.1:0', '--http-listen', '127.0.0.1:0'];
    const args = [...nodeArgs, programs.cli, 'coordinator', 'run', ...flags, ...listen];
    this.#process = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    this.#process.stdout.on('data', (part: Buffer) => (this.#output += part.toString()));
    this.#ended = once(this.#process, 'close');
  }

  /** The first line of its log with these words. */
  async line(words: string): Promise<Record<string, unknown>> {
    return await eventually(
      () => {
        const line = this.#output.split('\n').find((text) => text.includes(words));
        expect(line, this.#output).toBeDefined();
        return JSON.parse(line!) as Record<string, unknown>;
      },
      { timeoutMs: 60_000 },
    );
  }

  /** Whether it began with code of an earlier run, when it answers. */
  async reused(): Promise<unknown> {
    await this.line('coordinator started');
    return (await this.line('compiled code of an earlier run'))['reused'];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill('SIGKILL');
    await this.#ended;
  }
}

async function reusedBy(nodeArgs?: readonly string[]): Promise<unknown> {
  await using coordinator = new Shipped(nodeArgs);
  return await coordinator.reused();
}

test(
  'a coordinator starts with the code that the one before compiled, if it can',
  { timeout: 180_000 },
  async () => {
    requireBuild();
    {
      await using coordinator = new Shipped();
      expect(await coordinator.reused()).toBe(false);
      await coordinator.line('compiled code kept');
      const backup = { stateDir: directory.join('state'), file: directory.join('backup') };
      const { files } = await takeBackup(backup, never);
      expect(files.map(({ name }) => name)).toContain('authority.json');
      expect(files.map(({ name }) => name).join()).not.toMatch(/compiled|cache/);
    }
    expect(await reusedBy()).toBe(true);

    // Compiled for other settings of V8.
    expect(await reusedBy(['--no-flush-bytecode'])).toBe(false);

    const whole = directory.join('whole');
    copyFileSync(path, whole);
    truncateSync(path, statSync(path).size / 2);
    expect(await reusedBy()).toBe(false);

    copyFileSync(whole, path);
    expect(await reusedBy()).toBe(true);
  },
);
