import { describe, expect, test } from 'vitest';
import { effectiveOrder } from '../../../../coordinator/orchestrator/views.ts';
import { volumesOf } from '../../../../coordinator/orchestrator/volumes.ts';
import type { Service, ServiceSpec } from '../../../../coordinator/model.ts';
import type { Volume } from '../../../../shared/container-options.ts';
import { aService, aSpec } from '../../../support/builders.ts';

const volume = (containerPath: string, source: Volume['source'], readOnly = false): Volume => ({
  containerPath,
  source,
  readOnly,
});
const named = (path: string, name: string, readOnly = false) =>
  volume(path, { kind: 'named', name, external: false }, readOnly);
const bind = (path: string, from: string) => volume(path, { kind: 'bind', path: from });
const tmpfs = (path: string) => volume(path, { kind: 'tmpfs', sizeBytes: 0, mode: 0 });

function serviceWith(spec: Partial<ServiceSpec>, name = 'web'): Service {
  return aService({ name, spec: aSpec(spec) });
}

describe('the volumes of a container', () => {
  const db = serviceWith(
    {
      volumes: [
        named('/data', '{{.Service.Name}}-data', true),
        bind('/conf', '/etc/db'),
        tmpfs('/run'),
        volume('/scratch', { kind: 'anonymous' }),
      ],
    },
    'db',
  );
  const serviceNamed = (name: string) => (name === 'db' ? db : undefined);

  test('have the names of its slot', () => {
    const service = serviceWith({
      volumes: [named('/a', '{{.Container.Name}}'), named('/b', '{{.Service.ID}}.{{.Slot}}')],
    });
    expect(volumesOf(service, { slot: 3, serviceNamed })).toEqual([
      named('/a', 'web-3'),
      named('/b', 'web-id.3'),
    ]);
  });

  test('are those of other services too, but for what dies with a process', () => {
    const service = serviceWith({ volumesFrom: ['db', 'gone'] });
    expect(volumesOf(service, { slot: 1, serviceNamed })).toEqual([
      named('/data', 'db-data', true),
      bind('/conf', '/etc/db'),
    ]);
  });

  test('come before those of others at the same path', () => {
    const service = serviceWith({ volumes: [tmpfs('/data')], volumesFrom: ['db'] });
    expect(volumesOf(service, { slot: 1, serviceNamed })).toEqual([
      tmpfs('/data'),
      bind('/conf', '/etc/db'),
    ]);
  });
});

test.each<[string, Partial<ServiceSpec>, 'start-first' | 'stop-first']>([
  ['a named volume', { volumes: [named('/a', 'a')] }, 'stop-first'],
  ['a path of the node', { volumes: [bind('/a', '/a')] }, 'stop-first'],
  ['volumes of another', { volumesFrom: ['db'] }, 'stop-first'],
  ['a volume that it only reads', { volumes: [named('/a', 'a', true)] }, 'start-first'],
  ['memory', { volumes: [tmpfs('/a')] }, 'start-first'],
])('with %s containers are replaced %3$s by default', (_, spec, order) => {
  expect(effectiveOrder(serviceWith(spec))).toBe(order);
});
