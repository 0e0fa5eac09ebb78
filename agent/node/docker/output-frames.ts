/** Bytes that a command wrote. */
export interface OutputChunk {
  readonly kind: 'stdout' | 'stderr';
  readonly data: Buffer;
}

const headerBytes = 8;

/** Takes what a command wrote out of its connection, however the chunks fall; keeps no bytes back. */
export function outputReader({
  hasTerminal,
}: {
  readonly hasTerminal: boolean;
}): (chunk: Buffer) => Generator<OutputChunk> {
  return hasTerminal ? plain : framed();
}

function* plain(data: Buffer): Generator<OutputChunk> {
  yield { kind: 'stdout', data };
}

/** Docker's frames: a byte for the stream, three of nothing, four for the length. */
function framed(): (chunk: Buffer) => Generator<OutputChunk> {
  let header = Buffer.alloc(0);
  let kind: OutputChunk['kind'] = 'stdout';
  let left = 0;
  return function* (chunk) {
    let rest = chunk;
    while (rest.length > 0) {
      if (left === 0) {
        const missing = headerBytes - header.length;
        header = Buffer.concat([header, rest.subarray(0, missing)]);
        rest = rest.subarray(missing);
        if (header.length < headerBytes) return;
        kind = header.readUInt8(0) === 2 ? 'stderr' : 'stdout';
        left = header.readUInt32BE(4);
        header = Buffer.alloc(0);
      }
      const data = rest.subarray(0, left);
      rest = rest.subarray(data.length);
      left -= data.length;
      if (data.length > 0) yield { kind, data };
    }
  };
}
