import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { joinToken, type FakeCoordinator } from '../../../support/fake-coordinator.ts';
import type { LabHost } from '../../../support/lab/lab-host.ts';
import type { LabProcess } from '../../../support/lab/lab-process.ts';

const bundler = new URL('../../../../deploy/bundle.js', import.meta.url).pathname;

/** Makes the one file that hosts get, which may say another version; resolves to its path. */
export async function bundleAgent(directory: string, version?: string): Promise<string> {
  const as = version === undefined ? [] : ['--as-version', version];
  await promisify(execFile)(process.execPath, [bundler, '--out', directory, ...as, 'agent']);
  return join(directory, 'fairlead-agent.cjs');
}

let agents = 0;

/** Starts the bundled agent on a host of a lab, as an installed one runs. */
export async function startAgent(
  bundle: string,
  host: LabHost,
  coordinator: FakeCoordinator,
): Promise<LabProcess> {
  const flags = [
    ['--coordinator', coordinator.address],
    ['--token', joinToken],
    ['--state-dir', join(host.directory, 'agent')],
    ['--log-level', 'debug'],
  ];
  return await host.spawn(process.execPath, [bundle, ...flags.flat()], {
    name: `agent-${++agents}`,
  });
}
