import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { afterAll, expect, test } from 'vitest';
import { join } from '../../../agent/node/join.ts';
import { connect, Role, type FairleadClient } from '../../../client/index.ts';
import { systemClock } from '../../../shared/clock.ts';
import { createLogger } from '../../../shared/logger.ts';
import { systemRandom } from '../../../shared/random.ts';
import { makePrivateKey } from '../../../shared/rpc/signing-request.ts';
import { CoordinatorInProcess } from '../../support/coordinator-in-process.ts';
import { eventually } from '../../support/eventually.ts';
import { TemporaryDirectory } from '../../support/temporary-directory.ts';
import { cliSource, removeBuild, runCli, startFromSource } from './cli-process.ts';

const slow = { timeoutMs: 60_000 };
const script = '#!/bin/sh\necho installs\n';
const anyToken = /flt_[\w-]+/;

afterAll(removeBuild);

/** A state directory, packages, and coordinators that are started on them. */
class Place implements AsyncDisposable {
  readonly directory = new TemporaryDirectory();
  starts = 0;

  constructor() {
    const packages = this.directory.join('packages');
    mkdirSync(packages);
    writeFileSync(`${packages}/install.sh`, script);
    writeFileSync(`${packages}/SHA256SUMS`, `${this.scriptHash}  install.sh\n`);
  }

  readonly scriptHash = createHash('sha256').update(script).digest('hex');

  get args(): string[] {
    return [
      ...['coordinator', 'run', '--state-dir', this.directory.join('state')],
      ...['--listen', '127.0.0.1:0', '--http-listen', '127.0.0.1:0'],
      ...['--packages-dir', this.directory.join('packages')],
    ];
  }

  /** Starts one in a terminal, with its log in a file as a careful person has it. */
  async startInTerminal(): Promise<InTerminal> {
    const terminal = new InTerminal(this.args, this.directory.join(`${++this.starts}.log`));
    await terminal.started();
    return terminal;
  }

  async client(address: string): Promise<FairleadClient> {
    const path = this.directory.join('state', 'admin.token');
    return await connect({ address, token: readFileSync(path, 'utf8').trim() });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.directory[Symbol.asyncDispose]();
  }
}

/** A coordinator with a terminal of its own. */
class InTerminal implements AsyncDisposable {
  screen = '';
  address = '';
  readonly #logPath: string;
  readonly #ended: Promise<unknown>;

  constructor(args: readonly string[], logPath: string) {
    this.#logPath = logPath;
    const command = [process.execPath, '--import', 'tsx', cliSource, ...args]
      .map((word) => `'${word}'`)
      .join(' ');
    const child = spawn(
      'script',
      [
        ...['--quiet', '--return', '/dev/null'],
        ...['--command', `echo $$ > '${logPath}.pid'; exec ${command} > '${logPath}'`],
      ],
      { stdio: ['pipe', 'pipe', 'inherit'] },
    );
    child.stdout.on('data', (text: Buffer) => (this.screen += text.toString()));
    this.#ended = once(child, 'close');
  }

