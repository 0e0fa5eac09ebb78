import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { eventually } from '../../support/eventually.ts';

/** Ports of the loopback network that answer with 1 kB, and with one word. */
export const ports = { old: 19_000, new: 19_001 } as const;

/** Address of the n-th server; all of them are this machine. */
export function addressOf(index: number): string {
  return `127.1.${index >> 8}.${index & 255}`;
}

/** What answers behind HAProxy, at as little cost as possible: another HAProxy. */
export async function startSink(directory: string): Promise<AsyncDisposable> {
  const config = join(directory, 'sink.cfg');
  writeFileSync(
    config,
    `global
  maxconn 6000
defaults
  mode http
  timeout client 60s
  timeout http-request 60s
frontend old
  bind :${ports.old}
  http-request return status 200 content-type text/plain string "${'old '.repeat(250)}"
frontend new
  bind :${ports.new}
  http-request return status 200 content-type text/plain string "new"
`,
  );
  const child = spawn('haproxy', ['-db', '-f', config], {
    stdio: ['ignore', 'ignore', 'inherit'],
    // As those who send requests.
    detached: true,
  });
  await eventually(async () => {
    const socket = connect(ports.new, '127.0.0.1');
    await once(socket, 'connect');
    socket.destroy();
  });
  return {
    [Symbol.asyncDispose]: async () => {
      const exit = once(child, 'exit');
      child.kill('SIGTERM');
      await exit;
    },
  };
}
