import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { build } from 'esbuild';
import { fileURLToPath } from 'node:url';
import { programs } from '../../support/fleet/programs.ts';
import { ServerProcess } from './server-process.ts';

/** A server that a crowd dials, at an address that stays the same when it starts again. */
export interface Dialled {
  readonly address: string;
  readonly pid: number;
  /** Has it give back what it holds no more. */
  collect(): void;
  /** Kills it and starts it again; resolves when it listens. */
  restart(signal: AbortSignal): Promise<void>;
}

const collector = new URL('collect.js', import.meta.url).href;
/** What the same is measured with on both sides. */
const flags = ['--expose-gc', '--import', collector];
const trimSource = fileURLToPath(new URL('trim.c', import.meta.url));
const floorSource = fileURLToPath(new URL('floor-server.ts', import.meta.url));

/**
 * What both are started with: what the collector loads, compiled as any native part of a package is, and the one arena
 * of malloc that our packages start a coordinator with. With one for each helper of Node it is chance how much of them
 * nobody uses: 3 to 8 MiB in runs of the same bare server.
 */
function environmentIn(directory: string): Readonly<Record<string, string>> {
  const trim = join(directory, 'trim.node');
  execFileSync('cc', ['-shared', '-fPIC', '-O1', '-o', trim, trimSource]);
  return { FAIRLEAD_BENCH_TRIM: trim, MALLOC_ARENA_MAX: '1' };
}

/** Starts it on a port, 0 for any free one. */
type Launch = (port: string, signal: AbortSignal) => Promise<readonly [ServerProcess, string]>;

class RestartableServer implements Dialled, AsyncDisposable {
  readonly #launch: Launch;
  #process: ServerProcess;
  readonly #port: string;

  protected constructor(launch: Launch, [process, port]: readonly [ServerProcess, string]) {
    this.#launch = launch;
    this.#process = process;
    this.#port = port;
  }

  get address(): string {
    return `127.0.0.1:${this.#port}`;
  }

  get pid(): number {
    return this.#process.pid;
  }

  collect(): void {
    process.kill(this.pid, 'SIGUSR2');
  }

  async restart(signal: AbortSignal): Promise<void> {
    await this.#process.kill();
    [this.#process] = await this.#launch(this.#port, signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process[Symbol.asyncDispose]();
  }
}

/** The bare server, built as one file: it starts as fast as it can, and holds no compiler. */
export class FloorServer extends RestartableServer {
  static async start(
    directory: string,
    tlsPath: string,
    signal: AbortSignal,
  ): Promise<FloorServer> {
    const program = join(directory, 'floor-server.cjs');
    await build({
      ...{ entryPoints: [floorSource], outfile: program, bundle: true, logLevel: 'error' },
      ...{ platform: 'node', target: 'node20', format: 'cjs' },
    });
    const env = environmentIn(directory);
    const launch: Launch = (port, until) => {
      const args = [...flags, program, tlsPath, `127.0.0.1:${port}`];
      return ServerProcess.start({ args, env, listening: /listening on (\d+)/ }, until);
    };
    return new FloorServer(launch, await launch('0', signal));
  }
}

/** A coordinator as it is shipped. */
export class CoordinatorServer extends RestartableServer {
  readonly #stateDir: string;

  private constructor(launch: Launch, started: readonly [ServerProcess, string], stateDir: string) {
    super(launch, started);
    this.#stateDir = stateDir;
  }

  static async start(stateDir: string, signal: AbortSignal): Promise<CoordinatorServer> {
    const env = environmentIn(dirname(stateDir));
    const listening = /"port":(\d+).*"msg":"coordinator started"/;
    const launch: Launch = (port, until) => {
      const listen = ['--listen', `127.0.0.1:${port}`, '--http-listen', '127.0.0.1:0'];
      const args = [
        ...flags,
        programs.cli,
        'coordinator',
        'run',
        '--state-dir',
        stateDir,
        ...listen,
      ];
      return ServerProcess.start({ args, env, listening }, until);
    };
    return new CoordinatorServer(launch, await launch('0', signal), stateDir);
  }

  /** The administrator's token. */
  get token(): string {
    return readFileSync(join(this.#stateDir, 'admin.token'), 'utf8').trim();
  }
}
