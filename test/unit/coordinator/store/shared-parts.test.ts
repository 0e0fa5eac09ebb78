import { expect, test } from 'vitest';
import { SharedParts } from '../../../../coordinator/store/shared-parts.ts';
import type { Container } from '../../../../coordinator/model.ts';
import { aContainer, aDefinition, containerId, nodeId } from '../../../support/builders.ts';

/** As it is read from the database: nothing of it is anything else's. */
function read(changes: Partial<Container>): Container {
  return JSON.parse(JSON.stringify(aContainer(changes))) as Container;
}

function containerOn(node: string, id: string): Container {
  const environment = { NODE: `the one called ${node}`, ID: id, SERVICE: 'web' };
  const ports = [{ containerPort: 80, protocol: 'tcp' as const, published: true, hostPort: 0 }];
  return read({
    id: containerId(id),
    nodeId: nodeId(node),
    definition: aDefinition({ environment, ports }),
  });
}

test('a container is what it was, with what it has in common with others of its service', () => {
  const parts = new SharedParts();
  const first = parts.share(containerOn('node-1', 'a'));
  const second = parts.share(containerOn('node-2', 'b'));
  expect(second).toEqual(containerOn('node-2', 'b'));
  expect(second.definition?.ports).toBe(first.definition?.ports);
  expect(second.definition?.readiness).toBe(first.definition?.readiness);
  expect(second.definition?.environment).not.toBe(first.definition?.environment);
});

test('equal definitions are one', () => {
  const parts = new SharedParts();
  const first = parts.share(containerOn('node-1', 'a'));
  const again = parts.share(containerOn('node-1', 'a'));
  expect(again.definition).toBe(first.definition);
});

test('what looks alike is not taken for equal', () => {
  const parts = new SharedParts();
  const definition = (environment: Record<string, string>, command: string[]) =>
    read({ definition: aDefinition({ environment, command }) });
  const rows = [
    definition({ A: '1', B: '2' }, ['x', 'y']),
    definition({ A: '1' }, ['x']),
    definition({ A: '1', C: '2' }, ['y', 'x']),
    definition({}, []),
    read({ definition: null }),
    definition({ A: '1', B: '2' }, ['x', 'y', 'z']),
  ];
  for (const row of rows) expect(parts.share(structuredClone(row))).toEqual(row);
});

test('one that was deleted is held by nobody', () => {
  const parts = new SharedParts();
  const first = parts.share(containerOn('node-1', 'a'));
  parts.forget(first);
  const second = parts.share(containerOn('node-1', 'b'));
  expect(second.definition?.ports).not.toBe(first.definition?.ports);
  expect(second).toEqual(containerOn('node-1', 'b'));
});
