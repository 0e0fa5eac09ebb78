import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { connect, Role, type FairleadClient } from '../../../client/index.ts';
import { CoordinatorInProcess } from '../../support/coordinator-in-process.ts';
import { eventually } from '../../support/eventually.ts';
import { TemporaryDirectory } from '../../support/temporary-directory.ts';
import { buildCli, removeBuild, runCli, type CliResult } from './cli-process.ts';

const state = new TemporaryDirectory();
let coordinator: CoordinatorInProcess;
let admin: FairleadClient;
let adminToken: string;
let home: TemporaryDirectory;
let file: string;

beforeAll(async () => {
  coordinator = await CoordinatorInProcess.start(state.join('state'));
  adminToken = (await readFile(state.join('state', 'admin.token'), 'utf8')).trim();
  admin = await connect({ address: coordinator.address, token: adminToken });
});

afterAll(async () => {
  await admin[Symbol.asyncDispose]();
  await coordinator[Symbol.asyncDispose]();
  await state[Symbol.asyncDispose]();
  await removeBuild();
});

beforeEach(() => {
  home = new TemporaryDirectory();
  file = home.join('fairlead', 'contexts.json');
});

afterEach(async () => {
  await home[Symbol.asyncDispose]();
});

/** Runs the command line with contexts of its own, and with something piped in. */
async function run(args: readonly string[], input = '', env = {}): Promise<CliResult> {
  return await runCli(args, { env: { XDG_CONFIG_HOME: home.path, ...env }, input });
}

async function logIn(name: string, token: string): Promise<CliResult> {
  return await run(['login', '--coordinator', coordinator.address, '--name', name], `${token}\n`);
}

async function tokenFor(name: string, role: Role): Promise<string> {
  return (await admin.control.createToken({ name, role })).secret;
}

describe('who logged in', () => {
  test('needs to say no more: the current context is used', async () => {
    expect(await logIn('lab', adminToken)).toMatchObject({
      status: 0,
      stdout: `logged in to ${coordinator.address} as admin, admin: context lab\n`,
    });
    const { stdout, status } = await run(['info', '--json']);
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ principal: 'admin' });
    const listed = await run(['token', 'ls', '--json']);
    const [token] = JSON.parse(listed.stdout) as { lastUsedAt?: string }[];
    expect(Date.parse(token?.lastUsedAt ?? '')).toBeGreaterThan(0);
  });

  test('has the token in a file that nobody else can read, and nowhere on the screen', async () => {
    const { stdout, stderr } = await logIn('lab', adminToken);
    expect(stdout + stderr).not.toContain(adminToken);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect((await stat(home.join('fairlead'))).mode & 0o777).toBe(0o700);
    const listed = await run(['context', 'ls', '--json']);
    expect(JSON.parse(listed.stdout)).toEqual([
      { name: 'lab', coordinator: coordinator.address, current: true },
    ]);
    // A mode that was opened up is mended by the next login.
    await chmod(file, 0o644);
    await logIn('lab', adminToken);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
  });

  test('chooses between several, and forgets them', async () => {
    await logIn('as-admin', adminToken);
    await logIn('as-viewer', await tokenFor('chooser', Role.VIEWER));
    const principal = async () =>
      (JSON.parse((await run(['info', '--json'])).stdout) as { principal: string }).principal;
    expect(await principal()).toBe('chooser');
    expect((await run(['context', 'use', 'as-admin'])).status).toBe(0);
    expect(await principal()).toBe('admin');
    expect((await run(['context', 'rm', 'as-admin'])).status).toBe(0);
    const after = await run(['info']);
    expect(after.status).toBe(2);
    expect(after.stderr).toContain('no coordinator: log in');
    const missing = await run(['context', 'use', 'as-admin']);
    expect(missing.status).toBe(3);
    expect(missing.stderr).toContain('there are: as-viewer');
  });

  test('is overruled by flags and variables; a token goes to its own coordinator only', async () => {
    await logIn('lab', adminToken);
    const viewer = await tokenFor('overruler', Role.VIEWER);
    const byVariable = await run(['info', '--json'], '', { FAIRLEAD_TOKEN: viewer });
    expect(JSON.parse(byVariable.stdout)).toMatchObject({ principal: 'overruler' });
    const elsewhere = await run(['info', '--coordinator', 'elsewhere.example:7600']);
    expect(elsewhere.status).toBe(2);
    expect(elsewhere.stderr).toContain('no token: log in');
    expect((await run(['info', '--coordinator', coordinator.address])).status).toBe(0);
  });
});

