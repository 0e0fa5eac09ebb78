import { spawn, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const launcher = fileURLToPath(new URL('../../../deploy/fairlead-agent-launcher', import.meta.url));

/** Lays out what a package installs: the launcher of that version, and its program. Returns its directory. */
export function layOutInstallation(directory: string, version: string, bundle: string): string {
  mkdirSync(directory, { recursive: true });
  const text = readFileSync(launcher, 'utf8').replaceAll('@VERSION@', version);
  writeFileSync(`${directory}/fairlead-agent-launcher`, text, { mode: 0o755 });
  writeFileSync(`${directory}/fairlead-agent.cjs`, readFileSync(bundle));
  return directory;
}

/** Lays out what a coordinator serves: one version of the bundle; `hash` lies about it. */
export function layOutPackages(
  directory: string,
  {
    version,
    content,
    hash,
  }: { readonly version: string; readonly content: Buffer | string; readonly hash?: string },
): void {
  mkdirSync(directory, { recursive: true });
  const files = { VERSION: `${version}\n`, 'fairlead-agent.cjs': content };
  const lines = Object.entries(files).map(([name, text]) => {
    writeFileSync(`${directory}/${name}`, text);
    const real = createHash('sha256').update(text).digest('hex');
    return `${name === 'VERSION' ? real : (hash ?? real)}  ${name}\n`;
  });
  writeFileSync(`${directory}/SHA256SUMS`, lines.join(''));
}

/** An agent below its launcher, as an installed one runs where there is no systemd. */
export class LaunchedAgent implements AsyncDisposable {
  readonly #process: ChildProcess;
  readonly #ended: Promise<number | null>;
  #output = '';

  /** `shell`: what runs the launcher. */
  constructor(
    installation: string,
    env: Readonly<Record<string, string>>,
    shell: readonly [string, ...string[]] = ['sh'],
  ) {
    const [command, ...args] = shell;
    this.#process = spawn(
      command,
      [
        ...args,
        `${installation}/fairlead-agent-launcher`,
        process.execPath,
        `${installation}/fairlead-agent.cjs`,
      ],
      { env: { PATH: process.env['PATH'], ...env }, stdio: ['ignore', 'pipe', 'pipe'] },
    );
    for (const stream of [this.#process.stdout, this.#process.stderr]) {
      stream?.on('data', (part: Buffer) => (this.#output += part.toString()));
    }
    this.#ended = new Promise((resolve) => this.#process.once('exit', resolve));
  }

  /** All that launcher and agents said. */
  log(): string {
    return this.#output;
  }

  /** The process of the agent itself. */
  agentPid(): number {
    const { pid = 0 } = this.#process;
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ');
    const nodes = children.filter((child) => isNode(child));
    if (nodes.length !== 1) throw new Error(`the launcher has ${nodes.length} agents`);
    return Number(nodes[0]);
  }

  /** Stops it as a supervisor does; its exit status. */
  async stop(): Promise<number | null> {
    this.#process.kill('SIGTERM');
    return await this.#ended;
  }

  /** Its exit status once it ends. */
  async ended(): Promise<number | null> {
    return await this.#ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

function isNode(pid: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').startsWith(process.execPath);
  } catch {
    return false;
  }
}
