import { spawn } from 'node:child_process';
import { createPublicKey, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { connect, createServer, type TLSSocket } from 'node:tls';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { AuthorityRecord } from '../../../coordinator/identity/authority-record.ts';
import { Authority } from '../../../coordinator/identity/authority.ts';
import { systemClock } from '../../../shared/clock.ts';
import { createLogger } from '../../../shared/logger.ts';
import { makePrivateKey } from '../../../shared/rpc/signing-request.ts';
import { certificatesIn, coordinatorName, examine, pinOf } from '../../../shared/rpc/trust.ts';
import { TemporaryDirectory } from '../../support/temporary-directory.ts';

const log = createLogger({ level: 'silent', process: 'test' });
const never = new AbortController().signal;

let directory: TemporaryDirectory;
let stateDir: string;

beforeEach(() => {
  directory = new TemporaryDirectory();
  stateDir = directory.join('state');
  mkdirSync(stateDir, { mode: 0o700 });
});

afterEach(async () => {
  await directory[Symbol.asyncDispose]();
});

const open = (clock = systemClock) =>
  Authority.open(
    { clock, log },
    { stateDir, installationId: 'ab', names: [coordinatorName], certificateLifeMs: 3_600_000 },
  );

/** A server with what an authority gives it. */
async function serve({ serverIdentity }: Authority) {
  const { certificateChain, privateKey } = serverIdentity;
  const server = createServer({ cert: certificateChain, key: privateKey });
  server.on('secureConnection', (socket: TLSSocket) => socket.on('error', () => undefined));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return { port, [Symbol.dispose]: () => void server.close() };
}

/** Whether TLS, with nothing but these certificates, takes the server for the coordinator. */
async function verifies(port: number, ca: string): Promise<boolean> {
  const socket = connect({ host: '127.0.0.1', port, ca, servername: coordinatorName });
  try {
    await once(socket, 'secureConnect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

test('everybody who trusts one of the authorities verifies the coordinator, by pin as well', async () => {
  const authority = await open();
  const generations = [authority.trusted[0]];
  for (const id of ['second', 'third']) {
    await authority.rotate(id);
    generations.push(authority.trusted[0]);
  }
  using server = await serve(authority);
  for (const { certificate, pin } of generations) {
    // By what Node's TLS does of itself: no partial chains.
    expect(await verifies(server.port, certificate)).toBe(true);
    const anchor = await examine(
      `127.0.0.1:${server.port}`,
      { kind: 'pin', pin },
      { clock: systemClock, timeoutMs: 5_000 },
      never,
    );
    expect(pinOf(new X509Certificate(anchor))).toBe(pin);
    expect(await verifies(server.port, anchor)).toBe(true);
  }
  await authority.finish('over');
  using after = await serve(authority);
  const outcomes = generations.map(({ certificate }) => verifies(after.port, certificate));
  expect(await Promise.all(outcomes)).toEqual([false, false, true]);
});

test('what was made while the clock was days ahead is good when that is set right', async () => {
  const ahead = { ...systemClock, now: () => Date.now() + 20 * 86_400_000 };
  const before = await open(ahead);
  const key = createPublicKey(makePrivateKey()).export({ type: 'spki', format: 'der' });
  const { certificatePem } = await before.issue({ kind: 'node', id: 'a' as never }, key);
  const authority = await open();
  using server = await serve(authority);
  expect(await verifies(server.port, authority.bundle)).toBe(true);
  expect(Date.parse(new X509Certificate(certificatePem).validFrom)).toBeLessThan(Date.now());
});

test('hosts whose clock is weeks behind or days ahead take what a new coordinator shows', async () => {
  const authority = await open();
  using server = await serve(authority);
  const { certificateChain: certificate } = authority.serverIdentity;
  const { validFrom, validTo } = new X509Certificate(certificate);
  expect(Date.parse(validFrom)).toBeLessThan(Date.now() - 300 * 86_400_000);
  expect(Date.parse(validTo)).toBeLessThan(Date.now() + 31 * 86_400_000);
  expect(await verifies(server.port, authority.bundle)).toBe(true);
});

test('certificates are known by the key that signed them, and until their authority is over', async () => {
  const authority = await open();
  const issue = async () => {
    const key = createPublicKey(makePrivateKey()).export({ type: 'spki', format: 'der' });
    const { certificatePem } = await authority.issue({ kind: 'node', id: 'a' as never }, key);
    return new X509Certificate(certificatePem);
  };
  const { pin: old } = authority;
  const before = await issue();
  await authority.rotate('one');
  const after = await issue();
  expect(authority.signerOf(before)).toEqual({ pin: old, trusted: true });
  expect(authority.signerOf(after)).toEqual({ pin: authority.pin, trusted: true });
  await authority.finish('two');
  expect(authority.signerOf(before)).toEqual({ pin: old, trusted: false });
  expect(authority.trusts(old)).toBe(false);
  expect((await open()).signerOf(before)).toEqual({ pin: old, trusted: false });
});

test('keys that sign nothing more are forgotten, and files are for their owner alone', async () => {
  const authority = await open();
  const path = `${stateDir}/authority.json`;
  const { signingKey } = JSON.parse(readFileSync(path, 'utf8')) as AuthorityRecord;
  await authority.rotate('one');
  const [line = ''] = signingKey.split('\n').slice(1);
  expect(readFileSync(path, 'utf8')).not.toContain(line);
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(readdirSync(stateDir).sort()).toEqual(['authority.json', 'ca.pem']);
  const published = certificatesIn(readFileSync(`${stateDir}/ca.pem`, 'utf8'));
  expect(published.map(pinOf)).toEqual(authority.trusted.map(({ pin }) => pin));
});

test('the file of the first format is read, and is of the newest after the next change', async () => {
  const authority = await open();
  const path = `${stateDir}/authority.json`;
  const { authorities, signingKey, server } = JSON.parse(
    readFileSync(path, 'utf8'),
  ) as AuthorityRecord;
  const signer = { certificate: authorities[0].certificate, privateKey: signingKey };
  writeFileSync(path, JSON.stringify({ version: 1, signer, server }));
  const read = await open();
  expect(read.pin).toBe(authority.pin);
  await read.rotate('one');
  expect((await open()).trusted.map(({ pin }) => pin)).toEqual([read.pin, authority.pin]);
});

test.each(['retired', 'vouched', 'signingKey'])('damage to "%s" is refused', async (what) => {
  const authority = await open();
  await authority.rotate('one');
  await authority.finish('two');
  await authority.rotate('three');
  const path = `${stateDir}/authority.json`;
  const record = JSON.parse(readFileSync(path, 'utf8')) as AuthorityRecord;
  const [first, ...earlier] = record.authorities;
  const damaged = {
    retired: { retired: [{ certificate: 'x' }] },
    vouched: { authorities: [{ ...first, vouched: 'x' }, ...earlier] },
    signingKey: { signingKey: makePrivateKey() },
  }[what];
  writeFileSync(path, JSON.stringify({ ...record, ...damaged }));
  await expect(open()).rejects.toMatchObject({ reason: 'KEY_FILE_DAMAGED' });
});

test('a rotation that cannot be written changes nothing', async () => {
  const authority = await open();
  const shown = authority.serverIdentity;
  // As a directory it can be neither written nor replaced, by root either.
  mkdirSync(`${stateDir}/authority.json.new`);
  await expect(authority.rotate('one')).rejects.toMatchObject({ reason: 'STORE_FULL' });
  expect(authority.serverIdentity).toEqual(shown);
  expect(authority.lastActionId).toBe('');
});

test(
  'killed at any moment, it leaves an authority that is whole',
  { timeout: 60_000 },
  async () => {
    const script = new URL('./rotator.ts', import.meta.url).pathname;
    for (const lines of [1, 2, 5]) {
      const child = spawn(process.execPath, ['--import', 'tsx', script, stateDir], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      let told = '';
      for await (const chunk of child.stdout as AsyncIterable<Buffer>) {
        told += chunk.toString();
        if (told.split('\n').length > lines) child.kill('SIGKILL');
      }
      const pins = told.trim().split('\n');
      expect(pins.length).toBeGreaterThanOrEqual(lines);
      const authority = await open();
      // What it told was on disk; one more may have been.
      expect([authority.pin, authority.trusted[1]?.pin]).toContain(pins.at(-1));
      using server = await serve(authority);
      expect(await verifies(server.port, authority.trusted.at(-1)!.certificate)).toBe(true);
    }
  },
);
