import { Readable } from 'node:stream';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { jsonLines } from '../../../../../agent/node/docker/json-lines.ts';

async function read(chunks: Iterable<Buffer | string>): Promise<unknown[]> {
  const documents: unknown[] = [];
  for await (const document of jsonLines(Readable.from(chunks))) documents.push(document);
  return documents;
}

test('reads every document, however the bytes are cut into chunks', async () => {
  const documents = fc.array(fc.record({ text: fc.string({ unit: 'binary' }), n: fc.integer() }));
  await fc.assert(
    fc.asyncProperty(documents, fc.array(fc.nat(200)), fc.boolean(), async (values, cuts, ends) => {
      const lines = values.map((value) => JSON.stringify(value)).join('\r\n') + (ends ? '\n' : '');
      const bytes = Buffer.from(lines);
      const places = [...cuts.filter((cut) => cut < bytes.length), bytes.length].sort(
        (a, b) => a - b,
      );
      const chunks = places.map((place, index) => bytes.subarray(places[index - 1] ?? 0, place));
      expect(await read(chunks)).toEqual(values);
    }),
  );
});

test('throws at what is no JSON', async () => {
  await expect(read(['{"a":1}\nnonsense\n'])).rejects.toThrow(SyntaxError);
});
