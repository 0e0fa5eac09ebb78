import { expect, test } from 'vitest';
import type { DockerExec } from '../../../../agent/node/docker/docker-exec.ts';
import { runExec, type ExecInput } from '../../../../agent/node/run-exec.ts';
import type { ContainerId } from '../../../../shared/ids.ts';
import { anEngineContainer } from './builders.ts';

test('a command gets what comes after an input that it cannot be given', async () => {
  const written: string[] = [];
  let isFed!: () => void;
  const fed = new Promise<void>((resolve) => {
    isFed = resolve;
  });
  const exec = {
    signal: () => Promise.reject(new Error('there is no shell')),
    write: (data: Uint8Array) => {
      written.push(Buffer.from(data).toString());
      return Promise.resolve();
    },
    endInput: () => {
      isFed();
    },
    output: async function* () {
      await fed;
      yield* [];
    },
    exitCode: () => Promise.resolve(0),
  } as unknown as DockerExec;
  const engine = {
    find: () => Promise.resolve(anEngineContainer()),
    exec: () => Promise.resolve(exec),
  };
  async function* inputs(): AsyncGenerator<ExecInput> {
    yield { kind: 'signal', name: 'INT' };
    yield await Promise.resolve({ kind: 'stdin', data: Buffer.from('go on') });
    yield { kind: 'stdin-end' };
  }
  const order = { containerId: 'c' as ContainerId, mark: 'm', command: {} as never };
  const news = [];
  for await (const each of runExec(engine, order, inputs(), new AbortController().signal)) {
    news.push(each.kind);
  }
  expect(written).toEqual(['go on']);
  expect(news).toEqual(['started', 'exit']);
});
