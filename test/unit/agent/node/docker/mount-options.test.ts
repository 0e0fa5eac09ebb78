import { expect, test } from 'vitest';
import { createOptionsOf } from '../../../../../agent/node/docker/container-options.ts';
import { aDefinition, containerId, nodeId } from '../builders.ts';

test('volumes are mounted as Docker names them', () => {
  const placement = { nodeId, advertiseAddress: '192.0.2.7', publishAddress: '0.0.0.0' };
  const volumes = [
    ['/data', { kind: 'named', name: 'data', external: true }, false],
    ['/www', { kind: 'bind', path: '/srv/www' }, true],
    ['/run', { kind: 'tmpfs', sizeBytes: 4096, mode: 0o700 }, true],
    ['/tmp', { kind: 'tmpfs', sizeBytes: 0, mode: 0 }, false],
    ['/cache', { kind: 'anonymous' }, false],
  ] as const;
  const definition = aDefinition({
    volumes: volumes.map(([containerPath, source, readOnly]) => {
      return { containerPath, source, readOnly };
    }),
  });
  expect(createOptionsOf(containerId, definition, placement)).toMatchObject({
    Volumes: { '/cache': {} },
    HostConfig: {
      Binds: ['data:/data', '/srv/www:/www:ro'],
      Tmpfs: { '/run': 'ro,size=4096,mode=700', '/tmp': '' },
    },
  });
});
