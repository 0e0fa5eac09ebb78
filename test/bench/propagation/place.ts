import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { RuntimeClient } from '../../../agent/proxy/runtime-client.ts';
import { parseServersState, type KnownServer } from '../../../agent/proxy/server-state.ts';
import { eventually } from '../../support/eventually.ts';
import type { Lab } from '../../support/lab/lab.ts';
import type { LabHost } from '../../support/lab/lab-host.ts';

/** The lab of the benchmark: its one host, and an image whose containers start fast. */
export interface Place {
  readonly lab: Lab;
  readonly host: LabHost;
  readonly image: string;
}

/** A web server that is up a few milliseconds after its process is. */
export const command = ['busybox', 'httpd', '-f', '-p', '80'];
export const containerPort = 80;

/** Where simulated backends are: each node has an address of its own on the host's loopback. */
export const simulatedPort = 9_000;

/** The address of the n-th simulated node. */
export function simulatedAddress(index: number): string {
  return `127.1.0.${index + 1}`;
}

/** Starts what the simulated backends are: something that answers HAProxy's checks at little cost. */
export async function startSimulatedBackends({ lab, host }: Place): Promise<void> {
  const directory = join(lab.directory, 'sink');
  mkdirSync(directory);
  const config = join(directory, 'haproxy.cfg');
  writeFileSync(
    config,
    `global
  maxconn 20000
defaults
  mode http
  timeout client 60s
  timeout http-request 60s
frontend sink
  bind :${simulatedPort}
  http-request return status 200
`,
  );
  await host.spawn('haproxy', ['-db', '-f', config], { name: 'sink' });
}

/** Asks an HAProxy for its servers of the backend that is balanced. */
export async function readServers(socketPath: string): Promise<KnownServer[]> {
  using client = await RuntimeClient.open({ socketPath, timeoutMs: 5_000 }, never);
  return parseServersState(await client.query('show servers state default'));
}

/** Resolves when HAProxy has exactly so many servers that take requests. */
export async function untilReady(
  count: number,
  servers: () => Promise<KnownServer[]>,
  signal: AbortSignal,
): Promise<void> {
  await eventually(
    async () => {
      const ready = (await servers()).filter(({ mode }) => mode === 'ready').length;
      if (ready !== count) throw new Error(`HAProxy has ${ready} ready servers, not ${count}`);
    },
    { timeoutMs: 120_000, intervalMs: 100 },
    signal,
  );
}

const never = new AbortController().signal;
