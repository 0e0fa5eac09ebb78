import { createHash } from 'node:crypto';
import { rmSync, truncateSync, writeFileSync } from 'node:fs';
import { createServer, request as httpRequest, type IncomingMessage } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { buffer, text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Downloads } from '../../../../coordinator/http/downloads.ts';
import { version as coordinatorVersion } from '../../../../coordinator/version.ts';
import { createLogger } from '../../../../shared/logger.ts';
import { TemporaryDirectory } from '../../../support/temporary-directory.ts';

const log = createLogger({ level: 'silent', process: 'test' });
const script = '#!/bin/sh\necho installed\n';
/** More than sockets keep on the way. */
const large = Buffer.alloc(24 * 1024 * 1024, 'fairlead');
const maxDownloads = 3;

let directory: TemporaryDirectory;
let close: () => Promise<void>;
let port: number;

beforeEach(async () => {
  directory = new TemporaryDirectory();
  put({ 'install.sh': script, 'agent.gz': large, empty: '' });
  writeFileSync(directory.join('unlisted'), 'secret');
  await serve();
});

afterEach(async () => {
  await close();
  await directory[Symbol.asyncDispose]();
});

const sha256 = (content: string | Buffer) => createHash('sha256').update(content).digest('hex');

function put(files: Record<string, string | Buffer>): void {
  const lines = Object.entries(files).map(([name, content]) => {
    writeFileSync(directory.join(name), content);
    return `${sha256(content)}  ${name}\n`;
  });
  writeFileSync(directory.join('SHA256SUMS'), lines.join(''));
}

async function serve(): Promise<void> {
  const options = { directory: directory.path, required: true, maxDownloads };
  const downloads = Downloads.open(options, log);
  const server = createServer((request, response) => {
    if (!downloads.handle(request, response)) response.writeHead(418).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  ({ port } = server.address() as AddressInfo);
  close = () =>
    new Promise((resolve) => {
      server.closeAllConnections();
      server.close(() => {
        resolve();
      });
    });
}

async function ask(path: string, method = 'GET'): Promise<IncomingMessage> {
  return await new Promise((resolve, reject) => {
    httpRequest({ host: '127.0.0.1', port, path, method }, resolve).on('error', reject).end();
  });
}

/** Node's own client would tidy such a path up. */
async function askRaw(path: string): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
  return await text(socket);
}

describe('downloads', () => {
  test('are whole, and say their length', async () => {
    const answer = await ask('/packages/agent.gz');
    expect(answer.statusCode).toBe(200);
    expect(answer.headers['content-length']).toBe(String(large.length));
    expect((await buffer(answer)).equals(large)).toBe(true);

    const empty = await ask('/packages/empty?version=1');
    expect([empty.statusCode, await text(empty)]).toEqual([200, '']);
  });

  test('answer HEAD with the headers alone', async () => {
    for (const [path, length] of [
      ['/packages/agent.gz', large.length],
      ['/install.sh', script.length],
    ] as const) {
      const answer = await ask(path, 'HEAD');
      expect(answer.headers['content-length']).toBe(String(length));
      expect(await text(answer)).toBe('');
    }
  });

  test('have the script as it was at the start, so that it matches the hash that was told', async () => {
    const downloads = Downloads.open({ directory: directory.path, required: true }, log);
    expect(downloads.scriptSha256).toBe(sha256(script));
    writeFileSync(directory.join('install.sh'), 'something else');
    expect(await text(await ask('/install.sh'))).toBe(script);
  });

  test.each([
    '/packages/../secret',
    '/packages/..%2fsecret',
    '/packages/%2e%2e/secret',
    '/packages//etc/passwd',
    '/packages/./agent.gz',
    '/packages/unlisted',
    '/packages/SHA256SUMS',
    '/packages/',
    '/packages/agent.gz%00',
    '/packages/..',
  ])('give nothing for %s', async (path) => {
    const answer = await askRaw(path);
    expect(answer).toMatch(/^HTTP\/1\.1 (404|418) /);
    expect(answer).not.toContain('secret');
  });

  test('leave other paths to others', async () => {
    expect((await ask('/')).statusCode).toBe(418);
    expect((await ask('/packages')).statusCode).toBe(418);
    expect((await ask('/install.sh/more')).statusCode).toBe(418);
  });

  test('can only be read', async () => {
    const answer = await ask('/packages/agent.gz', 'DELETE');
    expect([answer.statusCode, answer.headers.allow]).toEqual([405, 'GET, HEAD']);
  });

  test('end before their length when the file ends before it, so that nobody takes a part for the whole', async () => {
    const answer = await ask('/packages/agent.gz');
    await new Promise((resolve) => answer.once('readable', resolve));
    truncateSync(directory.join('agent.gz'), 1024 * 1024);
    await expect(buffer(answer)).rejects.toThrow('aborted');
    rmSync(directory.join('agent.gz'));
    await expect(ask('/packages/agent.gz')).rejects.toThrow('socket hang up');
  });

  test('are bounded: one too many is told to come back', async () => {
    const idle = Array.from({ length: maxDownloads }, () => {
      const socket = connect(port, '127.0.0.1');
      socket.pause();
      socket.write('GET /packages/agent.gz HTTP/1.1\r\nHost: x\r\n\r\n');
      return socket;
    });
    await Promise.all(
      idle.map((socket) => new Promise((resolve) => socket.once('readable', resolve))),
    );
    const refused = await ask('/packages/agent.gz');
    expect([refused.statusCode, refused.headers['retry-after']]).toEqual([503, '5']);
    for (const socket of idle) socket.destroy();
  });
});

test.each([
  [coordinatorVersion, []],
  ['9.9.9', ['packages are of another version']],
])('packages of version %s are served, and said to be another if they are', (version, warnings) => {
  put({ VERSION: `${version}\n` });
  const lines: string[] = [];
  const write = (line: string) => lines.push(line);
  const heard = createLogger({ level: 'warn', process: 'test' }, { write });
  const downloads = Downloads.open({ directory: directory.path, required: true }, heard);
  expect(downloads.version).toBe(version);
  expect(lines.map((line) => (JSON.parse(line) as { msg: string }).msg)).toEqual(warnings);
});

test('without packages the answer says how to make them', async () => {
  await close();
  await using empty = new TemporaryDirectory();
  const downloads = Downloads.open({ directory: empty.path, required: false }, log);
  expect(downloads.scriptSha256).toBeNull();
  expect(() => Downloads.open({ directory: empty.path, required: true }, log)).toThrow(
    /npm run package/,
  );
});
