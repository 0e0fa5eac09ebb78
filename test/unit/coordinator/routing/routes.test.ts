import { describe, expect, test } from 'vitest';
import type { Container, Observed, Service } from '../../../../coordinator/model.ts';
import { balancedPort, frontendsOf, targetOf } from '../../../../coordinator/routing/routes.ts';
import {
  aBinding,
  aContainer,
  aDefinition,
  anObservation,
  aPort,
  aService,
  aSpec,
  containerId,
} from '../../../support/builders.ts';

interface Case {
  readonly service?: Partial<Service>;
  readonly container?: Partial<Container>;
  readonly observed?: Partial<Observed> | null;
}

function target({ service, container, observed = {} }: Case) {
  return targetOf(aService(service), {
    container: aContainer({ id: containerId('0123456789abcdef'), ...container }),
    observed: observed === null ? undefined : anObservation(observed),
    advertiseAddress: '10.0.0.7',
  });
}

describe('a container', () => {
  test('that is ready takes requests at its node', () => {
    expect(target({})).toEqual({
      id: 'web-1.01234567.49153',
      backend: 'default',
      containerId: '0123456789abcdef',
      container: 'web-1',
      address: '10.0.0.7',
      port: 49_153,
      mode: 'ready',
      drainTimeoutMs: 30_000,
    });
  });

  test('that is bound to one address takes them there', () => {
    expect(target({ observed: { ports: [aBinding({ hostAddress: '10.9.9.9' })] } })).toMatchObject({
      address: '10.9.9.9',
    });
  });

  test.each<[string, Case]>([
    ['is not ready', { observed: { ready: false } }],
    ['is being taken away', { container: { wanted: 'draining' } }],
  ])('drains while it %s', (_, case_) => {
    expect(target(case_)?.mode).toBe('drain');
  });

  test.each<[string, Case]>([
    ['nobody reported', { observed: null }],
    ['does not run yet', { observed: { phase: 'starting', ready: false } }],
    ['is stopping', { observed: { phase: 'stopping' } }],
    ['has ended', { observed: { phase: 'stopped' } }],
    ['is to be stopped', { container: { wanted: 'stopped' } }],
    ['is to be removed', { container: { wanted: 'removed' } }],
    ['has no port that could be reached', { observed: { ports: [] } }],
    ['is reached by UDP alone', { observed: { ports: [aBinding({ protocol: 'udp' })] } }],
    [
      'is of a service with no port',
      {
        service: { spec: aSpec({ ports: [] }) },
        container: { definition: aDefinition({ ports: [] }) },
      },
    ],
  ])('that %s has no target', (_, case_) => {
    expect(target(case_)).toBeNull();
  });

  test('takes requests at the first TCP port of its service', () => {
    const ports = [
      aPort({ containerPort: 53, protocol: 'udp' }),
      aPort({ containerPort: 8080 }),
      aPort({ containerPort: 80 }),
    ];
    const bindings = [
      aBinding({ containerPort: 80, hostPort: 1 }),
      aBinding({ containerPort: 8080, hostPort: 2 }),
    ];
    expect(balancedPort(ports)).toBe(8080);
    expect(
      target({
        service: { spec: aSpec({ ports }) },
        container: { definition: aDefinition({ ports }) },
        observed: { ports: bindings },
      })?.port,
    ).toBe(2);
  });

  test('of another revision takes requests at its own port', () => {
    const spec = aSpec({ ports: [aPort({ containerPort: 8080 })] });
    expect(target({ service: { spec } })?.port).toBe(49_153);
  });

  test('has another target when its port changes', () => {
    const moved = target({ observed: { ports: [aBinding({ hostPort: 49_200 })] } });
    expect(moved?.id).toBe('web-1.01234567.49200');
  });
});

describe('a proxy listens', () => {
  const ports = [
    aPort({ containerPort: 80, hostPort: 8080 }),
    aPort({ containerPort: 443 }),
    aPort({ containerPort: 53, protocol: 'udp' }),
    aPort({ containerPort: 1936 }),
  ];

  test('in a container on its TCP ports, but for that of the statistics', () => {
    expect(frontendsOf(ports, 'container').map(({ name, port }) => [name, port])).toEqual([
      ['http_80', 80],
      ['http_443', 443],
    ]);
  });

  test('on a plain host on the ports that the node would have', () => {
    expect(frontendsOf(ports, 'host').map(({ port }) => port)).toEqual([8080, 443]);
  });
});
