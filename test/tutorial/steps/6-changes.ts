import { ContainerPhase, type Container } from '../../../client/index.ts';
import { open, reload } from '../browser.ts';
import { Load } from '../load.ts';
import { must } from '../report.ts';
import { named, type Tour } from '../tour.ts';

/** What must stay the same while the service behind the load balancer changes. */
interface Untouched {
  readonly container: string;
  readonly haproxyPid: number;
}

/** Step 6: the load balancer follows the service, under load, and no request fails. */
export async function changeWeb(tour: Tour): Promise<void> {
  const { narrator, signal, report } = tour;
  narrator.step('6  As the web service changes, lb follows');
  const url = await tour.lbUrl();
  const before = await untouched(tour);
  await using load = new Load(url, { workers: 4, pauseMs: 20 }, signal);
  await scaleUp(tour, url, before);
  await scaleDown(tour, url);
  await changeOne(tour, url);
  await redeploy(tour, url);
  const failed = load.failures;
  await load[Symbol.asyncDispose]();
  await relink(tour, url);
  await crash(tour, url);
  await report.check(
    '6.B',
    'under load no request failed, and HAProxy was never reloaded',
    async () => {
      const after = await untouched(tour);
      must(JSON.stringify(after) === JSON.stringify(before), 'lb was replaced or reloaded');
      const [first] = failed;
      must(
        first === undefined,
        `${failed.length} of ${load.entries.length}: ${first?.outcome ?? ''}`,
      );
      return `0 of ${load.entries.length} requests failed`;
    },
  );
}

async function scaleUp(tour: Tour, url: string, before: Untouched): Promise<void> {
  await tour.report.check(
    '6.T1',
    'scaled to 12: the new ones get requests, lb is untouched',
    async () => {
      await tour.shell.run(['service', 'scale', 'web', '12'], tour.signal);
      const { counts } = await reload(url, 48, tour.signal);
      const names = Array.from({ length: 12 }, (_, index) => `web-${index + 1}`);
      const missing = names.filter((name) => !counts.has(name));
      must(missing.length === 0, `no request went to ${missing.join(', ')}`);
      const after = await untouched(tour);
      must(JSON.stringify(after) === JSON.stringify(before), 'lb was replaced or reloaded');
      return `${counts.size} host names; the same HAProxy process`;
    },
  );
}

async function scaleDown(tour: Tour, url: string): Promise<void> {
  await tour.report.check('6.T2', 'scaled to 3: no request to what is gone', async () => {
    await tour.shell.run(['service', 'scale', 'web', '3'], tour.signal);
    const left = (await tour.containers('web')).map(({ name }) => name);
    must(left.length === 3, `${left.length} containers are left`);
    const { counts } = await reload(url, 30, tour.signal);
    const others = [...counts.keys()].filter((name) => !left.includes(name));
    must(others.length === 0, `requests went to ${others.join(', ')}`);
    return `30 requests to ${[...counts.keys()].join(', ')}`;
  });
}

async function changeOne(tour: Tour, url: string): Promise<void> {
  const { shell, signal } = tour;
  await tour.report.check(
    '6.T3',
    'one container stopped, started, redeployed, removed',
    async () => {
      const [first] = await tour.containers('web');
      const name = first?.name ?? '';
      await shell.run(['container', 'stop', name], signal);
      must(
        !(await reload(url, 12, signal)).counts.has(name),
        `${name} got a request while stopped`,
      );
      const seen: string[] = ['stopped: no request'];
      for (const verb of ['start', 'redeploy', 'rm']) {
        const { id } = named(await tour.containers('web'), name);
        await shell.run(['container', verb, name], signal);
        const fresh = await tour.until(async () =>
          readyOne(await tour.containers('web'), name, id),
        );
        const { counts } = await reload(url, 12, signal);
        must(counts.has(name), `${name} got no request after ${verb}`);
        seen.push(`${verb}: another container on ${fresh.node}, in rotation`);
      }
      return seen.join('; ');
    },
  );
}

function readyOne(containers: readonly Container[], name: string, notId: string): Container {
  const fresh = containers.find((c) => c.name === name && c.id !== notId && c.ready);
  if (fresh === undefined) throw new Error(`${name} has no ready successor`);
  return fresh;
}

async function redeploy(tour: Tour, url: string): Promise<void> {
  await tour.report.check('6.T4', 'web redeployed: lb follows to new nodes and ports', async () => {
    const before = new Set((await tour.containers('web')).map(({ id }) => id));
    await tour.shell.run(['service', 'redeploy', 'web'], tour.signal);
    const after = await tour.containers('web');
    must(after.length === 3 && after.every(({ id }) => !before.has(id)), 'old ones are left');
    const { counts } = await reload(url, 12, tour.signal);
    must(counts.size === 3 && !counts.has('status 503'), [...counts.keys()].join(', '));
    return `3 fresh containers: ${after.map(({ name, node }) => `${name} on ${node}`).join(', ')}`;
  });
}

async function relink(tour: Tour, url: string): Promise<void> {
  const { shell, signal } = tour;
  await tour.report.check(
    '6.T5',
    'link removed and added: applied without redeploying lb',
    async () => {
      const before = await untouched(tour);
      await shell.run(['link', 'rm', 'lb', 'web'], signal);
      await tour.until(async () => {
        const { status } = await open(url, signal);
        must(status === 503, `status ${status} without a link`);
      });
      await shell.run(['link', 'add', 'lb', 'web'], signal);
      await tour.until(async () => {
        const { status } = await open(url, signal);
        must(status === 200, `status ${status} with the link`);
      });
      const after = await untouched(tour);
      must(JSON.stringify(after) === JSON.stringify(before), 'lb was replaced or reloaded');
      return 'removed: 503 at once, port open; added: 200; the same HAProxy process';
    },
  );
}

async function crash(tour: Tour, url: string): Promise<void> {
  await tour.report.check('6.T6', 'a crashed container comes back into rotation', async () => {
    const [victim] = await tour.containers('web');
    const [endpoint] = (await tour.endpoints('web')).filter(
      ({ container }) => container === victim?.name,
    );
    const name = victim?.name ?? '';
    const hit = open(`${endpoint?.url ?? ''}/crash`, tour.signal, { method: 'POST' });
    await hit.catch(() => undefined);
    const back = await tour.until(async () => {
      const container = named(await tour.containers('web'), name);
      must(container.restarts > 0, 'not restarted yet');
      must(container.phase === ContainerPhase.RUNNING && container.ready, 'not ready yet');
      return container;
    });
    await tour.until(async () => {
      const { counts } = await reload(url, 6, tour.signal);
      must(counts.has(name), `${name} gets no request`);
    });
    return `${name} restarted ${back.restarts} time(s) on ${back.node}, in rotation again`;
  });
}

async function untouched(tour: Tour): Promise<Untouched> {
  const lb = named(await tour.containers('lb'), 'lb-1');
  const [proxy] = await tour.proxies('lb');
  return { container: lb.engineId, haproxyPid: proxy?.haproxyPid ?? 0 };
}
