import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { MapSync } from '../../../../agent/proxy/map-sync.ts';
import { RuntimeClient } from '../../../../agent/proxy/runtime-client.ts';
import { DrivenProxy } from '../../../support/driven-proxy.ts';
import { eventually } from '../../../support/eventually.ts';
import { aSnapshot } from '../../../support/fake-proxy-coordinator.ts';
import {
  freePort,
  HaproxyDirectory,
  haproxyProgram,
  proxyConfig,
  RunningProxyAgent,
} from '../../../support/haproxy.ts';

const never = new AbortController().signal;

/** Starts a HAProxy with a map of addresses, and returns its path: what is no address is refused. */
async function startWithMap(directory: HaproxyDirectory): Promise<string> {
  const path = join(directory.path, 'addresses.map');
  const file = join(directory.path, 'haproxy.cfg');
  writeFileSync(path, '10.0.0.1 one\n10.0.0.2 two\n');
  const lines = [
    'global',
    `  stats socket ${directory.path}/admin.sock mode 600 level admin`,
    'defaults',
    '  mode http',
    '  timeout connect 1s',
    '  timeout client 1s',
    '  timeout server 1s',
    'frontend http',
    `  bind ${directory.path}/http.sock`,
    `  http-request set-header x-name %[src,map_ip(${path})]`,
  ];
  writeFileSync(file, `${lines.join('\n')}\n`);
  const child = spawn(haproxyProgram, [
    ...['-f', file, '-D', '-p', join(directory.path, 'haproxy.pid')],
  ]);
  expect(await once(child, 'exit')).toEqual([0, null]);
  return path;
}

function connect(directory: HaproxyDirectory): Promise<RuntimeClient> {
  const socketPath = join(directory.path, 'admin.sock');
  return RuntimeClient.open({ socketPath, timeoutMs: 5_000 }, never);
}

/** The entries that HAProxy has of a map in all versions, as its own count is not exact; and whether one is pending. */
async function heldOf(directory: HaproxyDirectory, path: string) {
  const line = (await directory.ask('show map')).split('\n').find((each) => each.includes(path));
  const [, inUse, last] = /curr_ver=(\d+) next_ver=(\d+)/.exec(line ?? '')!;
  const entries: string[] = [];
  for (let version = 0; version <= Number(last); version++) {
    const shown = await directory.ask(`show map @${version} ${path}`);
    entries.push(...[...shown.matchAll(/^0x\S+ (.*)$/gm)].map(([, entry = '']) => entry));
  }
  return { isClean: inUse === last, entries };
}

async function leave(directory: HaproxyDirectory, path: string): Promise<void> {
  using client = await connect(directory);
  const version = /\d+/.exec(await client.query(`prepare map ${path}`))?.[0];
  await client.query(`add map @${version} ${path} <<\n10.0.0.7 x\n10.0.0.8 y\n`);
}

test('a map that HAProxy refuses is not in use in part, and leaves nothing behind, however often', async () => {
  await using directory = new HaproxyDirectory();
  const path = await startWithMap(directory);
  using client = await connect(directory);
  const maps = new MapSync();
  const wrong = new Map([[path, [['10.0.0.3', 'three'] as const, ['nowhere', 'four'] as const]]]);
  for (let attempt = 0; attempt < 3; attempt++) {
    await expect(maps.sync(client, wrong)).rejects.toThrow('HAProxy refused a map');
    expect((await heldOf(directory, path)).entries).toEqual(['10.0.0.1 one', '10.0.0.2 two']);
  }
  await maps.sync(client, new Map([[path, [['10.0.0.3', 'three'] as const]]]));
  expect(await heldOf(directory, path)).toEqual({ isClean: true, entries: ['10.0.0.3 three'] });
});

test('what a connection that was lost left of a map is freed, once, though the map is as wanted', async () => {
  await using directory = new HaproxyDirectory();
  const path = await startWithMap(directory);
  await leave(directory, path);
  await leave(directory, path);
  expect((await heldOf(directory, path)).entries.length).toBe(6);
  using client = await connect(directory);
  const maps = new MapSync();
  const wanted = new Map([[path, [['10.0.0.1', 'one'] as const, ['10.0.0.2', 'two'] as const]]]);
  await maps.sync(client, wanted);
  expect(await heldOf(directory, path)).toEqual({
    isClean: true,
    entries: ['10.0.0.1 one', '10.0.0.2 two'],
  });
  const before = await directory.ask('show map');
  maps.forget();
  await maps.sync(client, wanted);
  expect(await directory.ask('show map')).toBe(before);
});

test('an agent frees what one before it left of a map', async () => {
  await using driven = await DrivenProxy.start(aSnapshot(await freePort()));
  const { agent, coordinator, directory } = driven;
  const path = join(directory.path, 'maps', 'pauses.map');
  await agent.stop();
  await leave(directory, path);
  expect((await heldOf(directory, path)).entries.length).toBe(2);
  const own = { coordinator: coordinator.address, stateDir: directory.path };
  await using _next = new RunningProxyAgent(proxyConfig(own));
  await eventually(async () => {
    expect(await heldOf(directory, path)).toEqual({ isClean: true, entries: [] });
  });
});
