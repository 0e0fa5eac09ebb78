import { NodeState } from '../../../client/index.ts';
import { must } from '../report.ts';
import type { Tour } from '../tour.ts';

/** Step 1: four nodes have the tag `web`. */
export async function tagNodes(tour: Tour): Promise<void> {
  const { report, shell, client, signal, narrator } = tour;
  narrator.step('1  Four nodes with the tag web');
  const nodes = await shell.run<{ name: string; tags?: string[] }[]>(['node', 'ls'], signal);
  await report.check('1.T1', 'four nodes of the web tag are deployed', async () => {
    const answer = await client.control.listNodes({ tags: ['web'] });
    const ready = answer.nodes.filter(({ state }) => state === NodeState.READY);
    must(ready.length === 4, `${ready.length} of ${answer.nodes.length} are ready`);
    return ready.map(({ name }) => name).join(', ');
  });
  await report.check('1.T2', 'each of the four has the tag web, the fifth has not', () => {
    const tagged = nodes.filter(({ tags = [] }) => tags.includes('web')).map(({ name }) => name);
    must(tagged.join() === 'host-1,host-2,host-3,host-4', `tagged: ${tagged.join(', ')}`);
    return tagged.join(', ');
  });
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
