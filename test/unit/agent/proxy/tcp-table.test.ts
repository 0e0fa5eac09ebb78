import { expect, test } from 'vitest';
import { silentConnections } from '../../../../agent/proxy/tcp-table.ts';

const head =
  '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode';
const rest = '     0        0 281474 3 0000000000000000 6400 0 0 1 7';

test('reads which connections have sent something again and again', () => {
  const table = [
    head,
    // Listens; waits for an answer; has sent twice more; asks one that takes no more; has sent ten times more, and its
    // peer has ended its side.
    `   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000${rest}`,
    `   1: 0100E70A:E05C 0300E70A:1F40 01 00000000:00000000 02:0000000F 00000000${rest}`,
    `   2: 0100E70A:ED50 0200E70A:1F40 01 0000005C:00000000 01:00000022 00000002${rest}`,
    `   3: 0100E70A:ED51 0200E70A:1F40 01 0000005C:00000000 04:00000022 00000005${rest}`,
    `  14: 0100E70A:ED52 0200E70A:1F40 08 0000005C:00000000 01:00000022 0000000A${rest}`,
    // Its program has closed it.
    `  15: 0100E70A:ED53 0200E70A:1F40 04 0000005C:00000000 01:00000022 0000000A${rest}`,
    '',
  ];
  const remote = '10.231.0.2:8000';
  expect(silentConnections(table.join('\n'))).toEqual([
    { local: '10.231.0.1:60752', remote, repeats: 2 },
    { local: '10.231.0.1:60754', remote, repeats: 10 },
  ]);
  expect(silentConnections('')).toEqual([]);
});

test('reads addresses of IPv6 as everybody writes them', () => {
  const [local, remote] = ['B80D0120000000000000000001000000', 'B80D0120000000000000000007000000'];
  const line = `   0: ${local}:ED50 ${remote}:0050 01 0000005C:00000000 01:00000022 00000004${rest}`;
  expect(silentConnections(line)).toEqual([
    { local: '[2001:db8::1]:60752', remote: '[2001:db8::7]:80', repeats: 4 },
  ]);
});
