import { reload } from '../browser.ts';
import { must } from '../report.ts';
import type { Tour } from '../tour.ts';

const requests = 30;
/** How long answers may be kept by default. */
const ttlMs = 5_000;

/** Step 7: more than one load balancer. */
export async function scaleLb(tour: Tour): Promise<void> {
  const { report, shell, signal, narrator } = tour;
  narrator.step('7  Load balancing the load balancer');
  await report.check('7.T1', 'lb scaled to 2: on distinct nodes, because of port 80', async () => {
    await shell.run(['service', 'scale', 'lb', '2'], signal);
    const nodes = (await tour.containers('lb')).map(({ node }) => node);
    must(nodes.length === 2 && new Set(nodes).size === 2, `on ${nodes.join(', ')}`);
    return nodes.join(', ');
  });
  await checkNames(tour);
  await report.check('7.T4', 'both list the same backends, and share evenly', async () => {
    const lists = await tour.until(async () => {
      const proxies = await tour.proxies('lb');
      const names = proxies.map(({ servers }) =>
        servers
          .map(({ name }) => name)
          .sort()
          .join(),
      );
      must(names.length === 2 && names[0] === names[1] && names[0] !== '', names.join(' | '));
      const applied = proxies.every((p) => p.appliedVersion === p.publishedVersion);
      must(applied, 'not applied yet');
      return proxies;
    });
    const urls = new Set((await tour.endpoints('lb')).map(({ url }) => url));
    const shares: string[] = [];
    for (const url of urls) {
      // A server that HAProxy takes back (after step 6's new link) gets its share from the next round
      // of its weights on, that is after 16 requests a server at the most.
      shares.push(await tour.until(() => evenShares(url, signal)));
    }
    return `${lists[0]?.servers.length ?? 0} backends each; ${shares.join(' | ')}`;
  });
}

async function checkNames(tour: Tour): Promise<void> {
  const { report, shell, signal } = tour;
  await report.check('7.T2', 'the name lb has the address of each node that runs one', async () => {
    const addresses = await tour.until(() => namesNodesOf(tour, 2));
    const firsts = new Set<string | undefined>();
    await tour.until(async () => {
      firsts.add((await tour.resolve('lb'))[0]);
      must(firsts.size === 2, 'each answer begins with the same address');
    });
    return `lb.fairlead.internal: ${addresses.join(', ')}, in turn`;
  });
  await report.check('7.T3', 'the addresses follow scaling, and a death within 5 s', async () => {
    await shell.run(['service', 'scale', 'lb', '3'], signal);
    const three = await tour.until(() => namesNodesOf(tour, 3), ttlMs);
    const [victim] = await tour.containers('lb');
    if (victim === undefined) throw new Error('lb has no containers');
    await tour.fleet.host(victim.node).docker(['pause', victim.engineId], signal);
    const left = await tour.until(() => namesNodesOf(tour, 2), ttlMs);
    await tour.fleet.host(victim.node).docker(['unpause', victim.engineId], signal);
    await tour.until(() => namesNodesOf(tour, 3));
    await shell.run(['service', 'scale', 'lb', '2'], signal);
    await tour.until(() => namesNodesOf(tour, 2), ttlMs);
    return `${three.length}, then ${left.length} without ${victim.name}, then 3, then 2`;
  });
  await report.check('7.T5', 'each container has a name with one address', async () => {
    const lines = await Promise.all(
      (await tour.containers('lb')).map(async ({ name, id, node }) => {
        const full = `${name}.${id.slice(0, 8)}.cont`;
        const addresses = await tour.resolve(full);
        must(addresses.join() === (await tour.resolve(`${node}.node`)).join(), `not on ${node}`);
        must(addresses.length === 1, `${full}: ${addresses.join(', ')}`);
        return `${full}: ${addresses.join(', ')}`;
      }),
    );
    return lines.join(', ');
  });
}

/** The addresses of lb, if they are those of the nodes that run a ready one, and so many. */
async function namesNodesOf(tour: Tour, count: number): Promise<string[]> {
  const ready = (await tour.containers('lb')).filter(({ ready: isReady }) => isReady);
  const expected = ready.map(({ node }) => tour.fleet.host(node).address);
  const addresses = await tour.resolve('lb');
  must(addresses.length === count, `lb has ${addresses.length} addresses`);
  must(
    addresses.toSorted().join() === [...new Set(expected)].sort().join(),
    `${addresses.join(', ')} are not the nodes of lb`,
  );
  return addresses;
}

async function evenShares(url: string, signal: AbortSignal): Promise<string> {
  const { counts } = await reload(url, requests, signal);
  const each = [...counts.values()];
  const text = [...counts].map(([name, count]) => `${name}: ${count}`).join(', ');
  must(counts.size === 3 && Math.max(...each) - Math.min(...each) <= 1, text);
  return text;
}
