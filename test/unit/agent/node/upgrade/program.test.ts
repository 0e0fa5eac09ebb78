import { expect, test } from 'vitest';
import { programOf } from '../../../../../agent/node/upgrade/program.ts';

test.each([
  [
    'an executable that was installed',
    ['/usr/lib/fairlead/fairlead-agent', '/usr/lib/fairlead/fairlead-agent', 'x64'],
    { package: 'fairlead-agent-linux-amd64.gz', interpreter: null, directory: 'fairlead' },
  ],
  [
    'an executable that was fetched',
    ['/var/lib/fairlead/agent/versions/0.2.0_ab12/fairlead-agent', '', 'arm64'],
    { package: 'fairlead-agent-linux-arm64.gz', file: 'fairlead-agent', directory: '0.2.0_ab12' },
  ],
  [
    'a bundle',
    ['/usr/bin/node', '/srv/versions/0.2.0_ab12/fairlead-agent.cjs', 'riscv64'],
    { package: 'fairlead-agent.cjs', interpreter: '/usr/bin/node', directory: '0.2.0_ab12' },
  ],
  ['anything else', ['/usr/bin/node', '/srv/dist/client/cli/main.js', 'x64'], { package: null }],
  ['nothing', ['/usr/bin/node', '', 'x64'], { package: null, directory: '' }],
] as const)('an agent knows what it is: %s', (_, [execPath, script, arch], expected) => {
  expect(programOf(execPath, script, arch)).toMatchObject(expected);
});
