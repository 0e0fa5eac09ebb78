import { expect, test } from 'vitest';
import { commandProbe } from '../../../../agent/node/command-probe.ts';

const { signal } = new AbortController();
const target = { kind: 'command', engineId: 'e', command: ['check'] } as const;

/** A command that ends when it is told to. */
class Command {
  ends: (output: string) => void = () => undefined;
  status: number | undefined;
  readonly #end = new Promise<string>((resolve) => {
    this.ends = resolve;
  });

  exitCode(): Promise<number | undefined> {
    return Promise.resolve(this.status);
  }

  ended(until: AbortSignal): Promise<string> {
    return Promise.race([
      this.#end,
      new Promise<never>((_, reject) => {
        until.addEventListener('abort', () => {
          reject(new Error('aborted'));
        });
      }),
    ]);
  }
}

/** Checks by the given commands, in turn. */
function probeOf(...commands: Command[]) {
  return commandProbe({ runCommand: () => Promise.resolve(commands.shift()!) });
}

test('a command passes with status 0, and tells what it said otherwise', async () => {
  const [good, bad] = [new Command(), new Command()];
  const probe = probeOf(good, bad);
  good.status = 0;
  good.ends('fine');
  expect(await probe(target, 1_000, signal)).toBe('');
  bad.status = 3;
  bad.ends('no database');
  expect(await probe(target, 1_000, signal)).toBe('ended with status 3: no database');
});

test('a command that does not end is not begun again while it runs', async () => {
  const [stuck, next] = [new Command(), new Command()];
  const probe = probeOf(stuck, next);
  expect(await probe(target, 1, signal)).toBe('did not end within 1 ms');
  expect(await probe(target, 1, signal)).toBe('runs still, since a check before');
  stuck.status = 0;
  next.status = 0;
  next.ends('');
  expect(await probe(target, 1_000, signal)).toBe('');
});
