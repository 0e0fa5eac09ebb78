import { arch } from 'node:process';

/** Numbers of Linux that differ between processors: of its calls `prctl` and `socket`, and of the processor itself. */
const numbers = {
  x64: { prctl: 157, socket: 41, audit: 0xc000003e },
  arm64: { prctl: 167, socket: 198, audit: 0xc00000b7 },
} as const;

/**
 * What a command is put behind to run on a kernel without IPv6, for all that it can tell: sockets of that family are
 * refused to it and to all that it starts, as `ipv6.disable=1` has it. Perl is part of every Debian, and needs nothing
 * but its `syscall` to set the filter.
 */
export function withoutIpv6(): readonly [string, ...string[]] {
  const { prctl, socket, audit } = numbers[arch as keyof typeof numbers];
  const script = `
    my $rules = join '', map { pack 'SCCL', @$_ } (
      [0x20, 0, 0, 4], [0x15, 0, 5, ${audit}],
      [0x20, 0, 0, 0], [0x15, 0, 3, ${socket}],
      [0x20, 0, 0, 16], [0x15, 0, 1, 10],
      [0x06, 0, 0, 0x00050000 | 97],
      [0x06, 0, 0, 0x7fff0000],
    );
    my $filter = pack 'Sx6P', length($rules) / 8, $rules;
    syscall(${prctl}, 38, 1, 0, 0, 0) == 0 && syscall(${prctl}, 22, 2, $filter) == 0 or die "$!";
    exec @ARGV;
  `;
  return ['perl', '-e', script];
}
