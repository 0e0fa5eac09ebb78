import { EndpointKind } from '../../../client/index.ts';
import { open, reload } from '../browser.ts';
import { must } from '../report.ts';
import { named, type Tour } from '../tour.ts';
import { statsAuth } from './4-lb.ts';

const rounds = 5;

/** Step 5: one address, eight hosts in turn. */
export async function testLb(tour: Tour): Promise<void> {
  const { report, signal, narrator } = tour;
  narrator.step('5  Test the load-balanced web service');
  const url = await tour.lbUrl();
  await report.check('5.T1', 'the endpoint is on port 80', async () => {
    const service = (await tour.endpoints('lb')).find(({ kind }) => kind === EndpointKind.SERVICE);
    must(service?.hostPort === 80, `the service endpoint is ${service?.url ?? 'missing'}`);
    must(new URL(url).port === '', `the URL is ${url}`);
    return url;
  });
  await report.check('5.T2', 'it shows the same page', async () => {
    const page = await open(url, signal);
    must(page.status === 200 && page.hostname.startsWith('web-'), `${page.status} ${page.body}`);
    return `My hostname is ${page.hostname}`;
  });
  narrator.command(`curl ${url}    (${rounds * 8} times)`);
  const { inTurn, counts } = await reload(url, rounds * 8, signal);
  await report.check('5.T3', `${rounds * 8} requests: each of 8 host names ${rounds} times`, () => {
    const text = [...counts].map(([name, count]) => `${name}: ${count}`).join(', ');
    must(counts.size === 8 && [...counts.values()].every((count) => count === rounds), text);
    return text;
  });
  await report.check('5.T4', 'the host name changes on every refresh', () => {
    const repeated = inTurn.findIndex((name, index) => name === inTurn[index - 1]);
    must(repeated < 1, `${inTurn[repeated] ?? ''} twice in a row`);
    return inTurn.slice(0, 9).join(' ');
  });
  await report.check('5.T5', 'the statistics page is there', async () => {
    const lb = named(await tour.containers('lb'), 'lb-1');
    const page = await tour.exec(lb, ['wget', '-qO-', `http://${statsAuth}@127.0.0.1:1936/`]);
    must(page.includes('HAProxy'), page.slice(0, 200));
    const [proxy] = await tour.proxies('lb');
    const servers = proxy?.servers.length ?? 0;
    must(servers === 8, `${servers} servers in lb status`);
    return `on port 1936 inside lb-1; lb status lists ${servers} servers`;
  });
}