  log(): string {
    return readFileSync(this.#logPath, 'utf8');
  }

  async started(): Promise<void> {
    this.address = await eventually(() => {
      const port = /"port":(?<port>\d+)/.exec(this.log())?.groups?.['port'];
      expect(port, this.screen).toBeDefined();
      return `127.0.0.1:${port!}`;
    }, slow);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    process.kill(Number(readFileSync(`${this.#logPath}.pid`, 'utf8')), 'SIGTERM');
    await this.#ended;
  }
}

async function joinWith(token: string, coordinator: string): Promise<void> {
  const log = createLogger({ level: 'silent', process: 'node-agent' });
  const deps = { clock: systemClock, random: systemRandom, log };
  const privateKeyPem = makePrivateKey();
  const options = { coordinator, token, privateKeyPem, name: 'host-1', tags: [] };
  await join(options, deps, new AbortController().signal);
}

test(
  'a coordinator without nodes shows the line that makes one, in a terminal and nowhere else',
  { timeout: 180_000 },
  async () => {
    await using place = new Place();
    let first: string;
    {
      await using terminal = await place.startInTerminal();
      first = await eventually(() => {
        const token = anyToken.exec(terminal.screen)?.[0];
        expect(token, terminal.screen).toBeDefined();
        return token!;
      });
    }
    // Nobody has used it: the next start shows another, which takes its place.
    {
      await using terminal = await place.startInTerminal();
      const line = await eventually(() => {
        const found = /^FAIRLEAD_TOKEN=.*$/m.exec(terminal.screen)?.[0].trim();
        expect(found).toMatch(/'$/);
        return found!;
      });
      const token = anyToken.exec(line)![0];
      expect(token).not.toBe(first);
      expect(line).toContain(place.scriptHash);
      expect(line).toContain(`--coordinator ${terminal.address}`);
      expect(terminal.screen).toContain('on this host alone');
      expect(terminal.log()).not.toMatch(anyToken);

      await using client = await place.client(terminal.address);
      const { tokens } = await client.control.listTokens({});
      const shown = tokens.filter(({ name }) => name === 'first-hosts');
      expect(shown).toMatchObject([{ maxUses: 20, uses: 0 }]);
      const lifeMs = shown[0]!.expiresAt!.getTime() - shown[0]!.createdAt!.getTime();
      expect(lifeMs).toBe(3_600_000);
      await expect(joinWith(first, terminal.address)).rejects.toThrow(
        'does not let this host join',
      );
      await joinWith(token, terminal.address);
    }
    // Now there is one.
    await using terminal = await place.startInTerminal();
    await using client = await place.client(terminal.address);
    await client.control.getInfo({});
    expect(terminal.screen).not.toMatch(anyToken);
  },
);

test(
  'one that nobody looks at says where the line is to be had',
  { timeout: 120_000 },
  async () => {
    await using place = new Place();
    await using coordinator = startFromSource(cliSource, place.args);
    await eventually(() => {
      expect(coordinator.stdout).toContain('there is no node yet');
    }, slow);
    expect(coordinator.stdout + coordinator.stderr).not.toMatch(anyToken);
    coordinator.signal('SIGTERM');
    expect(await coordinator.ended()).toBe(0);
  },
);

test('a line that is asked for is for the hosts that its cluster waits for, else for 20', async () => {
  await using place = new Place();
  const stateDir = place.directory.join('state');
  const packagesDir = place.directory.join('packages');
  await using coordinator = await CoordinatorInProcess.start(stateDir, { packagesDir });
  await using client = await place.client(coordinator.address);
  await client.control.createNodeCluster({ name: 'web', targetNodes: 4 });
  await client.control.createNodeCluster({ name: 'edge' });
  const env = {
    FAIRLEAD_ADDRESS: coordinator.address,
    FAIRLEAD_TOKEN_FILE: `${stateDir}/admin.token`,
  };
  const invited = async (...args: string[]) => {
    const { stdout, stderr } = await runCli(['node', 'invite', ...args], { env });
    const [token = ''] = anyToken.exec(stdout) ?? [];
    const { tokens } = await client.control.listTokens({ role: Role.NODE });
    const made = tokens.find(({ id }) => token.startsWith(`flt_${id}_`));
    return { hosts: made?.maxUses, said: stderr };
  };
  expect(await invited()).toMatchObject({
    hosts: 20,
    said: expect.stringContaining('it is good for 20 hosts, until 2') as string,
  });
  const ofWeb = await invited('--cluster', 'web');
  expect(ofWeb.hosts).toBe(4);
  expect((await invited('--cluster', 'edge')).hosts).toBe(20);
  expect((await invited('--cluster', 'web', '--max-uses', '0')).hosts).toBe(0);
});
