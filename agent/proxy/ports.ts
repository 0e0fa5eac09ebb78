import { createServer } from 'node:net';
import type { Frontend, Structure } from './backend-list.ts';

/** Ports of HAProxy's own pages; 0: none. */
export interface Pages {
  readonly statsPort: number;
  readonly metricsPort: number;
}

/** Frontends that can be bound, and what is wrong with the others. */
export interface UsablePorts {
  readonly frontends: readonly Frontend[];
  /** What is left of the pages; 0 for a port that cannot be had. */
  readonly pages: Pages;
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
  pages: Pages,
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
  const pagePort = async (what: string, port: number): Promise<number> => {
    const refusal = await pageRefusal(port, taken, ownPorts);
    taken.add(port);
    if (refusal === undefined) return port;
    problems.push(`no ${what}: ${refusal}`);
    return 0;
  };
  const usablePages = {
    statsPort: await pagePort('statistics page', pages.statsPort),
    metricsPort: await pagePort('metrics', pages.metricsPort),
  };
  return {
    frontends: usable,
    pages: usablePages,
    problem: problems.length === 0 ? undefined : problems.join('; '),
  };
}

async function pageRefusal(
  port: number,
  taken: ReadonlySet<number>,
  ownPorts: ReadonlySet<number>,
): Promise<string | undefined> {
  if (port === 0) return undefined;
  if (taken.has(port)) return `port ${port} is taken by something else of this proxy`;
  return ownPorts.has(port) ? undefined : await bindRefusal(port);
}

/** Ports can be opened for IPv6 here: where they cannot, HAProxy would refuse the whole file. */
export async function hasIpv6(): Promise<boolean> {
  const server = createServer();
  return await new Promise((resolve) => {
    server.once('error', () => {
      resolve(false);
    });
    server.listen({ port: 0, host: '::' }, () => {
      server.close(() => {
        resolve(true);
      });
    });
  });
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
