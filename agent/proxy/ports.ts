import { createServer } from 'node:net';
import type { Frontend, Structure } from './backend-list.ts';

/** Frontends that can be bound, and what is wrong with the others. */
export interface UsablePorts {
  readonly frontends: readonly Frontend[];
  /** Port of the statistics page; 0 if it cannot be had. */
  readonly statsPort: number;
  /** Undefined: every port can be had. */
  readonly problem: string | undefined;
}

/**
 * Leaves out the frontends whose port another process has, so that the others work all the same.
 *
 * HAProxy itself would not notice: it would share the port with another HAProxy (SO_REUSEPORT), and
 * each would get some of the requests.
 */
export async function usablePorts(
  { frontends }: Pick<Structure, 'frontends'>,
  statsPort: number,
  ownPorts: ReadonlySet<number>,
): Promise<UsablePorts> {
  const taken = new Set<number>();
  const problems: string[] = [];
  const usable: Frontend[] = [];
  for (const frontend of frontends) {
    if (taken.has(frontend.port)) {
      problems.push(`port ${frontend.port} is wanted twice, "${frontend.name}" does not get it`);
      continue;
    }
    taken.add(frontend.port);
    const refusal = ownPorts.has(frontend.port) ? undefined : await bindRefusal(frontend.port);
    if (refusal === undefined) usable.push(frontend);
    else problems.push(refusal);
  }
  const statsRefusal = await statsPortRefusal(statsPort, taken, ownPorts);
  if (statsRefusal !== undefined) problems.push(`no statistics page: ${statsRefusal}`);
  return {
    frontends: usable,
    statsPort: statsRefusal === undefined ? statsPort : 0,
    problem: problems.length === 0 ? undefined : problems.join('; '),
  };
}

async function statsPortRefusal(
  port: number,
  taken: ReadonlySet<number>,
  ownPorts: ReadonlySet<number>,
): Promise<string | undefined> {
  if (port === 0) return undefined;
  if (taken.has(port)) return `port ${port} belongs to a frontend`;
  return ownPorts.has(port) ? undefined : await bindRefusal(port);
}

/** Why a port cannot be had now; undefined if it can. */
async function bindRefusal(port: number): Promise<string | undefined> {
  const server = createServer();
  return await new Promise((resolve) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      resolve(
        error.code === 'EADDRINUSE'
          ? `port ${port} is in use by another process: stop it, or choose another port`
          : `port ${port} cannot be opened: ${error.message}`,
      );
    });
    server.listen({ port, host: '0.0.0.0', exclusive: true }, () => {
      server.close(() => {
        resolve(undefined);
      });
    });
  });
}
