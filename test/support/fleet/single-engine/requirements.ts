import { accessSync, constants, existsSync, readFileSync } from 'node:fs';
import { messageOf } from '../../../../shared/errors.ts';
import { docker } from '../../lab/docker.ts';
import { requirements, type MissingCommand } from '../../lab/requirements.ts';

/** Of what a lab needs: what images are made of and built with. */
const commands = ['docker', 'haproxy', 'busybox', 'ldd'];

/** What this machine lacks to let one engine play all hosts. */
export interface SingleEngineNeeds {
  readonly missing: readonly MissingCommand[];
  /** What no package can mend, in words; looked for only once nothing is missing. */
  readonly obstacles: readonly string[];
}

/** The socket of the engine that the user's own docker command would talk to. */
export function engineSocket(env: NodeJS.ProcessEnv): string {
  const host = env['DOCKER_HOST'] ?? '';
  return host === '' ? '/var/run/docker.sock' : host.replace(/^unix:\/\//, '');
}

/** Looks without changing anything. */
export async function singleEngineNeeds(
  socket: string,
  signal: AbortSignal,
): Promise<SingleEngineNeeds> {
  const missing = requirements().missing.filter(({ command }) => commands.includes(command));
  if (missing.length > 0) return { missing, obstacles: [] };
  const unreachable = await unreachableBecause(socket, signal);
  const obstacles = [unreachable, portTaken()].filter((words) => words !== undefined);
  return { missing, obstacles };
}

/** Why no engine of this machine can be used at a socket, in words; undefined if one answers. */
export async function unreachableBecause(
  socket: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  if (!socket.startsWith('/')) {
    return `DOCKER_HOST is ${socket}: the engine must be one of this machine, at a unix socket`;
  }
  if (!existsSync(socket)) {
    return `there is no Docker Engine at ${socket}: start one, or name its socket by DOCKER_HOST`;
  }
  try {
    accessSync(socket, constants.R_OK | constants.W_OK);
  } catch {
    return `${socket} is closed to you: join the group docker (sudo usermod -aG docker $USER, then log in again)`;
  }
  try {
    await docker(socket, ['version', '--format', '{{.Server.Version}}'], {}, signal);
    return undefined;
  } catch (error) {
    signal.throwIfAborted();
    return `the Docker Engine at ${socket} does not answer: ${messageOf(error)}`;
  }
}

/** A listener on port 80 of all addresses has it on those of the hosts, too, where lb needs it. */
function portTaken(): string | undefined {
  const listening = ['/proc/net/tcp', '/proc/net/tcp6']
    .filter((path) => existsSync(path))
    .flatMap((path) => readFileSync(path, 'utf8').trim().split('\n').slice(1))
    .map((line) => line.trim().split(/\s+/))
    .some(([, local = '', , state]) => /^0+:0050$/.test(local) && state === '0A');
  return listening
    ? 'port 80 is taken on all addresses of this machine: the load balancer needs it on its own; stop who has it'
    : undefined;
}
