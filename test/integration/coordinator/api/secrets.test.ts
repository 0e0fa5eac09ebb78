import { readFile, writeFile } from 'node:fs/promises';
import { inspect } from 'node:util';
import SqliteDatabase from 'better-sqlite3';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ApiRole, connect, Role, type FairleadClient } from '../../../../client/index.ts';
import { takeBackup } from '../../../../coordinator/backup/backup.ts';
import { restoreBackup } from '../../../../coordinator/backup/restore.ts';
import { systemClock } from '../../../../shared/clock.ts';
import { DomainError } from '../../../../shared/errors.ts';
import { CoordinatorInProcess, type Answer } from '../../../support/coordinator-in-process.ts';
import { eventually } from '../../../support/eventually.ts';
import { TemporaryDirectory } from '../../../support/temporary-directory.ts';
import { SiteAuthority } from '../../../support/site-certificates.ts';
import { removeBuild, runCli, startCli } from '../../client/cli-process.ts';

const inEnvironment = 'planted-in-an-environment-7f3a';
const inBadRequest = 'planted-in-a-bad-request-91c4';
const authority = await SiteAuthority.make();
const site = await authority.site('www.example.com');
/** A part of the private key that is in no other. */
const inPrivateKey = site.key.split('\n')[2]!;
const wrongSecret = `planted-in-a-wrong-token-${'x'.repeat(18)}`;

const directory = new TemporaryDirectory();
const stateDir = directory.join('state');
let coordinator: CoordinatorInProcess;
let admin: FairleadClient;
/** Secrets of tokens, by the name of the token. */
const secrets = new Map<string, string>();

beforeAll(async () => {
  coordinator = await CoordinatorInProcess.start(stateDir);
  const token = (await readFile(`${stateDir}/admin.token`, 'utf8')).trim();
  secrets.set('admin', token);
  admin = await connect({ address: coordinator.address, token });
  const { control } = admin;
  const environment = { PASSWORD: inEnvironment };
  const ports = [{ containerPort: 80 }];
  await control.createService({ name: 'web', spec: { image: 'hello:1', ports, environment } });
  await control.createService({ name: 'other', spec: { image: 'hello:1' } });
  const links = [{ service: 'web', alias: 'web' }];
  const lb = { image: 'lb:1', links, apiRole: ApiRole.PROXY };
  await control.createService({ name: 'lb', spec: lb });
  await control.updateService({
    service: 'web',
    spec: { image: 'hello:2', environment: { ...environment, MORE: inEnvironment } },
    updateMask: ['image', 'environment'],
  });
  const pems = { chainPem: site.chain, privateKeyPem: site.key };
  await control.putCertificate({ name: 'site', ...pems });
  await control.putCertificate({ name: 'site', ...pems });
  const made = {
    join: { role: Role.NODE },
    viewer: { role: Role.VIEWER },
    ofOther: { role: Role.OPERATOR, services: ['other'] },
  };
  for (const [name, wish] of Object.entries(made)) {
    const { secret } = await control.createToken({ name, ...wish });
    secrets.set(name, secret);
  }
});

afterAll(async () => {
  await removeBuild();
  await admin[Symbol.asyncDispose]();
  await coordinator[Symbol.asyncDispose]();
  await directory[Symbol.asyncDispose]();
});

/** The part of each token that makes it one. */
function tokenSecrets(): string[] {
  return [...secrets.values()].map((token) => token.split('_').slice(2).join('_').slice(0, 43));
}

