import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as esbuild from 'esbuild';
import { adminToken } from '../../support/fake-control.ts';

/** The command line's entry. */
export const cliSource = 'client/cli/main.ts';

const root = fileURLToPath(new URL('../../../', import.meta.url));

export interface CliOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** What is piped in; nothing if left out. */
  readonly input?: string;
  /** Node's own options, before the program. */
  readonly nodeArgs?: readonly string[];
}

/** A run of the command line as a process, with what it wrote so far. */
export class CliProcess implements AsyncDisposable {
  stdout = '';
  stderr = '';
  /** The exit status; undefined while it runs. */
  status: number | undefined;
  readonly #child: ChildProcess;
  readonly #ended: Promise<number>;

  constructor(
    args: readonly string[],
    { env = {}, nodeArgs = [], input }: CliOptions,
    entry: string,
  ) {
    const { PATH = '', HOME = '' } = process.env;
    this.#child = spawn(process.execPath, [...nodeArgs, entry, ...args], {
      cwd: root,
      env: { PATH, HOME, ...env },
      stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    });
    // One that does not read is not to fail for it.
    this.#child.stdin?.on('error', () => undefined).end(input);
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text;
    });
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
    });
    this.#ended = once(this.#child, 'close').then(([code]) => {
      this.status = (code ?? -1) as number;
      return this.status;
    });
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** The exit status, when it has ended. */
  async ended(): Promise<number> {
    return await this.#ended;
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  /** Stops reading its output, as `head` does. */
  closeStdout(): void {
    this.#child.stdout?.destroy();
  }

  /** The lines of stdout, parsed. */
  documents(): unknown[] {
    return this.stdout
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as unknown);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.status === undefined) this.signal('SIGKILL');
    await this.#ended;
  }
}

/** Variables that lead the command line to a coordinator. */
export function environmentOf(
  { address }: { readonly address: string },
  token: string = adminToken,
): Readonly<Record<string, string>> {
  return { FAIRLEAD_ADDRESS: address, FAIRLEAD_TOKEN: token };
}

export interface CliResult {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * The command line as a bundle of its own code, built once: started from its sources each process
 * would compile them anew. The daemons are left out; they are tested from their sources.
 */
async function build(): Promise<string> {
  const outdir = join(root, `node_modules/.cache/fairlead-test-${process.pid}`);
  await esbuild.build({
    entryPoints: [join(root, 'client/cli/main.ts')],
    outdir,
    // What is loaded late is to be loaded late here as well.
    splitting: true,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    packages: 'external',
    external: ['../../agent/*', '../../coordinator/*'],
  });
  return join(outdir, 'main.mjs');
}

let built: Promise<string> | undefined;

/** Takes the bundle away again; for the end of a file of tests. */
export async function removeBuild(): Promise<void> {
  if (built !== undefined) await rm(dirname(await built), { recursive: true });
  built = undefined;
}

/** Where the bundle of the command line is. */
export async function buildCli(): Promise<string> {
  built ??= build();
  return await built;
}

/** Starts the command line as a process. */
export async function startCli(
  args: readonly string[],
  options: CliOptions = {},
): Promise<CliProcess> {
  return new CliProcess(args, options, await buildCli());
}

/** Starts a program from its source, for what the bundle leaves out. */
export function startFromSource(
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): CliProcess {
  return new CliProcess(args, { env, nodeArgs: ['--import', 'tsx'] }, program);
}

/** Runs a program from its source to its end. */
export async function runFromSource(
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<CliResult> {
  return await endOf(startFromSource(program, args, env));
}

/** Runs the command line to its end. */
export async function runCli(
  args: readonly string[],
  options: CliOptions = {},
): Promise<CliResult> {
  return await endOf(await startCli(args, options));
}

async function endOf(started: CliProcess): Promise<CliResult> {
  await using cli = started;
  const status = await cli.ended();
  return { status, stdout: cli.stdout, stderr: cli.stderr };
}
