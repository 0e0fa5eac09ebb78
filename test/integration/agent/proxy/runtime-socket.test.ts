import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { RuntimeClient } from '../../../../agent/proxy/runtime-client.ts';
import { TemporaryDirectory } from '../../../support/temporary-directory.ts';

const { signal } = new AbortController();

/** Answers each line by the next of these, in pieces of any size. */
async function startChopped(
  answers: readonly string[],
  pieces: readonly number[],
): Promise<AsyncDisposable & { readonly path: string }> {
  const directory = new TemporaryDirectory();
  const path = directory.join('chopped.sock');
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    let next = 0;
    let turn = 0;
    let rest = '';
    socket.on('error', () => undefined);
    socket.on('data', (chunk: Buffer) => {
      const lines = (rest + chunk.toString('latin1')).split('\n');
      rest = lines.pop() ?? '';
      let text = lines
        .map((line) => (line === 'prompt' ? '\n> ' : `${answers[next++] ?? ''}\n> `))
        .join('');
      while (text !== '') {
        const size = pieces[turn++ % pieces.length] ?? 1;
        socket.write(text.slice(0, size), 'latin1');
        text = text.slice(size);
      }
    });
  });
  server.listen(path);
  await once(server, 'listening');
  return {
    path,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
      await directory[Symbol.asyncDispose]();
    },
  };
}

test('gives every command its own answer, however the bytes are cut and the commands are batched', async () => {
  const line = fc
    .stringMatching(/^[!-~][ -~]{0,40}$/)
    .filter((text) => !/^>( |$)|^[+] |^\[[0-3]\]/.test(text));
  const answer = fc
    .array(line, { maxLength: 5 })
    .map((lines) => lines.map((each) => `${each}\n`).join(''));
  const batches = fc.array(fc.array(answer, { minLength: 1, maxLength: 6 }), {
    minLength: 1,
    maxLength: 6,
  });
  const sizes = fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 8 });
  await fc.assert(
    fc.asyncProperty(batches, sizes, async (answers, pieces) => {
      await using server = await startChopped(['', ...answers.flat()], pieces);
      using client = await RuntimeClient.open(
        { socketPath: server.path, timeoutMs: 5_000 },
        signal,
      );
      const replies = await Promise.all(
        answers.map((batch) => client.sendAll(batch.map((_, index) => `command ${index}`))),
      );
      const expected = answers.map((batch) =>
        batch.map((text) => text.replace(/^\[\d\]: */, '').trim()),
      );
      expect(replies.map((batch) => batch.map(({ text }) => text))).toEqual(expected);
    }),
    { numRuns: 40 },
  );
});

test('ends, and says so to all who wait, when what answers is no HAProxy', async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (bytes) => {
      const garbage = Buffer.from(bytes).toString('latin1').replaceAll('\n> ', '');
      await using server = await startChopped(['', garbage], [7]);
      using client = await RuntimeClient.open(
        { socketPath: server.path, timeoutMs: 5_000 },
        signal,
      );
      const [reply] = await client.sendAll(['show info']);
      expect(typeof reply?.text).toBe('string');
    }),
    { numRuns: 40 },
  );
});
