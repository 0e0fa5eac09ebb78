import fc from 'fast-check';
import { expect, test } from 'vitest';
import { outputReader } from '../../../../../agent/node/docker/output-frames.ts';

function frame(stream: number, data: Buffer): Buffer {
  const header = Buffer.alloc(8);
  header.writeUInt8(stream, 0);
  header.writeUInt32BE(data.length, 4);
  return Buffer.concat([header, data]);
}

test('output and errors are told apart, however the chunks fall', () => {
  const frames = fc.array(fc.tuple(fc.constantFrom(1, 2), fc.uint8Array({ maxLength: 40 })));
  fc.assert(
    fc.property(frames, fc.array(fc.nat(), { maxLength: 10 }), (written, cuts) => {
      const bytes = Buffer.concat(
        written.map(([stream, data]) => frame(stream, Buffer.from(data))),
      );
      const places = [0, ...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length];
      places.sort((a, b) => a - b);
      const read = outputReader({ hasTerminal: false });
      const chunks = places
        .slice(1)
        .flatMap((end, index) => [...read(bytes.subarray(places[index], end))]);
      for (const [number, kind] of [
        [1, 'stdout'],
        [2, 'stderr'],
      ] as const) {
        const wanted = written.filter(([stream]) => stream === number).map(([, data]) => data);
        const got = chunks.filter((chunk) => chunk.kind === kind).map(({ data }) => data);
        expect(Buffer.concat(got)).toEqual(Buffer.concat(wanted));
      }
    }),
  );
});

test('a terminal has one stream, as it is', () => {
  const read = outputReader({ hasTerminal: true });
  expect([...read(Buffer.from('abc'))]).toEqual([{ kind: 'stdout', data: Buffer.from('abc') }]);
});
