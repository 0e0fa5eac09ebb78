import { EndpointKind } from '../../../client/index.ts';
import { open } from '../browser.ts';
import { must } from '../report.ts';
import type { Tour } from '../tour.ts';

/** Step 3: each of the eight answers at an endpoint of its own. */
export async function testWeb(tour: Tour): Promise<void> {
  const { report, shell, signal, narrator } = tour;
  narrator.step('3  Test web');
  await shell.run(['endpoint', 'ls', 'web'], signal);
  const endpoints = await tour.endpoints('web');
  const own = endpoints.filter(({ kind }) => kind === EndpointKind.CONTAINER);
  await report.check('3.T1', 'eight container endpoints', () => {
    must(own.length === 8, `${own.length} endpoints`);
    const odd = own.find(({ url }) => !/^http:\/\/[^/]+:\d+$/.test(url));
    must(odd === undefined, `${odd?.url ?? ''} is not http://HOST:PORT`);
    return own.map(({ url }) => url).join(', ');
  });
  const pages = await Promise.all(own.map(({ url }) => open(url, signal)));
  await report.check('3.T2', 'each answers 200 from outside its node', () => {
    const statuses = pages.map(({ status }) => status);
    must(
      statuses.every((status) => status === 200),
      statuses.join(', '),
    );
    const { caveat } = tour.fleet.site;
    const from = caveat === '' ? '' : ', from the machine that all hosts share';
    return `${statuses.length} times 200${from}`;
  });
  await report.check('3.T3', 'each shows the host name of its own container', () => {
    for (const [index, { hostname }] of pages.entries()) {
      const { container = '' } = own[index] ?? {};
      must(hostname === container, `the endpoint of ${container} shows ${hostname}`);
    }
    const names = new Set(pages.map(({ hostname }) => hostname));
    must(names.size === 8, `${names.size} different names`);
    return [...names].join(', ');
  });
  await report.check('3.T4', 'no service endpoint is claimed for a dynamic port', () => {
    const shared = endpoints.filter(({ kind }) => kind === EndpointKind.SERVICE);
    must(shared.length === 0, shared.map(({ url }) => url).join(', '));
    return 'none';
  });
}
