import { expect, test } from 'vitest';
import type { ServiceSpec } from '../../../../coordinator/model.ts';
import { routeWarning } from '../../../../coordinator/routing/route-warnings.ts';
import { aBalancing, aPort, aService, aSpec } from '../../../support/builders.ts';
import { aRoute } from '../../../support/routes.ts';

const lb = (...links: string[]) =>
  aService({
    name: 'lb',
    spec: aSpec({
      apiRole: 'proxy',
      ports: [aPort(), aPort({ containerPort: 53, protocol: 'udp' })],
      links: links.map((service) => ({ service, alias: service })),
    }),
  });
const web = (changes: Partial<ServiceSpec>) => aService({ spec: aSpec(changes) });
const split = [{ service: 'green', percent: 5, targetPort: 0 }];

test.each<[string, Partial<ServiceSpec>, readonly string[]]>([
  ['', {}, []],
  ['no load balancer links to it', { routes: [aRoute()] }, []],
  ['', { routes: [aRoute({ port: 80 })] }, ['web']],
  ['lb has no TCP port 53', { routes: [aRoute(), aRoute({ port: 53 })] }, ['web']],
  ['lb does not link to green', { routes: [aRoute({ split })] }, ['web']],
  ['', { routes: [aRoute({ split })] }, ['web', 'green']],
  ['lb does not link to standby', { balancing: aBalancing({ backups: ['standby'] }) }, ['web']],
])('says "%s"', (words, spec, links) => {
  const warning = routeWarning(web(spec), [lb(...links)]);
  if (words === '') expect(warning).toBe('');
  else expect(warning).toContain(words);
});
