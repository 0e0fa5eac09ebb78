import { socketAddress } from './addresses.ts';

/** A connection of which something was sent that its peer does not acknowledge. */
export interface SilentConnection {
  /** Its address here. */
  readonly local: string;
  /** That of its peer. */
  readonly remote: string;
  /** How often the same was sent again. */
  readonly repeats: number;
}

/** Local and remote address, a connection that is open (or that the peer closed its side of), a timer to send again. */
const silentLine =
  /^\s*\d+: ([0-9A-F]+):([0-9A-F]+) ([0-9A-F]+):([0-9A-F]+) 0[18] \S+ 01:\S+ (\S+) /;

/**
 * Reads `/proc/net/tcp` or `tcp6`. A program that is busy is no reason to be in the result, as its kernel acknowledges
 * for it; nor is one that takes no more, for which the kernel has another timer.
 */
export function silentConnections(table: string): SilentConnection[] {
  return table.split('\n').flatMap((line) => {
    const [, host = '', port = '', peer = '', peerPort = '', repeats] = silentLine.exec(line) ?? [];
    if (repeats === undefined) return [];
    return [
      {
        local: socketAddress(addressOf(host), parseInt(port, 16)),
        remote: socketAddress(addressOf(peer), parseInt(peerPort, 16)),
        repeats: parseInt(repeats, 16),
      },
    ];
  });
}

/** The kernel writes words of four bytes as numbers of its own, which have the last byte first. */
function addressOf(hex: string): string {
  const bytes = (hex.match(/.{8}/g) ?? []).flatMap((word) =>
    (word.match(/../g) ?? []).reverse().map((byte) => parseInt(byte, 16)),
  );
  if (bytes.length === 4) return bytes.join('.');
  const groups = Array.from({ length: 8 }, (_, at) =>
    ((bytes[2 * at] ?? 0) * 256 + (bytes[2 * at + 1] ?? 0)).toString(16),
  );
  // As HAProxy writes it: of IPv6 there are many ways.
  return new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1);
}
