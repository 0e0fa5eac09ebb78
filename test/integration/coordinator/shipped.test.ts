import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { credentials } from '@grpc/grpc-js';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { contractRegistry } from '../../../coordinator/api/contract.ts';
import { coordinatorName } from '../../../shared/rpc/trust.ts';
import { eventually } from '../../support/eventually.ts';
import { programs, requireBuild } from '../../support/fleet/programs.ts';
import { describedFileOf, describedServices, type Described } from '../../support/reflection.ts';
import { TemporaryDirectory } from '../../support/temporary-directory.ts';

/** The coordinator as it is built, of one file, with nothing of the sources beside it. */
class ShippedCoordinator implements AsyncDisposable {
  readonly #directory = new TemporaryDirectory();
  readonly stateDir = this.#directory.join('state');
  #output = '';
  readonly #process = spawn(
    process.execPath,
    [
      ...[programs.cli, 'coordinator', 'run', '--state-dir', this.stateDir],
      ...['--listen', '127.0.0.1:0', '--http-listen', '127.0.0.1:0'],
    ],
    { cwd: this.#directory.path, stdio: ['ignore', 'pipe', 'inherit'] },
  );
  readonly #ended = once(this.#process, 'close');

  constructor() {
    this.#process.stdout.on('data', (part: Buffer) => (this.#output += part.toString()));
  }

  async address(): Promise<string> {
    return await eventually(
      () => {
        const port = /"port":(?<port>\d+)/.exec(this.#output)?.groups?.['port'];
        expect(port, this.#output).toBeDefined();
        return `127.0.0.1:${port!}`;
      },
      { timeoutMs: 60_000 },
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill('SIGTERM');
    await this.#ended;
    await this.#directory[Symbol.asyncDispose]();
  }
}

let coordinator: ShippedCoordinator;
let described: Omit<Described, 'version'>;

beforeAll(async () => {
  requireBuild();
  coordinator = new ShippedCoordinator();
  const address = await coordinator.address();
  const token = readFileSync(`${coordinator.stateDir}/admin.token`, 'utf8').trim();
  described = {
    ...{ address, authorization: `Bearer ${token}` },
    credentials: credentials.createSsl(readFileSync(`${coordinator.stateDir}/ca.pem`)),
    options: { 'grpc.ssl_target_name_override': coordinatorName },
  };
}, 90_000);

afterAll(() => coordinator[Symbol.asyncDispose]());

test.each(['v1', 'v1alpha'])('describes all that it serves, by reflection %s', async (version) => {
  const server = { ...described, version };
  const services = [...contractRegistry()].flatMap((type) =>
    type.kind === 'service' ? [type] : [],
  );
  expect(await describedServices(server)).toEqual(services.map(({ typeName }) => typeName).sort());
  const files = await Promise.all(
    services.flatMap(({ typeName, file, methods }) =>
      methods.map(async ({ name }) => [
        `${file.name}.proto`,
        await describedFileOf(server, `${typeName}.${name}`),
      ]),
    ),
  );
  for (const [wanted, found] of files) expect(found).toBe(wanted);
});
