import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { X509Certificate } from 'node:crypto';
import { expect, test } from 'vitest';
import { connect, Role, type FairleadClient } from '../../../client/index.ts';
import { NodeState } from '../../../shared/gen/fairlead/v1/node.ts';
import { CoordinatorInProcess } from '../../support/coordinator-in-process.ts';
import { eventually } from '../../support/eventually.ts';
import { TemporaryDirectory } from '../../support/temporary-directory.ts';
import { testAuthority } from '../../support/test-authority.ts';
import { AgentInProcess } from '../agent/node/agent-in-process.ts';

const patience = { timeoutMs: 30_000 };

interface KeptIdentity {
  readonly nodeId: string;
  readonly certificatePem: string;
  readonly privateKeyPem: string;
}

/** A coordinator whose certificates live for seconds, and one agent. */
class Pair implements AsyncDisposable {
  readonly directory = new TemporaryDirectory();
  coordinator!: CoordinatorInProcess;
  client!: FairleadClient;
  agent!: AgentInProcess;
  readonly #lifeSeconds: number;
  #listen = '127.0.0.1:0';

  private constructor(lifeSeconds: number) {
    this.#lifeSeconds = lifeSeconds;
  }

  static async start(lifeSeconds: number): Promise<Pair> {
    const pair = new Pair(lifeSeconds);
    await pair.startCoordinator();
    const token = readFileSync(pair.directory.join('coordinator', 'admin.token'), 'utf8').trim();
    pair.client = await connect({ address: pair.coordinator.address, token });
    const { secret } = await pair.client.control.createToken({ name: 'join', role: Role.NODE });
    pair.startAgent(secret);
    await pair.isReady();
    return pair;
  }

  /** Starts it, at the same address as before. */
  async startCoordinator(): Promise<void> {
    const more = { listen: this.#listen, certificateLifeSeconds: this.#lifeSeconds };
    const stateDir = this.directory.join('coordinator');
    this.coordinator = await CoordinatorInProcess.start(stateDir, more);
    this.#listen = this.coordinator.address;
  }

  startAgent(token?: string): void {
    this.agent = new AgentInProcess({
      ...{ coordinator: this.#listen, token, name: 'host-1', stateDir: this.stateDir },
      dockerSocket: this.directory.join('no-engine.sock'),
    });
  }

  get stateDir(): string {
    return this.directory.join('agent');
  }

  get identityPath(): string {
    return `${this.stateDir}/node.json`;
  }

  kept(): KeptIdentity {
    return JSON.parse(readFileSync(this.identityPath, 'utf8')) as KeptIdentity;
  }

  async isReady(): Promise<void> {
    await eventually(async () => {
      const { node } = await this.client.control.getNode({ node: 'host-1' });
      // There is no engine: more than that it is connected is not to be had.
      expect(node?.state).toBe(NodeState.ENGINE_AWAY);
    }, patience);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.agent[Symbol.asyncDispose]().catch(() => undefined);
    await this.client[Symbol.asyncDispose]();
    await this.coordinator[Symbol.asyncDispose]();
    await this.directory[Symbol.asyncDispose]();
  }
}

test('a certificate is renewed before it expires, with a new key, and kept once it works', async () => {
  await using pair = await Pair.start(6);
  const first = pair.kept();
  await eventually(() => {
    expect(pair.agent.logged('certificate renewed').length).toBeGreaterThan(1);
  }, patience);
  const later = await eventually(() => {
    const kept = pair.kept();
    expect(kept.certificatePem).not.toBe(first.certificatePem);
    return kept;
  }, patience);
  expect(later.nodeId).toBe(first.nodeId);
  expect(later.privateKeyPem).not.toBe(first.privateKeyPem);
  expect(new X509Certificate(later.certificatePem).subjectAltName).toBe(
    new X509Certificate(first.certificatePem).subjectAltName,
  );
  expect(pair.agent.logged('session refused')).toEqual([]);
  // The coordinator's own as well.
  expect(pair.coordinator.log()).toContain('own certificate made');
  await pair.isReady();
});

test('renewal goes on trying while the coordinator is away', async () => {
  await using pair = await Pair.start(30);
  const first = pair.kept();
  writeFileSync(pair.identityPath, JSON.stringify({ version: 2, ...first, renewAtMs: 0 }));
  await pair.agent[Symbol.asyncDispose]();
  await pair.coordinator[Symbol.asyncDispose]();
  pair.startAgent();
  await eventually(() => {
    expect(pair.agent.logged('certificate not renewed yet').length).toBeGreaterThan(0);
  }, patience);
  await pair.startCoordinator();
  await eventually(() => {
    expect(pair.kept().certificatePem).not.toBe(first.certificatePem);
  }, patience);
  expect(pair.kept().nodeId).toBe(first.nodeId);
});

// How soon it is cut: revocation.test.ts.
test('a node that is removed is told so, and keeps its files', async () => {
  await using pair = await Pair.start(3_600);
  const identity = readFileSync(pair.identityPath, 'utf8');
  await pair.client.control.removeNode({ node: 'host-1' });
  await eventually(() => {
    expect(pair.agent.logged('session refused')).toMatchObject([
      { reason: 'this node was removed' },
    ]);
  });
  expect(readFileSync(pair.identityPath, 'utf8')).toBe(identity);
});

test.each([
  ['authority.json', 'coordinator'],
  ['token.key', 'coordinator'],
  ['node.json', 'agent'],
])('a truncated %s is refused by name, and is left as it is', async (file, directory) => {
  await using pair = await Pair.start(3_600);
  await pair.agent[Symbol.asyncDispose]();
  await pair.coordinator[Symbol.asyncDispose]();
  const path = pair.directory.join(directory, file);
  truncateSync(path, 40);
  const left = readFileSync(path, 'utf8');
  const started = async () => {
    if (directory === 'coordinator') {
      await pair.startCoordinator();
      return;
    }
    pair.startAgent();
    await pair.agent.ended;
  };
  await expect(started()).rejects.toThrow(path);
  expect(readFileSync(path, 'utf8')).toBe(left);
});

test('a damaged key that a host asked to join with is refused by name: it may be a node already', async () => {
  await using directory = new TemporaryDirectory();
  const path = directory.join('joining.key');
  writeFileSync(path, '-----BEGIN PRIVATE KEY-----\nMIGH');
  const left = readFileSync(path, 'utf8');
  const agent = new AgentInProcess({
    ...{ coordinator: '127.0.0.1:9', token: testAuthority.token('join'), name: 'host-1' },
    ...{ stateDir: directory.path, dockerSocket: directory.join('no-engine.sock') },
  });
  await expect(agent.ended).rejects.toMatchObject({
    reason: 'IDENTITY_UNREADABLE',
    message: expect.stringContaining(`the key in ${path} cannot be read`) as string,
  });
  expect(readFileSync(path, 'utf8')).toBe(left);
});
