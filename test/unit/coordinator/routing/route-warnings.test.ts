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
const secured = aService({
  name: 'lb',
  spec: { ...lb('web').spec, tls: { ...lb().spec.tls, ports: [80] } },
});
const web = (changes: Partial<ServiceSpec>) => aService({ spec: aSpec(changes) });
const splitTo = (targetPort: number) => [{ service: 'green', percent: 5, targetPort }];
const split = splitTo(0);
const toPortless = [{ service: 'portless', percent: 5, targetPort: 0 }];
const sticky = aBalancing({ stickyCookie: 'SRV' });
const others = [
  aService({
    name: 'green',
    spec: aSpec({ ports: [aPort(), aPort({ containerPort: 53, protocol: 'udp' })] }),
  }),
  aService({
    name: 'alike',
    spec: aSpec({ balancing: aBalancing({ ...sticky, sendProxy: true }) }),
  }),
  aService({ name: 'portless', spec: aSpec({ ports: [] }) }),
];

test.each<[string, Partial<ServiceSpec>, readonly string[]]>([
  ['', {}, []],
  ['no load balancer links to it', { routes: [aRoute()] }, []],
  ['', { routes: [aRoute({ port: 80 })] }, ['web']],
  ['lb has no TCP port 53', { routes: [aRoute(), aRoute({ port: 53 })] }, ['web']],
  ['lb does not link to green', { routes: [aRoute({ split })] }, ['web']],
  ['', { routes: [aRoute({ split })] }, ['web', 'green']],
  ['green has no TCP port 9000', { routes: [aRoute({ split: splitTo(9000) })] }, ['web', 'green']],
  ['green has no TCP port 53', { routes: [aRoute({ split: splitTo(53) })] }, ['web', 'green']],
  ['', { routes: [aRoute({ split: splitTo(80) })] }, ['web', 'green']],
  ['portless has no TCP port:', { routes: [aRoute({ split: toPortless })] }, ['web', 'portless']],
  ['lb has it in one pool with green', { balancing: sticky }, ['web', 'green']],
  ['', { balancing: sticky }, ['web']],
  ['', { balancing: sticky }, ['web', 'alike']],
  ['', { balancing: sticky, routes: [aRoute()] }, ['web', 'green']],
  ['', { balancing: aBalancing({ ...sticky, backups: ['green'] }) }, ['web', 'green']],
  ['', { balancing: aBalancing({ sendProxy: true, http2Ports: [80] }) }, ['web', 'green']],
  ['lb does not link to standby', { balancing: aBalancing({ backups: ['standby'] }) }, ['web']],
])('says "%s"', (words, spec, links) => {
  const service = web(spec);
  const warning = routeWarning(service, [lb(...links), service, ...others]);
  if (words === '') expect(warning).toBe('');
  else expect(warning).toContain(words);
});

test('says of a port that is passed on as it is that the load balancer cannot speak TLS there', () => {
  const passed = web({ routes: [aRoute({ kind: 'tls-passthrough', port: 80, name: 'passed' })] });
  expect(routeWarning(passed, [secured, passed])).toContain('as the route passed passes on');
  expect(routeWarning(passed, [lb('web'), passed])).toBe('');
  const bytes = web({ routes: [aRoute({ kind: 'tcp', port: 80 })] });
  expect(routeWarning(bytes, [secured, bytes])).toBe('');
});
