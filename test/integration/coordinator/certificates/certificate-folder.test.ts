import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pino } from 'pino';
import { beforeEach, expect, test } from 'vitest';
import { CertificateFolder } from '../../../../coordinator/certificates/certificate-folder.ts';
import { certificateRecord } from '../../../../coordinator/certificates/certificate-records.ts';
import { examineCertificate } from '../../../../coordinator/certificates/examine.ts';
import { SealingKey } from '../../../../coordinator/certificates/sealing-key.ts';
import { Store } from '../../../../coordinator/store/store.ts';
import { systemClock } from '../../../../shared/clock.ts';
import type { CertificateId } from '../../../../shared/ids.ts';
import { systemRandom } from '../../../../shared/random.ts';
import { SiteAuthority, type Site } from '../../../support/site-certificates.ts';
import { TemporaryDirectory } from '../../../support/temporary-directory.ts';

const authority = await SiteAuthority.make();
const one = await authority.site('one.example.com');
const two = await authority.site('two.example.com');
const next = await authority.site('one.example.com');

let folder: string;
let store: Store;
let followed: CertificateFolder;
let sealing: SealingKey;

beforeEach(async () => {
  const directory = new TemporaryDirectory();
  folder = directory.join('folder');
  mkdirSync(folder);
  store = new Store(':memory:', { clock: systemClock });
  sealing = SealingKey.open(directory.path, []);
  restart();
  await Promise.resolve();
  return async () => {
    store[Symbol.dispose]();
    await directory[Symbol.asyncDispose]();
  };
});

/** A coordinator that begins anew, with what is stored. */
function restart(): void {
  const deps = { store, sealing, clock: systemClock, random: systemRandom };
  followed = new CertificateFolder({ ...deps, log: pino({ level: 'silent' }) }, folder);
}

/** Serial numbers by name, as stored. */
function stored(): Record<string, string> {
  return Object.fromEntries(
    [...store.certificates.values()].map(({ name, facts }) => [name, facts.serialNumber]),
  );
}

function events(): string[] {
  return store.events
    .after(0, {}, 100)
    .events.map(({ type, objectName }) => `${type} ${objectName}`);
}

function said(): string {
  return store.events.after(0, {}, 100).events.at(-1)?.message ?? '';
}

function write(name: string, text: string): void {
  writeFileSync(join(folder, name), text);
}

/** As certbot has it: links to numbered files elsewhere. */
function live(name: string, { chain, key }: Pick<Site, 'chain' | 'key'>, number: number): void {
  const archive = join(folder, '..', 'archive', name);
  mkdirSync(archive, { recursive: true });
  mkdirSync(join(folder, name), { recursive: true });
  for (const [file, text] of [['fullchain', chain] as const, ['privkey', key] as const]) {
    const numbered = join(archive, `${file}${number}.pem`);
    writeFileSync(numbered, text);
    const link = join(folder, name, `${file}.pem`);
    symlinkSync(numbered, `${link}.tmp`);
    renameSync(`${link}.tmp`, link);
  }
}

test('takes every form that certificates come in, and passes over the rest', async () => {
  live('one.example.com', one, 1);
  write('README', 'This directory contains your keys and certificates.');
  write('both.pem', one.key + one.chain);
  write('pair.crt', two.chain);
  write('pair.key', two.key);
  write('split.pem', two.chain);
  write('split.key', two.key);
  write('.hidden.pem', 'hello');
  mkdirSync(join(folder, 'secret'));
  write('secret/tls.crt', two.chain);
  write('secret/tls.key', two.key);
  mkdirSync(join(folder, 'empty'));
  await followed.look();
  expect(stored()).toEqual({
    'one.example.com': one.serialNumber,
    both: one.serialNumber,
    pair: two.serialNumber,
    split: two.serialNumber,
    secret: two.serialNumber,
  });
  expect(followed.has('both')).toBe(true);
  const both = store.certificateNamed('both')!;
  expect(both.source).toBe('folder');
  expect(sealing.unseal({ id: both.id, text: both.sealedKey })).toBe(one.key);
});

test('follows a renewal, under the same id, and does nothing when nothing changes', async () => {
  live('one', one, 1);
  await followed.look();
  const { id, version } = store.certificateNamed('one')!;
  await followed.look();
  restart();
  await followed.look();
  expect(store.certificateNamed('one')).toMatchObject({ id, version });
  expect(events()).toEqual(['certificate.created one']);

  live('one', next, 2);
  await followed.look();
  expect(stored()).toEqual({ one: next.serialNumber });
  expect(store.certificateNamed('one')).toMatchObject({ id, version: version + 1 });
  expect(events().at(-1)).toBe('certificate.replaced one');
});

