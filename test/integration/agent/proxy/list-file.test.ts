import { readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ListFile } from '../../../../agent/proxy/list-file.ts';
import { Balancing } from '../../../../shared/gen/fairlead/v1/route.ts';
import { Readiness } from '../../../../shared/gen/fairlead/v1/service.ts';
import { createLogger } from '../../../../shared/logger.ts';
import { aProtoRoute } from '../../../support/routes.ts';
import { TemporaryDirectory } from '../../../support/temporary-directory.ts';
import { aList, aTarget } from '../../../unit/agent/proxy/builders.ts';

test('gives back every field of a list', async () => {
  await using directory = new TemporaryDirectory();
  const log = createLogger({ level: 'silent', process: 'test' });
  const file = new ListFile(join(directory.path, 'list.json'), log);
  const http = { path: '/health', host: 'a.test', headers: { 'X-A': '1' }, statuses: [204] };
  const tls = { policy: 'modern', clientCertificates: 'optional', clientCaPem: 'PEM' } as const;
  const list = aList({
    frontends: [
      {
        ...{ name: 'http', port: 80, protocol: 'http', defaultBackend: 'web', tls },
        ...{ acceptProxy: true, trustedUpstreams: ['10.0.0.0/8'] },
        routes: [
          {
            ...{ id: 'web.1', backend: 'web', split: [{ backend: 'api', percent: 5 }] },
            route: aProtoRoute({ hosts: ['a.test'], pauseMs: 5_000 }),
          },
        ],
      },
    ],
    backends: [
      {
        ...{ name: 'web', protocol: 'http', cookieKey: 'key' },
        balancing: Balancing.fromPartial({ stickyCookie: 'SRV', sendProxy: true }),
        readiness: Readiness.fromPartial({
          ...{ check: { $case: 'http', value: http }, intervalMs: 1_000, timeoutMs: 50 },
          ...{ failureThreshold: 2, successThreshold: 3, startPeriodMs: 0 },
        }),
      },
    ],
    targets: [
      aTarget({
        ...{ id: 'web-1.a.80', mode: 'drain', containerId: 'abc', backup: true },
        ...{ http2: true, checkPort: 8_080, sendProxy: true },
      }),
    ],
  });
  await file.write(list);
  expect(await file.read()).toMatchObject(list);
});

test('a file that an agent left behind half written, for all to read, is no hindrance', async () => {
  await using directory = new TemporaryDirectory();
  const path = join(directory.path, 'list.json');
  const file = new ListFile(path, createLogger({ level: 'silent', process: 'test' }));
  writeFileSync(`${path}.new`, 'half', { mode: 0o644 });
  const list = aList({ targets: [aTarget({ id: 'a' })] });
  await file.write(list);
  expect(await file.read()).toMatchObject({ targets: list.targets });
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(readdirSync(directory.path)).toEqual(['list.json']);
});
