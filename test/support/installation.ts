import { readFileSync } from 'node:fs';
import { join } from '../../agent/node/join.ts';
import { connect, Role, type CreateTokenRequest, type FairleadClient } from '../../client/index.ts';
import { systemClock } from '../../shared/clock.ts';
import { createLogger } from '../../shared/logger.ts';
import { systemRandom } from '../../shared/random.ts';
import { makePrivateKey } from '../../shared/rpc/signing-request.ts';
import { CoordinatorInProcess } from './coordinator-in-process.ts';
import { TemporaryDirectory } from './temporary-directory.ts';

const log = createLogger({ level: 'silent', process: 'node-agent' });

/** A coordinator in a directory of its own, and its administrator. */
export class Installation implements AsyncDisposable {
  readonly directory: TemporaryDirectory;
  readonly coordinator: CoordinatorInProcess;
  readonly client: FairleadClient;
  /** The first administrator's. */
  readonly adminToken: string;

  private constructor(
    directory: TemporaryDirectory,
    coordinator: CoordinatorInProcess,
    { client, adminToken }: { readonly client: FairleadClient; readonly adminToken: string },
  ) {
    this.adminToken = adminToken;
    this.directory = directory;
    this.coordinator = coordinator;
    this.client = client;
  }

  static async start(): Promise<Installation> {
    const directory = new TemporaryDirectory();
    const stateDir = directory.join('coordinator');
    const coordinator = await CoordinatorInProcess.start(stateDir);
    const adminToken = readFileSync(`${stateDir}/admin.token`, 'utf8').trim();
    const client = await connect({ address: coordinator.address, token: adminToken });
    return new Installation(directory, coordinator, { client, adminToken });
  }

  /** A token that hosts join with. */
  async joinToken(wish: Partial<CreateTokenRequest> = {}): Promise<string> {
    const name = `join-${systemRandom.id()}`;
    const answer = await this.client.control.createToken({ name, role: Role.NODE, ...wish });
    return answer.secret;
  }

  /** Makes a host a node as its agent does, and leaves it at that; its id. */
  async join(token: string, name: string, tags: readonly string[] = []): Promise<string> {
    const privateKeyPem = makePrivateKey();
    const options = { coordinator: this.coordinator.address, token, privateKeyPem, name, tags };
    const deps = { clock: systemClock, random: systemRandom, log };
    const { nodeId } = await join(options, deps, new AbortController().signal);
    return nodeId;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client[Symbol.asyncDispose]();
    await this.coordinator[Symbol.asyncDispose]();
    await this.directory[Symbol.asyncDispose]();
  }
}
