import type { NodePlan } from '../../support/fleet/fleet.ts';
import { must } from '../report.ts';
import { clusterName, type Tour } from '../tour.ts';

/** Four hosts of a cluster for the web service, and one in none for whatever has no constraint. */
const members: readonly NodePlan[] = [1, 2, 3, 4].map((number) => ({
  name: `host-${number}`,
  tags: [],
}));

const last: NodePlan = { name: 'host-5', tags: [] };
const names = [...members, last].map(({ name }) => name);

/** Step 0: one command with a token makes a host a node. */
export async function linkHosts(tour: Tour): Promise<void> {
  const { fleet, report, signal, narrator } = tour;
  narrator.step('0  Link five hosts');
  await fleet.startCoordinator(signal);
  await createCluster(tour);
  await report.check(
    '0.T',
    'one command with a token registers a host, safely repeated',
    async () => {
      const token = await clusterToken(tour);
      narrator.command('fairlead agent run --coordinator …     (on each host, once)');
      const beganAt = performance.now();
      const plans = [...members.map((plan) => ({ ...plan, token })), last];
      await Promise.all(plans.map((plan) => fleet.startAgent(plan, signal)));
      await fleet.nodesReady(names, signal);
      const tookMs = Math.round(performance.now() - beganAt);
      must(tookMs < 15_000, `the nodes were ready after ${tookMs} ms only`);
      const before = await idOf(tour);

      await fleet.agent(last.name).stop(5_000, signal);
      await fleet.startAgent(last, signal);
      await fleet.nodesReady([last.name], signal);
      must((await idOf(tour)) === before, 'the same command again made another node');

      const reboot = await rebootLast(tour);
      must((await idOf(tour)) === before, 'the host came back as another node');
      const { nodes } = await tour.client.control.listNodes({});
      must(nodes.length === 5, `${nodes.length} nodes are known`);
      return `5 hosts ready ${tookMs} ms after the command; run again: the same node; ${reboot}`;
    },
  );
}

/** A cluster of four waits for its hosts, and says so. */
async function createCluster({ shell, signal }: Tour): Promise<void> {
  const wish = ['cluster', 'create', clusterName, '--nodes', '4', '--tag', 'web'];
  const { message } = await shell.run<{ message: string }>(wish, signal);
  must(message === 'waiting for 4 more hosts', `the new cluster says "${message}"`);
}

/** The secret that its hosts join with: good for four, for an hour. */
async function clusterToken({ shell, signal }: Tour): Promise<string> {
  const limits = ['--max-uses', '4', '--lifetime', '1h'];
  const wish = ['token', 'create', '--role', 'node', '--cluster', clusterName, ...limits];
  return (await shell.run<{ secret: string }>(wish, signal)).secret;
}

/** A reboot keeps the identity, and the host comes back by itself. */
async function rebootLast({ fleet, signal }: Tour): Promise<string> {
  const { reboot, caveat } = fleet.site;
  if (reboot === null) return `no reboot tried (${caveat})`;
  await reboot(fleet.host(last.name), signal);
  // What systemd does at boot: the same command, which finds its identity.
  await fleet.startAgent(last, signal);
  await fleet.nodesReady([last.name], signal);
  return 'rebooted: the same node';
}

async function idOf({ client }: Tour): Promise<string> {
  const { node } = await client.control.getNode({ node: last.name });
  return node?.id ?? '';
}
