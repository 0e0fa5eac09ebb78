import fc from 'fast-check';
import { expect, test } from 'vitest';
import { validateTags } from '../../../../coordinator/api/validate.ts';
import { tagsOf } from '../../../../coordinator/scheduler/node-tags.ts';
import type { FieldViolation } from '../../../../shared/errors.ts';
import { isAutomaticTag } from '../../../../shared/ids.ts';
import { aNode } from '../../../support/builders.ts';
import { description as described } from '../orchestrator/fleet/model-agent.ts';

test('a node has its own tags, those of its cluster, and the automatic ones, each once', () => {
  const description = { ...described, hostname: 'host-1.example', architecture: 'arm64' };
  const node = aNode({ tags: ['ssd', 'web'], description });
  expect(tagsOf(node, { name: 'edge', tags: ['web', 'eu'] })).toEqual({
    own: ['ssd', 'web'],
    cluster: ['web', 'eu'],
    automatic: ['cluster=edge', 'arch=arm64', 'os=linux', 'hostname=host-1.example'],
    all: [
      ...['ssd', 'web', 'eu'],
      ...['cluster=edge', 'arch=arm64', 'os=linux', 'hostname=host-1.example'],
    ],
  });
});

test('what is not known makes no tag', () => {
  expect(tagsOf(aNode(), null).all).toEqual([]);
  const description = { ...described, os: '', hostname: ' ' };
  expect(tagsOf(aNode({ description }), null).automatic).toEqual(['arch=amd64']);
});

test('whatever an agent says of its host, its tags can be asked for, and are automatic ones', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.string({ minLength: 60 }), (os, hostname) => {
      const { automatic } = tagsOf(aNode({ description: { ...described, os, hostname } }), null);
      const violations: FieldViolation[] = [];
      validateTags(automatic, 'tags', violations);
      expect(violations).toEqual([]);
      expect(automatic.every(isAutomaticTag)).toBe(true);
    }),
  );
});
