import 'reflect-metadata';
import { createPublicKey, webcrypto, X509Certificate } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import {
  BasicConstraintsExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  X509Certificate as Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509';
import { ClientError, createClient, Status } from 'nice-grpc';
import { afterAll, expect, test } from 'vitest';
import { ActionState, ApiRole, connect, Role, type FairleadClient } from '../../../client/index.ts';
import { takeBackup } from '../../../coordinator/backup/backup.ts';
import { restoreBackup } from '../../../coordinator/backup/restore.ts';
import { issueCertificate } from '../../../coordinator/identity/certificates.ts';
import type { AuthorityRecord } from '../../../coordinator/identity/authority-record.ts';
import { Store } from '../../../coordinator/store/store.ts';
import { systemClock } from '../../../shared/clock.ts';
import { AgentServiceDefinition } from '../../../shared/gen/fairlead/v1/agent_service.ts';
import { NodeState } from '../../../shared/gen/fairlead/v1/node.ts';
import type { ActionId } from '../../../shared/ids.ts';
import { systemRandom } from '../../../shared/random.ts';
import { openChannel, type ClientCertificate } from '../../../shared/rpc/client.ts';
import { makePrivateKey, signingRequest } from '../../../shared/rpc/signing-request.ts';
import { certificatesIn } from '../../../shared/rpc/trust.ts';
import { CoordinatorInProcess } from '../../support/coordinator-in-process.ts';
import { eventually } from '../../support/eventually.ts';
import { TemporaryDirectory } from '../../support/temporary-directory.ts';
import { AgentInProcess } from '../agent/node/agent-in-process.ts';
import { SessionInProcess } from '../agent/proxy/session-in-process.ts';
import { removeBuild, runCli } from '../client/cli-process.ts';

afterAll(removeBuild);

/** Agents renew within 10 s of a rotation. */
const patience = { timeoutMs: 45_000 };
const long = { timeout: 120_000 };
const never = new AbortController().signal;

interface KeptIdentity extends ClientCertificate {
  readonly trustPem: string;
}

/** A coordinator that can be stopped and started at its address, and hosts without engines. */
class Fleet implements AsyncDisposable {
  readonly directory = new TemporaryDirectory();
  coordinator!: CoordinatorInProcess;
  client!: FairleadClient;
  #listen = '127.0.0.1:0';
  readonly #lifeSeconds: number;
  readonly #others: AsyncDisposable[] = [];

  private constructor(lifeSeconds: number) {
    this.#lifeSeconds = lifeSeconds;
  }

  static async start(lifeSeconds = 3_600): Promise<Fleet> {
    const fleet = new Fleet(lifeSeconds);
    await fleet.startCoordinator();
    return fleet;
  }

  get stateDir(): string {
    return this.directory.join('coordinator');
  }

  get adminToken(): string {
    return readFileSync(`${this.stateDir}/admin.token`, 'utf8').trim();
  }

  get address(): string {
    return this.coordinator.address;
  }

  async startCoordinator(): Promise<void> {
    const more = { listen: this.#listen, certificateLifeSeconds: this.#lifeSeconds };
    this.coordinator = await CoordinatorInProcess.start(this.stateDir, more);
    this.#listen = this.coordinator.address;
    this.client = await connect({ address: this.#listen, token: this.adminToken });
  }

  async stopCoordinator(): Promise<void> {
    await this.client[Symbol.asyncDispose]();
    await this.coordinator[Symbol.asyncDispose]();
  }

  /**
   * An agent that joins, or comes back if it did before. It renews its certificate after this part of the
   * 10 s that it has after a rotation.
   */
  async agent(name: string, fraction = () => 0.1): Promise<AgentInProcess> {
    const token = await this.token(`join-${name}-${performance.now()}`, Role.NODE);
    const flags = { coordinator: this.#listen, token, name, stateDir: this.directory.join(name) };
    const dockerSocket = this.directory.join('no-engine.sock');
    const agent = new AgentInProcess({ ...flags, dockerSocket }, systemClock, {
      ...systemRandom,
      fraction,
    });
    this.#others.push(agent);
    await eventually(() => {
      expect(agent.logged('session begins').length, agent.log()).toBeGreaterThan(0);
    }, patience);
    return agent;
  }

  /** A proxy of a load balancer that is there for it. */
  async proxy(token: string): Promise<SessionInProcess> {
    const trustFile = this.directory.join('trust.json');
    const proxy = new SessionInProcess({ coordinator: this.#listen, token, trustFile });
    this.#others.push(proxy);
    await eventually(() => {
      expect(proxy.logged('session begins').length, proxy.log.join('')).toBeGreaterThan(0);
    }, patience);
    return proxy;
  }

  async token(name: string, role: Role, services: string[] = []): Promise<string> {
    return (await this.client.control.createToken({ name, role, services })).secret;
  }

  async proxyToken(): Promise<string> {
    const spec = { image: 'lb:1', apiRole: ApiRole.PROXY };
    await this.client.control.createService({ name: 'lb', spec });
    return await this.token('proxy', Role.PROXY, ['lb']);
  }

  kept(name: string): KeptIdentity {
    return JSON.parse(readFileSync(this.directory.join(name, 'node.json'), 'utf8')) as KeptIdentity;
  }

  async trust() {
    const { trust } = await this.client.control.getTrust({});
    return trust!.authorities;
  }

  /** The only one who depends on what. */
  async users(): Promise<string[][]> {
    return (await this.trust()).map(({ users }) => users);
  }

  async rotate(): Promise<void> {
    const { action } = await this.client.control.rotateAuthority({});
    expect(action?.state).toBe(ActionState.SUCCEEDED);
  }

  async eventTypes(): Promise<string[]> {
    const { events } = await this.client.control.listEvents({ limit: 1_000 });
    return events.map(({ type }) => type);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const other of this.#others.reverse()) {
      await Promise.allSettled([other[Symbol.asyncDispose]()]);
    }
    await this.stopCoordinator();
    await this.directory[Symbol.asyncDispose]();
  }
}

/** What a call of a node with this certificate is answered. */
async function renewalBy(
  fleet: Fleet,
  certificate: ClientCertificate,
): Promise<{ code: Status; reason: string; details: string }> {
  const trust = { kind: 'bundle', pem: fleet.coordinator.authorities } as const;
  const deps = { clock: systemClock, timeoutMs: 5_000 };
  const channel = await openChannel({ address: fleet.address, trust, certificate }, deps, never);
  let reason = '';
  try {
    const client = createClient(AgentServiceDefinition, channel);
    await client.renewCertificate(
      { signingRequestPem: signingRequest(makePrivateKey()) },
      { onTrailer: (trailer) => (reason = trailer.get('error-reason') ?? '') },
    );
    return { code: Status.OK, reason, details: '' };
  } catch (error) {
    if (!(error instanceof ClientError)) throw error;
    return { code: error.code, reason, details: error.details };
  } finally {
    channel.close();
  }
}

function lost(agent: AgentInProcess | SessionInProcess): unknown[] {
  return ['session lost', 'session refused', 'no session with the coordinator'].flatMap((message) =>
    agent.logged(message),
  );
}

test('an authority is replaced while agents and proxies are connected', long, async () => {
  await using fleet = await Fleet.start();
  const oldPinned = fleet.adminToken;
  const proxyToken = await fleet.proxyToken();
  const agents = [await fleet.agent('host-1'), await fleet.agent('host-2', () => 0.5)];
  let proxy = await fleet.proxy(proxyToken);
  const [before] = await fleet.trust();
  expect(before).toMatchObject({ nodes: 2, proxies: 1, pin: oldPinned.slice(-43) });

  await fleet.rotate();
  // One of them takes its time.
  await expect(fleet.client.control.finishRotation({})).rejects.toMatchObject({
    code: Status.FAILED_PRECONDITION,
    reason: 'AUTHORITY_IN_USE',
    message: expect.stringMatching(/are in use by (node host-1, )?node host-2/) as string,
  });
  await eventually(async () => {
    expect(await fleet.users()).toEqual([['node host-1', 'node host-2', 'proxy lb-1'], []]);
  }, patience);
  for (const agent of [...agents, proxy]) {
    expect(lost(agent)).toEqual([]);
    // The one that the new certificate was tried with.
    expect(agent.logged('session begins')).toHaveLength(2);
  }
  const [now, old] = await fleet.trust();
  expect(old?.pin).toBe(before?.pin);
  expect(certificatesIn(fleet.kept('host-1').trustPem)).toHaveLength(2);
  expect(fleet.adminToken).toBe(oldPinned.slice(0, -43) + now!.pin);
  // Tokens know the coordinator by either pin.
  for (const token of [oldPinned, fleet.adminToken]) {
    await using client = await connect({ address: fleet.address, token });
    expect((await client.control.getInfo({})).principal).toBe('admin');
  }

  const { action } = await fleet.client.control.finishRotation({});
  expect(action).toMatchObject({ method: 'FinishRotation', principal: 'admin' });
  await eventually(() => {
    expect(certificatesIn(fleet.kept('host-2').trustPem)).toHaveLength(1);
  }, patience);
  await using newcomer = await connect({ address: fleet.address, token: fleet.adminToken });
  for (const name of ['host-1', 'host-2']) {
    // There is no engine: more than that it is connected is not to be had.
    const { node } = await newcomer.control.getNode({ node: name });
    expect(node?.state).toBe(NodeState.ENGINE_AWAY);
  }
  await expect(connect({ address: fleet.address, token: oldPinned })).rejects.toMatchObject({
    reason: 'COORDINATOR_NOT_TRUSTED',
    message: expect.stringContaining('put the pin that "fairlead ca ls" shows') as string,
  });
  // A proxy has learned whom to trust, whatever the end of its token says.
  await proxy[Symbol.asyncDispose]();
  proxy = await fleet.proxy(proxyToken);
  for (const agent of [...agents, proxy]) expect(lost(agent)).toEqual([]);
  expect(await fleet.eventTypes()).toEqual(
    expect.arrayContaining([
      'authority.rotated',
      'authority.retired',
      'authority.rotation-finished',
    ]),
  );
});

test('an agent that was away for two rotations finds its way back', long, async () => {
  await using fleet = await Fleet.start();
  const agent = await fleet.agent('host-1');
  const oldPinned = fleet.adminToken;
  await agent[Symbol.asyncDispose]();
  const first = fleet.kept('host-1');
  await fleet.rotate();
  const middlePinned = fleet.adminToken;
  await fleet.rotate();
  expect(fleet.kept('host-1')).toEqual(first);
  expect(await fleet.users()).toEqual([[], [], ['node host-1']]);
  await expect(fleet.client.control.rotateAuthority({})).rejects.toMatchObject({
    code: Status.FAILED_PRECONDITION,
    reason: 'TOO_MANY_AUTHORITIES',
  });
  for (const token of [oldPinned, middlePinned, fleet.adminToken]) {
    await using client = await connect({ address: fleet.address, token });
    await client.control.getInfo({});
  }

  const again = await fleet.agent('host-1');
  await eventually(async () => {
    expect(await fleet.users()).toEqual([['node host-1'], [], []]);
  }, patience);
  expect(lost(again)).toEqual([]);
  await eventually(() => {
    const { trustPem, certificatePem } = fleet.kept('host-1');
    const [signer, ...others] = certificatesIn(trustPem);
    expect(others).toHaveLength(2);
    expect(new X509Certificate(certificatePem).verify(signer!.publicKey)).toBe(true);
  });
  await fleet.client.control.finishRotation({});
  expect(await fleet.users()).toEqual([['node host-1']]);
});

test('the old authority is over by itself when its certificates are', long, async () => {
  await using fleet = await Fleet.start(8);
  const agent = await fleet.agent('host-1');
  const [old] = await fleet.trust();
  await fleet.rotate();
  const [, replaced] = await fleet.trust();
  expect(replaced!.trustedUntil!.getTime() - replaced!.replacedAt!.getTime()).toBe(8_000);
  await eventually(async () => {
    expect((await fleet.trust()).map(({ pin }) => pin)).not.toContain(old?.pin);
  }, patience);
  expect(await fleet.eventTypes()).toContain('authority.retired');
  expect(lost(agent)).toEqual([]);
  await expect(fleet.client.control.finishRotation({})).rejects.toMatchObject({
    code: Status.FAILED_PRECONDITION,
    reason: 'NO_ROTATION',
  });
});

test('who missed the rotation is cut by force, and told why', long, async () => {
  await using fleet = await Fleet.start();
  const away = await fleet.agent('away');
  await away[Symbol.asyncDispose]();
  const there = await fleet.agent('there', () => 0.99);
  const oldKey = (JSON.parse(authorityFile(fleet)) as AuthorityRecord).signingKey;
  const [old] = await fleet.trust();
  await fleet.rotate();
  const forced = performance.now();
  await fleet.client.control.finishRotation({ force: true });
  await eventually(() => {
    const [refused] = there.logged('session refused');
    expect(refused?.['reason']).toContain('trusted no more');
  });
  expect(performance.now() - forced).toBeLessThan(2_000);

  const refusal = await renewalBy(fleet, fleet.kept('away'));
  expect(refusal).toMatchObject({ code: Status.UNAUTHENTICATED, reason: 'AUTHORITY_RETIRED' });
  expect(refusal.details).toContain('of an authority that was replaced');
  const flags = {
    coordinator: fleet.address,
    name: 'away',
    stateDir: fleet.directory.join('away'),
  };
  await using back = new AgentInProcess({ ...flags, dockerSocket: fleet.directory.join('none') });
  await eventually(() => {
    const [failure] = back.logged('no session with the coordinator');
    expect(failure?.['reason']).toContain('its authority was replaced while this host was away');
  });

  // Who has the old key can make authorities that call themselves like the new one. They help nothing.
  const [current] = await fleet.trust();
  const forged = await forge(
    { certificate: old!.certificatePem, privateKey: oldKey },
    { name: new Certificate(current!.certificatePem).subject, like: fleet.kept('there') },
  );
  expect(await renewalBy(fleet, forged)).toMatchObject({
    code: Status.UNAUTHENTICATED,
    reason: 'TOKEN_INVALID',
  });
});

function authorityFile(fleet: Fleet): string {
  return readFileSync(`${fleet.stateDir}/authority.json`, 'utf8');
}

/** The certificate of a node, signed by an authority of any name that the owner of a key vouches for. */
async function forge(
  by: { readonly certificate: string; readonly privateKey: string },
  { name, like }: { readonly name: string; readonly like: ClientCertificate },
): Promise<ClientCertificate> {
  const key = { name: 'ECDSA', namedCurve: 'P-256' };
  const owner = new Certificate(by.certificate);
  const own = makePrivateKey();
  const spkiOf = (pem: string) => createPublicKey(pem).export({ type: 'spki', format: 'der' });
  const validity = { notBeforeMs: Date.now() - 1_000, notAfterMs: Date.now() + 60_000 };
  const pkcs8 = Buffer.from(by.privateKey.replaceAll(/-----[^-]+-----|\s/g, ''), 'base64');
  const between = await X509CertificateGenerator.create({
    ...{ subject: name, issuer: owner.subject, serialNumber: '0123' },
    ...{ notBefore: new Date(validity.notBeforeMs), notAfter: new Date(validity.notAfterMs) },
    publicKey: await webcrypto.subtle.importKey('spki', spkiOf(own), key, true, ['verify']),
    signingKey: await webcrypto.subtle.importKey('pkcs8', pkcs8, key, false, ['sign']),
    signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' },
    extensions: [
      new BasicConstraintsExtension(true, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign, true),
    ],
  });
  const uri = /URI:(.*)/.exec(new X509Certificate(like.certificatePem).subjectAltName ?? '')?.[1];
  const privateKeyPem = makePrivateKey();
  const signer = { certificatePem: between.toString('pem'), privateKeyPem: own };
  const holder = { kind: 'client', uri: uri ?? '' } as const;
  const leaf = await issueCertificate(spkiOf(privateKeyPem), holder, signer, validity);
  return { certificatePem: `${leaf}${signer.certificatePem}\n`, privateKeyPem };
}

test('a rotation that was cut short is as if it never was, or done', long, async () => {
  await using fleet = await Fleet.start();
  const before = authorityFile(fleet);
  const requests = ['first', 'second'].map((requestId) => ({ options: { requestId } }));
  const actions: string[] = [];
  for (const request of requests) {
    await fleet.client.control.rotateAuthority(request).then(({ action }) => {
      actions.push(action!.id);
    });
    await fleet.client.control.finishRotation({ force: true });
  }
  await fleet.stopCoordinator();
  // What a coordinator leaves that is killed before it wrote the file, and after.
  const [first, second] = actions as ActionId[];
  using store = new Store(`${fleet.stateDir}/fairlead.db`, { clock: systemClock });
  store.transact((tx) => {
    for (const id of [first!, second!]) {
      tx.actions.put({ ...tx.actions.get(id)!, state: 'in-progress', endedAtMs: null });
    }
  });
  store[Symbol.dispose]();
  const record = { ...(JSON.parse(before) as AuthorityRecord), lastActionId: second };
  writeFileSync(`${fleet.stateDir}/authority.json`, JSON.stringify(record));
  writeFileSync(`${fleet.stateDir}/authority.json.new`, before.slice(0, 100));

  await fleet.startCoordinator();
  const stateOf = async (id: string) =>
    (await fleet.client.control.getAction({ action: id })).action;
  expect(await stateOf(first!)).toMatchObject({
    state: ActionState.FAILED,
    message: 'the coordinator was stopped before it was done',
  });
  expect(await stateOf(second!)).toMatchObject({ state: ActionState.SUCCEEDED });
  // Whoever asks again with the same id is told how it went, and nothing is replaced.
  const again = await fleet.client.control.rotateAuthority(requests[1]!);
  expect(again.action?.id).toBe(second);
  expect(await fleet.trust()).toHaveLength(1);
});

test('a backup holds the authorities, and a restart changes nothing', long, async () => {
  await using fleet = await Fleet.start();
  await fleet.rotate();
  const pins = (await fleet.trust()).map(({ pin }) => pin);
  const file = fleet.directory.join('backup');
  await takeBackup({ stateDir: fleet.stateDir, file }, never);
  const stateDir = fleet.directory.join('restored');
  await restoreBackup({ stateDir, file, force: false }, { clock: systemClock });
  await using other = await CoordinatorInProcess.start(stateDir);
  await using client = await connect({ address: other.address, token: fleet.adminToken });
  const { trust } = await client.control.getTrust({});
  expect(trust?.authorities.map(({ pin }) => pin)).toEqual(pins);
  const shown = authorityFile(fleet);
  await fleet.stopCoordinator();
  await fleet.startCoordinator();
  expect(authorityFile(fleet)).toBe(shown);
});

test('the command line shows and replaces the authority', long, async () => {
  await using fleet = await Fleet.start();
  // Away, so that nothing becomes of its certificate meanwhile.
  await (await fleet.agent('host-1'))[Symbol.asyncDispose]();
  const env = () => ({
    FAIRLEAD_ADDRESS: fleet.address,
    FAIRLEAD_TOKEN_FILE: `${fleet.stateDir}/admin.token`,
  });
  const run = (...args: string[]) => runCli(['ca', ...args], { env: env() });
  expect(await run('rotate', '--force')).toMatchObject({ status: 2 });
  expect(await run('rotate', '--dry-run')).toMatchObject({
    status: 0,
    stdout: 'a new authority would sign; 1 nodes and 0 proxies would renew their certificates\n',
  });
  const [old] = await fleet.trust();
  const rotated = await run('rotate');
  expect(rotated).toMatchObject({ status: 0, stderr: '' });
  const listed = await run('ls');
  expect(listed.stdout).toMatch(/^PIN +STATE +SINCE +TRUSTED UNTIL +NODES +PROXIES +TOKENS\n/);
  expect(listed.stdout.split('\n')[2]).toContain(`${old!.pin}  replaced  `);
  const stale = await run('rotate', '--if-version', '1');
  expect(stale).toMatchObject({
    status: 5,
    stderr: expect.stringContaining('version 2') as string,
  });
  const finished = await run('rotate', '--finish');
  expect(finished.status).toBe(5);
  expect(finished.stderr).toContain('in use by node host-1');
  expect((await run('inspect')).stdout).toContain('- node host-1');
  expect(await run('rotate', '--finish', '--force')).toMatchObject({ status: 0, stderr: '' });
  const document = await run('ls', '--json');
  expect(JSON.parse(document.stdout)).toHaveLength(1);
});
