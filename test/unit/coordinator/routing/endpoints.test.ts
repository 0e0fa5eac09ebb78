import { describe, expect, test } from 'vitest';
import { endpointsOf } from '../../../../coordinator/routing/endpoints.ts';
import type { Container, Observed, PortBinding } from '../../../../coordinator/model.ts';
import {
  aBinding,
  aContainer,
  aNode,
  anObservation,
  aPort,
  aService,
  aSpec,
} from '../../../support/builders.ts';

const node = aNode({ publicAddress: '203.0.113.1' });

function endpoints(
  observed: Partial<Observed>,
  { container = {}, hostPort = 0 }: { container?: Partial<Container>; hostPort?: number } = {},
) {
  const service = aService({ spec: aSpec({ ports: [aPort({ hostPort })] }) });
  return endpointsOf({
    service,
    container: aContainer(container),
    observed: anObservation(observed),
    node,
  });
}

const urlOf = (binding: Partial<PortBinding>) => endpoints({ ports: [aBinding(binding)] })[0]?.url;

test('a published port of a running container is one', () => {
  expect(endpoints({})).toEqual([
    {
      id: 'web-1-id:80/tcp',
      kind: 'container',
      service: 'web',
      container: 'web-1',
      node: 'node-1',
      url: 'http://203.0.113.1:49153',
      containerPort: 80,
      hostPort: 49_153,
      ready: true,
    },
  ]);
});

test('a fixed port stands for the service as well', () => {
  const found = endpoints({ ports: [aBinding({ hostPort: 80 })] }, { hostPort: 80 });
  expect(found.map(({ id, kind }) => [id, kind])).toEqual([
    ['web-id:80/tcp:node-1', 'service'],
    ['web-1-id:80/tcp', 'container'],
  ]);
});

test.each([
  ['http://203.0.113.1', { hostPort: 80 }],
  ['http://203.0.113.1:8080', { hostPort: 8080 }],
  ['https://203.0.113.1:443', { containerPort: 443, hostPort: 443 }],
  ['udp://203.0.113.1:53', { protocol: 'udp' as const, hostPort: 53 }],
])('the URL is %s', (url, binding) => {
  expect(urlOf(binding)).toBe(url);
});

test('an IPv6 address has brackets', () => {
  const [endpoint] = endpointsOf({
    service: aService(),
    container: aContainer(),
    observed: anObservation(),
    node: { ...node, publicAddress: '2001:db8::1' },
  });
  expect(endpoint?.url).toBe('http://[2001:db8::1]:49153');
});

describe('there is none', () => {
  test.each<[string, Partial<Observed>]>([
    ['for a port that is not published', { ports: [aBinding({ published: false })] }],
    ['before the container runs', { phase: 'starting' }],
    ['after it ended', { phase: 'stopped' }],
  ])('%s', (_, observed) => {
    expect(endpoints(observed)).toEqual([]);
  });

  test('without a report or a node', () => {
    const source = { service: aService(), container: aContainer() };
    expect(endpointsOf({ ...source, observed: undefined, node })).toEqual([]);
    expect(endpointsOf({ ...source, observed: anObservation(), node: undefined })).toEqual([]);
  });
});

test('one is ready when its container is, and nobody takes that away', () => {
  expect(endpoints({ ready: false })[0]?.ready).toBe(false);
  expect(endpoints({}, { container: { wanted: 'draining' } })[0]?.ready).toBe(false);
});