describe('a login', () => {
  test('with a token that does not work keeps nothing', async () => {
    const wrong = adminToken.replace(/^flt_.{16}/, 'flt_0123456789abcdef');
    const { status, stderr } = await logIn('lab', wrong);
    expect(status).toBe(4);
    expect(stderr).not.toContain(wrong);
    await expect(stat(file)).rejects.toThrow('ENOENT');
  });

  test('takes no token from an argument', async () => {
    const args = ['login', '--coordinator', coordinator.address, '--token', adminToken];
    const { status, stderr } = await run(args);
    expect(status).toBe(2);
    expect(stderr).toContain('is seen in the list of processes');
    expect(stderr).not.toContain(adminToken);
  });

  test('takes it from a file', async () => {
    const path = state.join('state', 'admin.token');
    const args = ['login', '--coordinator', coordinator.address, '--token-file', path];
    expect((await run(args)).status).toBe(0);
    expect((await run(['info'])).status).toBe(0);
  });

  test('asks at a terminal, without showing what is typed', async () => {
    const command = `${process.execPath} ${await buildCli()} login --coordinator ${coordinator.address}`;
    const { PATH = '' } = process.env;
    const terminal = spawn('script', ['-qefc', command, '/dev/null'], {
      env: { PATH, XDG_CONFIG_HOME: home.path, TERM: 'dumb' },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    let screen = '';
    terminal.stdout.setEncoding('utf8').on('data', (text: string) => {
      screen += text;
    });
    await eventually(() => {
      expect(screen).toContain(`Token for ${coordinator.address}: `);
    });
    terminal.stdin.write(`${adminToken}x\u007f\r`);
    const [code] = (await once(terminal, 'close')) as [number];
    expect(screen).toContain('logged in to');
    expect(code).toBe(0);
    expect(screen).not.toContain(adminToken.slice(0, 20));
  });

  test.each([
    ['cut short', '{"version": 1, "current"', 'it is not whole'],
    ['of another version', '{"version": 7}', 'it is of another version'],
    ['without a token', '{"version":1,"current":"a","contexts":{"a":{"address":"x"}}}', 'missing'],
  ])('beside a file that is %s leaves that alone', async (_, content, words) => {
    await mkdir(home.join('fairlead'));
    await writeFile(file, content);
    for (const { status, stderr } of [await logIn('lab', adminToken), await run(['info'])]) {
      expect(status).toBe(1);
      expect(stderr).toContain(`${file} cannot be used: `);
      expect(stderr).toContain(words);
    }
    expect(await readFile(file, 'utf8')).toBe(content);
  });
});

test('a token for one service reaches no other, and one for a second ends with it', async () => {
  for (const name of ['one', 'two']) {
    await admin.control.createService({ name, spec: { image: 'hello:1' } });
  }
  await logIn('lab', adminToken);
  const create = async (...args: string[]) => {
    const { stdout } = await run(['token', 'create', ...args, '--role', 'operator']);
    return { FAIRLEAD_ADDRESS: coordinator.address, FAIRLEAD_TOKEN: stdout.trim() };
  };
  const limited = await create('limited', '--service', 'one');
  const listed = await run(['service', 'ls', '--quiet'], '', limited);
  expect(listed.stdout).toBe('one\n');
  expect((await run(['service', 'stop', 'two', '--no-wait'], '', limited)).status).toBe(4);

  const brief = await create('brief', '--lifetime', '1s');
  await eventually(async () => {
    const { status, stderr } = await run(['info'], '', brief);
    expect(status).toBe(4);
    expect(stderr).toContain('has expired');
  });
});
