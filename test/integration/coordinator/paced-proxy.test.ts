import { afterEach, beforeEach, expect, test } from 'vitest';
import { ApiRole, Role } from '../../../client/index.ts';
import { systemClock } from '../../../shared/clock.ts';
import { SimulatedNode } from '../../bench/support/simulated-node.ts';
import { eventually } from '../../support/eventually.ts';
import {
  freePort,
  HaproxyDirectory,
  Load,
  proxyConfig,
  RunningProxyAgent,
  TestBackend,
} from '../../support/haproxy.ts';
import { Installation } from '../../support/installation.ts';
import { TemporaryDirectory } from '../../support/temporary-directory.ts';
import { SessionInProcess } from '../agent/proxy/session-in-process.ts';

// A proxy whose host has no processor to spare, and which asks for fewer changes.

const stop = new AbortController();
let owned: AsyncDisposable[] = [];
let installation: Installation;
let port: number;
let token: string;

/** Has it end with the test. */
function own<T extends AsyncDisposable>(each: T): T {
  owned.push(each);
  return each;
}

const control = () => installation.client.control;

/** A service `web` with one container that answers, and a load balancer for it that has no proxy yet. */
beforeEach(async () => {
  installation = own(await Installation.start());
  const backend = own(await TestBackend.start('web'));
  port = await freePort();
  const { address: coordinator } = installation.coordinator;
  const joinToken = await installation.joinToken();
  const at = { name: 'n', tags: [], address: '127.0.0.1', port: backend.port };
  own(await SimulatedNode.start({ coordinator, joinToken, ...at }, stop.signal));
  const web = { image: 'web:1', replicas: 1, ports: [{ containerPort: 80 }] };
  await control().createService({ name: 'web', spec: web, start: true });
  const ports = [{ containerPort: 80, published: true, hostPort: port }];
  const lb = { image: 'lb:1', apiRole: ApiRole.PROXY, ports, links: [{ service: 'web' }] };
  await control().createService({ name: 'lb', spec: lb });
  const wish = { name: 'of-lb', role: Role.PROXY, services: ['lb'] };
  ({ secret: token } = await control().createToken(wish));
});

afterEach(async () => {
  for (const each of owned.reverse()) await each[Symbol.asyncDispose]();
  owned = [];
});

test('is sent what changed no sooner than it asked for', async () => {
  const directory = own(new TemporaryDirectory());
  const { address: coordinator } = installation.coordinator;
  const trustFile = directory.join('trust.json');
  const session = own(new SessionInProcess({ coordinator, token, trustFile }));
  const scaled = async (replicas: number) => {
    await control().scaleService({ service: 'web', replicas });
    await eventually(() => {
      const modes = [...session.list.targets.values()].map(({ mode }) => mode);
      expect(modes).toEqual(Array.from({ length: replicas }, () => 'ready'));
    });
  };
  await scaled(1);
  session.pressure.isHigh = true;
  session.outbox.setPace(1_000);
  const fromMs = systemClock.monotonic();
  await scaled(2);
  await scaled(3);
  expect(systemClock.monotonic() - fromMs).toBeGreaterThan(990);
});

test('loses no request while its service is scaled and deployed anew', async () => {
  const directory = own(new HaproxyDirectory());
  const { address: coordinator } = installation.coordinator;
  const config = proxyConfig({ coordinator, stateDir: directory.path, token, service: 'lb' });
  own(new RunningProxyAgent(config, undefined, { isHigh: true }));
  await eventually(
    async () => {
      expect((await fetch(`http://127.0.0.1:${port}/`)).status).toBe(200);
    },
    { timeoutMs: 20_000 },
  );
  const load = new Load(port);
  await load.more(30);
  const done = async ({ action }: { readonly action?: { readonly id: string } | undefined }) => {
    await installation.client.waitForAction(action!.id);
  };
  for (const replicas of [4, 2, 3, 1]) {
    await done(await control().scaleService({ service: 'web', replicas }));
  }
  await done(await control().redeployService({ service: 'web' }));
  await load.more(30);
  expect((await load.stop()).failures).toEqual([]);
});
