import { reload } from '../browser.ts';
import { must } from '../report.ts';
import type { Tour } from '../tour.ts';

const requests = 30;

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

async function evenShares(url: string, signal: AbortSignal): Promise<string> {
  const { counts } = await reload(url, requests, signal);
  const each = [...counts.values()];
  const text = [...counts].map(([name, count]) => `${name}: ${count}`).join(', ');
  must(counts.size === 3 && Math.max(...each) - Math.min(...each) <= 1, text);
  return text;
}