test('bad files leave the old certificate in place; half of a new one is waited for', async () => {
  write('one.crt', one.chain);
  write('one.key', one.key);
  await followed.look();

  // The renewal is being written: the key is still the old one.
  write('one.crt', next.chain);
  await followed.look();
  expect(stored()).toEqual({ one: one.serialNumber });
  expect(events()).toEqual(['certificate.created one']);
  write('one.key', next.key);
  await followed.look();
  expect(stored()).toEqual({ one: next.serialNumber });

  write('one.key', two.key);
  await followed.look();
  await followed.look();
  await followed.look();
  expect(stored()).toEqual({ one: next.serialNumber });
  expect(events().slice(2)).toEqual(['certificate.refused one']);
  expect(said()).toMatch(/private_key_pem must be the key of the first certificate/);

  write('one.key', next.key);
  await followed.look();
  write('one.key', 'hello');
  await followed.look();
  await followed.look();
  expect(said()).toMatch(/must be a private key in PEM/);
  rmSync(join(folder, 'one.key'));
  await followed.look();
  await followed.look();
  expect(said()).toMatch(/private_key_pem is required/);
  expect(stored()).toEqual({ one: next.serialNumber });
});

test('a chain of which less is there than before is waited for, wherever it is cut', async () => {
  write('one.crt', one.chain);
  write('one.key', one.key);
  await followed.look();
  const { chainPem } = store.certificateNamed('one')!;

  // The key comes first, and the chain a piece at a time: without an end, and without the issuer.
  write('one.key', next.key);
  for (const end of [next.pem.length + 40, next.chain.length - 30, next.pem.length]) {
    write('one.crt', next.chain.slice(0, end));
    await followed.look();
    expect(store.certificateNamed('one')?.chainPem).toBe(chainPem);
  }
  write('one.crt', next.chain);
  await followed.look();
  expect(store.certificateNamed('one')?.chainPem).toBe(next.chain);
  expect(events()).toEqual(['certificate.created one', 'certificate.replaced one']);

  // What stays so is meant so, or is said.
  write('one.crt', next.pem);
  await followed.look();
  await followed.look();
  expect(store.certificateNamed('one')?.chainPem).toBe(next.pem);
  write('one.crt', next.chain.slice(0, -30));
  await followed.look();
  await followed.look();
  expect(said()).toBe('chain_pem must be whole: a block begins that does not end');
  expect(store.certificateNamed('one')?.chainPem).toBe(next.pem);
});

test('links that are replaced one after another, each gone for a moment, are said to nobody', async () => {
  live('one', one, 1);
  write('two.pem', two.chain + two.key);
  await followed.look();
  const archive = join(folder, '..', 'archive', 'one');
  for (const [file, text] of [['privkey', next.key] as const, ['fullchain', next.chain] as const]) {
    rmSync(join(folder, 'one', `${file}.pem`));
    await followed.look();
    writeFileSync(join(archive, `${file}2.pem`), text);
    symlinkSync(join(archive, `${file}2.pem`), join(folder, 'one', `${file}.pem`));
    await followed.look();
  }
  expect(stored()).toEqual({ one: next.serialNumber, two: two.serialNumber });
  expect(events()).toEqual([
    'certificate.created one',
    'certificate.created two',
    'certificate.replaced one',
  ]);

  rmSync(join(archive, 'privkey2.pem'));
  await followed.look();
  await followed.look();
  expect(events().slice(3)).toEqual(['certificate.refused one']);
  expect(said()).toMatch(/ENOENT.*privkey\.pem/);
});

test('what is gone from the folder is removed; an empty or missing folder takes nothing', async () => {
  write('one.pem', one.chain + one.key);
  write('two.pem', two.chain + two.key);
  await followed.look();
  rmSync(join(folder, 'one.pem'));
  await followed.look();
  expect(Object.keys(stored())).toEqual(['one', 'two']);
  await followed.look();
  expect(Object.keys(stored())).toEqual(['two']);
  expect(events().at(-1)).toBe('certificate.removed one');

  renameSync(folder, `${folder}.away`);
  for (let i = 0; i < 3; i++) await followed.look();
  expect(said()).toMatch(/the folder cannot be read: ENOENT.*what came from it stays/);
  mkdirSync(folder);
  for (let i = 0; i < 3; i++) await followed.look();
  expect(said()).toMatch(/the folder is empty; what came from it stays/);
  expect(Object.keys(stored())).toEqual(['two']);

  write('one.pem', one.chain + one.key);
  await followed.look();
  expect(Object.keys(stored()).sort()).toEqual(['one', 'two']);
});

test('a restart removes what went meanwhile, though not at first sight', async () => {
  write('one.pem', one.chain + one.key);
  write('two.pem', two.chain + two.key);
  await followed.look();
  rmSync(join(folder, 'one.pem'));
  restart();
  await followed.look();
  expect(Object.keys(stored())).toEqual(['one', 'two']);
  await followed.look();
  expect(Object.keys(stored())).toEqual(['two']);
});

test('a certificate of a caller is not replaced, and odd names are said', async () => {
  const id = 'id' as CertificateId;
  const usable = examineCertificate(
    { chainPem: one.chain, privateKeyPem: one.key },
    Date.now(),
    [],
  );
  const content = { usable: usable!, source: 'caller', serviceIds: [] } as const;
  store.transact((tx) => {
    tx.certificates.put(certificateRecord({ id, name: 'one' }, content, { sealing, nowMs: 0 }));
  });
  write('one.pem', two.chain + two.key);
  write('b d.pem', two.chain + two.key);
  await followed.look();
  await followed.look();
  expect(stored()).toEqual({ one: one.serialNumber });
  expect(events()).toEqual(['certificate.refused one', 'certificate.refused b d']);
});
