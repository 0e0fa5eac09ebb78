import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  ApiRole,
  CertificateSource,
  connect,
  type FairleadClient,
} from '../../../../client/index.ts';
import { CoordinatorInProcess } from '../../../support/coordinator-in-process.ts';
import { eventually } from '../../../support/eventually.ts';
import { SiteAuthority, type Site } from '../../../support/site-certificates.ts';
import { TemporaryDirectory } from '../../../support/temporary-directory.ts';

const authority = await SiteAuthority.make();
const first = await authority.site(['www.example.com', 'example.com']);
const renewed = await authority.site(['www.example.com', 'example.com']);
const expired = await authority.site('www.example.com', { fromDays: -20, toDays: -1 });
const ending = await authority.site('soon.example.com', { fromDays: -83, toDays: 6 });

const directory = new TemporaryDirectory();
const stateDir = directory.join('state');
const certificatesFolder = directory.join('folder');
let coordinator: CoordinatorInProcess;
let client: FairleadClient;

async function start(): Promise<void> {
  coordinator = await CoordinatorInProcess.start(stateDir, { certificatesFolder });
  const token = readFileSync(`${stateDir}/admin.token`, 'utf8').trim();
  client = await connect({ address: coordinator.address, token });
}

async function stop(): Promise<void> {
  await client[Symbol.asyncDispose]();
  await coordinator[Symbol.asyncDispose]();
}

beforeAll(async () => {
  mkdirSync(certificatesFolder);
  await start();
});

afterAll(async () => {
  await stop();
  await directory[Symbol.asyncDispose]();
});

function put(name: string, { chain, key }: Pick<Site, 'chain' | 'key'>, more: object = {}) {
  return client.control.putCertificate({ name, chainPem: chain, privateKeyPem: key, ...more });
}

async function typesOf(name: string): Promise<string[]> {
  const { events } = await client.control.listEvents({});
  return events.filter(({ objectName }) => objectName === name).map(({ type }) => type);
}

test('a certificate is put, seen, replaced under its id, and removed', async () => {
  const { certificate: made, action } = await put('site', first);
  expect(made).toMatchObject({
    name: 'site',
    hosts: ['www.example.com', 'example.com'],
    issuer: 'CN=Test issuer',
    serialNumber: first.serialNumber,
    keyType: 'EC P-256',
    chainLength: 2,
    source: CertificateSource.CALLER,
    services: [],
    stranded: false,
    version: 1,
  });
  expect(action).toMatchObject({ method: 'PutCertificate', targetKind: 'certificate' });

  const options = { version: 1 };
  const { certificate: replaced } = await put('site', renewed, { options });
  expect(replaced).toMatchObject({ id: made!.id, version: 2, serialNumber: renewed.serialNumber });
  await expect(put('site', first, { options })).rejects.toMatchObject({
    reason: 'VERSION_MISMATCH',
  });
  await expect(put('new', first, { options })).rejects.toMatchObject({
    reason: 'VERSION_MISMATCH',
  });
  const read = await client.control.getCertificate({ certificate: made!.id });
  expect(read.chainPem).toBe(renewed.chain);
  expect(JSON.stringify(read)).not.toContain('PRIVATE');
  expect((await client.control.listCertificates({})).certificates).toEqual([read.certificate]);

  const dry = await put('site', first, { options: { dryRun: true } });
  expect(dry.certificate?.serialNumber).toBe(first.serialNumber);
  await client.control.removeCertificate({ certificate: 'site', options: { dryRun: true } });
  expect((await client.control.listCertificates({})).certificates).toEqual([read.certificate]);

  await client.control.removeCertificate({ certificate: 'site', options: { version: 2 } });
  expect((await client.control.listCertificates({})).certificates).toEqual([]);
  await expect(client.control.getCertificate({ certificate: 'site' })).rejects.toMatchObject({
    reason: 'CERTIFICATE_NOT_FOUND',
  });
  expect(await typesOf('site')).toEqual([
    'certificate.created',
    'certificate.replaced',
    'certificate.removed',
  ]);
});

test('a request that is sent again is carried out once', async () => {
  const options = { requestId: 'put-once' };
  const { action } = await put('once', first, { options });
  const again = await put('once', first, { options });
  expect(again.action?.id).toBe(action?.id);
  expect(again.certificate?.version).toBe(1);
  await client.control.removeCertificate({ certificate: 'once' });
});