function ask(method: string, token: string, body: string): Promise<Answer> {
  return coordinator.fetch(`/fairlead.v1.ControlService/${method}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
    body,
  });
}

test('the private key of a certificate is in no answer, and a bad one not in the refusal', async () => {
  const token = secrets.get('admin')!;
  const shown = await (await ask('GetCertificate', token, '{"certificate":"site"}')).text();
  expect(shown).toContain('BEGIN CERTIFICATE');
  expect(shown).not.toContain(inPrivateKey);
  const broken = site.key.replace(inPrivateKey, `${inPrivateKey}!`);
  for (const privateKeyPem of [broken, inPrivateKey]) {
    const request = { name: 'bad', chainPem: site.chain, privateKeyPem };
    const answer = await ask('PutCertificate', token, JSON.stringify(request));
    expect(answer.status).toBe(400);
    expect(await answer.text()).not.toContain(inPrivateKey);
  }
});

test('what is wrong with a request is told without its values', async () => {
  const bodies = [
    `{"name": "x", "spec": {"environment": {"PASSWORD": "${inBadRequest}"`,
    `{"name": "x", "spec": {"environment": "${inBadRequest}"}}`,
    `{"name": "x", "spec": {"environment": {"PASSWORD": ["${inBadRequest}"]}}}`,
    `{"name": "x", "spec": {"replicas": "${inBadRequest}"}}`,
    `{"name": "x", "spec": {"image": "hello:1", "environment": {"BAD NAME": "${inBadRequest}"}}}`,
    `{"name": "x", "spec": {"image": "hello:1", "environment": {"A": "${inBadRequest}\\u0000"}}}`,
    `"${inBadRequest}"`,
  ];
  for (const body of bodies) {
    const response = await ask('CreateService', secrets.get('admin')!, body);
    const text = await response.text();
    expect(response.status, text).toBe(400);
    expect(text).not.toContain(inBadRequest);
  }
});

test('what is refused is told without what it would have done', async () => {
  const environment = { PASSWORD: inBadRequest };
  const update = { service: 'web', spec: { environment }, updateMask: 'environment' };
  const certificate = { name: 'refused', chainPem: site.chain, privateKeyPem: site.key };
  const refusals = [
    ['viewer', 'UpdateService', update, 403],
    ['ofOther', 'UpdateService', update, 403],
    ['ofOther', 'CreateService', { name: 'x', spec: { image: 'hello:1', environment } }, 403],
    ['viewer', 'PutCertificate', certificate, 403],
    ['admin', 'UpdateService', { ...update, options: { version: 99 } }, 409],
    ['admin', 'UpdateService', { ...update, service: 'none' }, 404],
    ['admin', 'CreateService', { name: 'web', spec: { image: 'hello:1', environment } }, 409],
  ] as const;
  for (const [who, method, request, status] of refusals) {
    const answer = await ask(method, secrets.get(who)!, JSON.stringify(request));
    const text = await answer.text();
    expect([answer.status, method, who], text).toEqual([status, method, who]);
    expect(text).not.toContain(inBadRequest);
    expect(text).not.toContain(inPrivateKey);
  }
});

test('a backup or a restore that fails says nothing of what is in it', async () => {
  const whole = directory.join('backup');
  await takeBackup({ stateDir, file: whole }, AbortSignal.timeout(30_000));
  const content = await readFile(whole);
  const damaged = directory.join('damaged');
  const token = directory.join('token');
  await writeFile(damaged, content.subarray(0, content.length - 1_000));
  await writeFile(token, secrets.get('admin')!);
  const restore = (file: string, to = directory.join('elsewhere')) =>
    restoreBackup({ stateDir: to, file, force: false }, { clock: systemClock });
  const failures = [
    () =>
      takeBackup({ stateDir, file: directory.join('no', 'such') }, new AbortController().signal),
    () => restore(damaged),
    () => restore(token),
    // One runs there.
    () => restore(whole, stateDir),
  ];
  for (const attempt of failures) {
    const error = await attempt().then(
      () => new Error('it did not fail'),
      (reason: unknown) => reason,
    );
    expect(error).toBeInstanceOf(DomainError);
    const said = inspect(error, { depth: 5 });
    for (const secret of [...tokenSecrets(), inEnvironment, inPrivateKey]) {
      expect(said).not.toContain(secret);
    }
  }
});

test('a wrong token is nowhere to be found, and is not in the words of the command line', async () => {
  const pin = secrets.get('admin')!.slice(-43);
  const wrong = `flt_0123456789abcdef_${wrongSecret.slice(0, 43)}_${pin}`;
  const refused = await ask('GetInfo', wrong, '{}');
  expect(await refused.text()).not.toContain(wrongSecret);
  const env = { FAIRLEAD_ADDRESS: coordinator.address, FAIRLEAD_TOKEN: wrong };
  const { stdout, stderr, status } = await runCli(['info'], { env });
  expect(status).toBe(4);
  expect(stdout + stderr).not.toContain(wrongSecret);
});

test('the list of processes shows no token', async () => {
  const env = {
    FAIRLEAD_ADDRESS: coordinator.address,
    FAIRLEAD_TOKEN_FILE: `${stateDir}/admin.token`,
  };
  await using watching = await startCli(['service', 'ls', '--watch', '--json'], { env });
  await eventually(() => {
    expect(watching.documents().length).toBeGreaterThan(0);
  });
  const cmdline = await readFile(`/proc/${watching.pid}/cmdline`, 'utf8');
  expect(cmdline).toContain('--watch');
  for (const secret of tokenSecrets()) expect(cmdline).not.toContain(secret);
});

test('the log has no secret, at its most talkative', () => {
  const log = coordinator.log();
  expect(log).toContain('CreateToken');
  const all = [...tokenSecrets(), inEnvironment, inBadRequest, inPrivateKey, wrongSecret];
  for (const secret of all) {
    expect(log).not.toContain(secret);
  }
});

test('the database has environments in definitions alone, and no secret of a token', async () => {
  const key = (await readFile(`${stateDir}/token.key`, 'utf8')).trim();
  await coordinator[Symbol.asyncDispose]();
  using database = asDisposable(new SqliteDatabase(`${stateDir}/fairlead.db`, { readonly: true }));
  const tables = database.value
    .prepare(`SELECT name FROM sqlite_master WHERE type = 'table'`)
    .pluck()
    .all() as string[];
  expect(tables).toContain('actions');
  const found = new Set<string>();
  for (const table of tables) {
    const rows = JSON.stringify(database.value.prepare(`SELECT * FROM ${table}`).all());
    if (rows.includes(inEnvironment)) found.add(table);
    for (const secret of [...tokenSecrets(), key, inBadRequest, inPrivateKey, wrongSecret]) {
      expect(rows, table).not.toContain(secret);
    }
  }
  expect([...found].sort()).toEqual(['service_revisions', 'services']);
});

function asDisposable(value: SqliteDatabase.Database) {
  return { value, [Symbol.dispose]: () => void value.close() };
}
