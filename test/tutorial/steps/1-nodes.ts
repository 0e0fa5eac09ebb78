import { NodeState } from '../../../client/index.ts';
import { must } from '../report.ts';
import { clusterName, type Tour } from '../tour.ts';

interface ListedNode {
  readonly name: string;
  readonly cluster?: string;
  readonly tags?: string[];
  readonly clusterTags?: string[];
  readonly automaticTags?: string[];
}

/** Step 1: a cluster of four nodes, whose tag `web` they all have. */
export async function tagNodes(tour: Tour): Promise<void> {
  const { report, shell, client, signal, narrator } = tour;
  narrator.step('1  A cluster of four nodes with the tag web');
  const nodes = await shell.run<ListedNode[]>(['node', 'ls'], signal);
  await report.check('1.T1', 'four nodes of the web tag are deployed', async () => {
    const answer = await client.control.listNodes({ tags: ['web'] });
    const ready = answer.nodes.filter(({ state }) => state === NodeState.READY);
    must(ready.length === 4, `${ready.length} of ${answer.nodes.length} are ready`);
    return ready.map(({ name }) => name).join(', ');
  });
  await report.check(
    '1.T2',
    'each of the four has the tag web from the cluster, the fifth has not; all have automatic tags',
    () => tagsSeen(nodes),
  );
  await report.check(
    '1.T4',
    'the cluster shows how many hosts it has, and is to have',
    async () => {
      const { stdout } = await shell.try(['cluster', 'inspect', clusterName], signal);
      const { currentNodes, targetNodes, readyNodes, state, message } = JSON.parse(stdout) as {
        readonly [field: string]: unknown;
      };
      const seen = `${String(currentNodes)}/${String(targetNodes)}`;
      must(seen === '4/4' && readyNodes === 4, `${seen}, ${String(readyNodes)} ready`);
      must(state === 'NODE_CLUSTER_STATE_COMPLETE', `it is ${String(state)}: ${String(message)}`);
      return `${seen}, complete`;
    },
  );
  await report.check('1.T5', 'the progress of the hosts is on record', async () => {
    const { events } = await client.control.listEvents({ limit: 1_000 });
    const joined = events.filter(({ type }) => type === 'node.joined');
    must(joined.length === 5, `${joined.length} joins are on record`);
    const { actions } = await client.control.listActions({});
    const token = actions.find(({ method }) => method === 'CreateToken');
    must(token !== undefined, 'no action says that the join token was made');
    return `${joined.map(({ objectName }) => objectName).join(', ')} joined; ${actions.length} actions`;
  });
}

/** What a host has by itself, whatever cluster it is in. */
const hostKeys = ['arch', 'os', 'hostname'];

function tagsSeen(nodes: readonly ListedNode[]): string {
  const tagged = nodes.filter(({ clusterTags = [] }) => clusterTags.includes('web'));
  const names = tagged.map(({ name }) => name).join();
  must(names === 'host-1,host-2,host-3,host-4', `tagged: ${names}`);
  for (const { name, tags = [], automaticTags = [] } of nodes) {
    must(tags.length === 0, `${name} has tags of its own: ${tags.join(', ')}`);
    const keys = automaticTags.map((tag) => tag.slice(0, tag.indexOf('=')));
    const isMember = tagged.some((node) => node.name === name);
    const wanted = isMember ? ['cluster', ...hostKeys] : hostKeys;
    must(
      keys.join() === wanted.join(),
      `the automatic tags of ${name}: ${automaticTags.join(', ')}`,
    );
    const isNamed = automaticTags.includes(`cluster=${clusterName}`);
    must(isNamed === isMember, `${name} has ${automaticTags.join(', ')}`);
  }
  const [first] = tagged;
  return `host-1 to host-4; automatic: ${first?.automaticTags?.join(', ') ?? ''}`;
}
