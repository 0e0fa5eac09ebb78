import { expect, test } from 'vitest';
import { plainFlags } from '../../../client/cli/plain-flags.ts';

const names = ['stateDir', 'dnsTtlSeconds', 'zone'];

test.each([
  [[], {}],
  [['--state-dir', '/var/lib/x', '--zone', 'a.b'], { stateDir: '/var/lib/x', zone: 'a.b' }],
  [['--dns-ttl-seconds=5', '--zone=a=b'], { dnsTtlSeconds: '5', zone: 'a=b' }],
  [['--zone', 'a', '--zone', 'b'], { zone: 'b' }],
  [['--zone', 'two words\nof two lines'], { zone: 'two words\nof two lines' }],
  [['--zone='], { zone: '' }],
])('reads %j', (args, flags) => {
  expect(plainFlags(args, names)).toEqual(flags);
});

test.each([
  [['--help']],
  [['-h']],
  [['--state-dir', '/x', '--unknown', 'x']],
  [['--stateDir', '/x']],
  [['--zone']],
  [['--zone', '--help']],
  [['--zone=-']],
  [['--', '--zone', 'a']],
  [['zone']],
  [['']],
])('leaves %j to the whole command line', (args) => {
  expect(plainFlags(args, names)).toBeUndefined();
});
