import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { describe, expect, test } from 'vitest';

const module = new URL('../../../shared/process.ts', import.meta.url).pathname;
const daemonModule = new URL('../../../shared/daemon.ts', import.meta.url).pathname;
const errors = new URL('../../../shared/errors.ts', import.meta.url).pathname;

/** A daemon of its own process whose body is this code; `signal` is what tells it to stop. */
class Daemon implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #stderr: Promise<string>;

  private constructor(child: ChildProcess) {
    this.#child = child;
    this.#stderr = text(child.stderr!);
  }

  static async start(body: string): Promise<Daemon> {
    const code = `
      import { runDaemon } from ${JSON.stringify(daemonModule)};
      import { untilSignalled } from ${JSON.stringify(module)};
      import { DomainError } from ${JSON.stringify(errors)};
      import { onAbort } from ${JSON.stringify(new URL('../../../shared/abort.ts', import.meta.url).pathname)};
      const stopped = (signal) => new Promise((resolve) => onAbort(signal, resolve));
      const begin = () => { setInterval(() => {}, 1000); process.stdout.write('up'); };
      ${body}`;
    const args = ['--import', 'tsx', '--input-type=module', '--eval', code];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    const daemon = new Daemon(child);
    await Promise.race([once(child.stdout, 'data'), once(child, 'exit')]);
    return daemon;
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  async end(): Promise<{ readonly status: number | null; readonly stderr: string }> {
    if (this.#child.exitCode === null) await once(this.#child, 'exit');
    return { status: this.#child.exitCode, stderr: await this.#stderr };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.end();
  }
}

describe('a daemon', () => {
  test.each(['SIGTERM', 'SIGINT'] as const)(
    'ends well on %s, whatever is left open',
    async (name) => {
      await using daemon = await Daemon.start(`
      await runDaemon(async (flags, env, signal) => { begin(); await stopped(signal); }, {});`);
      daemon.signal(name);
      expect(await daemon.end()).toEqual({ status: 0, stderr: '' });
    },
  );

  test('is ended by a second signal', async () => {
    await using daemon = await Daemon.start(`
      await runDaemon(async (flags, env, signal) => {
        begin();
        await stopped(signal);
        process.kill(process.pid, 'SIGINT');
        await new Promise(() => {});
      }, {});`);
    daemon.signal('SIGTERM');
    expect(await daemon.end()).toEqual({
      status: 1,
      stderr: 'stopped the hard way: a second signal (SIGINT) came before all had stopped\n',
    });
  });

  test('is ended when it takes longer to stop than the limit', async () => {
    await using daemon = await Daemon.start(`
      await untilSignalled(async () => { begin(); await new Promise(() => {}); }, 50);`);
    daemon.signal('SIGTERM');
    expect(await daemon.end()).toEqual({
      status: 1,
      stderr: 'stopped the hard way: not everything had stopped 50 ms after SIGTERM\n',
    });
  });

  test.each([
    ['invalid', 2],
    ['precondition', 1],
  ])('says in words why it cannot run, when that is %s', async (kind, status) => {
    await using daemon = await Daemon.start(`
      await runDaemon(async () => {
        throw new DomainError('${kind}', 'give a token by --token', { reason: 'X' });
      }, {});`);
    expect(await daemon.end()).toEqual({ status, stderr: 'give a token by --token\n' });
  });

  test('shows where a bug is', async () => {
    await using daemon = await Daemon.start(`
      await runDaemon(async function broken() { throw new TypeError('a bug'); }, {});`);
    const { status, stderr } = await daemon.end();
    expect(status).toBe(1);
    expect(stderr).toMatch(/^TypeError: a bug\n +at broken/);
  });
});