test('what is wrong is refused with its field, and the one before stays', async () => {
  const { certificate: before } = await put('kept', first);
  const refusal = (...fields: string[]) => ({
    reason: 'INVALID_REQUEST',
    violations: fields.map((field) => expect.objectContaining({ field }) as unknown),
  });
  await expect(put('kept', expired)).rejects.toMatchObject(refusal('chain_pem'));
  await expect(put('kept', { chain: first.chain, key: renewed.key })).rejects.toMatchObject(
    refusal('private_key_pem'),
  );
  await expect(put('Bad Name', { chain: first.chain, key: renewed.key })).rejects.toMatchObject(
    refusal('name', 'private_key_pem'),
  );
  const others = { chain: first.pem + ending.pem, key: first.key };
  await expect(put('kept', others)).rejects.toMatchObject(refusal('chain_pem'));
  const kept = await client.control.getCertificate({ certificate: 'kept' });
  expect(kept).toEqual({ certificate: before, chainPem: first.chain });
  // Without its issuer some clients refuse it, and others do not: that is said.
  const { certificate } = await put('kept', { chain: renewed.pem, key: renewed.key });
  expect(certificate).toMatchObject({ serialNumber: renewed.serialNumber, chainLength: 1 });
  expect(certificate?.warnings).toEqual([expect.stringContaining('chain may be incomplete')]);
  await client.control.removeCertificate({ certificate: 'kept' });
});

test('it can be limited to load balancers, and is handed to nobody when those are gone', async () => {
  const { control } = client;
  const spec = { image: 'lb:1', apiRole: ApiRole.PROXY };
  await control.createService({ name: 'lb', spec });
  await control.createService({ name: 'web', spec: { image: 'web:1' } });
  await expect(put('own', first, { services: ['web'] })).rejects.toMatchObject({
    reason: 'SERVICE_NOT_A_LOAD_BALANCER',
  });
  const { certificate } = await put('own', first, { services: ['lb'] });
  expect(certificate).toMatchObject({ services: ['lb'], stranded: false });
  await control.removeService({ service: 'lb' });
  await eventually(async () => {
    const answer = await control.getCertificate({ certificate: 'own' });
    expect(answer.certificate).toMatchObject({ services: [], stranded: true });
  });
  await control.removeCertificate({ certificate: 'own' });
});

test('an end that is near is told once, also over restarts', async () => {
  const { certificate } = await put('ending', ending);
  expect(certificate?.warnings[0]).toMatch(/^expires on \d{4}-\d\d-\d\d, in 5 days$/);
  await eventually(async () => {
    expect(await typesOf('ending')).toEqual(['certificate.created', 'certificate.expiring']);
  });
  expect(coordinator.log()).toContain('certificate expires on');
  await stop();
  await start();
  await put('other', first);
  await put('other', renewed);
  expect(await typesOf('ending')).toEqual(['certificate.created', 'certificate.expiring']);
  await client.control.removeCertificate({ certificate: 'ending' });
  await client.control.removeCertificate({ certificate: 'other' });
});

test('the folder is followed, and what is in it is changed there alone', async () => {
  const stopWatching = new AbortController();
  const seen: string[][] = [];
  const watching = (async () => {
    for await (const { items } of client.watchCertificates({}, stopWatching.signal)) {
      seen.push([...items.values()].map(({ name }) => name));
    }
  })().catch(() => undefined);
  await eventually(() => {
    expect(seen).toEqual([[]]);
  });
  writeFileSync(`${certificatesFolder}/site.new`, first.chain + first.key);
  renameSync(`${certificatesFolder}/site.new`, `${certificatesFolder}/site.pem`);
  await eventually(() => {
    expect(seen).toEqual([[], ['site']]);
  });
  stopWatching.abort();
  await watching;
  expect((await client.control.getCertificate({ certificate: 'site' })).certificate).toMatchObject({
    source: CertificateSource.FOLDER,
    serialNumber: first.serialNumber,
  });
  const refusal = { reason: 'CERTIFICATE_IN_FOLDER' };
  await expect(put('site', renewed)).rejects.toMatchObject(refusal);
  await expect(client.control.removeCertificate({ certificate: 'site' })).rejects.toMatchObject(
    refusal,
  );
});

test('without the key of its database a coordinator does not start', async () => {
  await stop();
  const path = `${stateDir}/certificates.key`;
  renameSync(path, `${path}.away`);
  await expect(CoordinatorInProcess.start(stateDir)).rejects.toMatchObject({
    reason: 'KEY_FILE_DAMAGED',
  });
  renameSync(`${path}.away`, path);
  await start();
  expect((await client.control.listCertificates({})).certificates).toHaveLength(1);
});
