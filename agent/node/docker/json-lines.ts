/** Reads a stream of JSON documents, one a line, however the chunks fall. */
export async function* jsonLines(chunks: AsyncIterable<Buffer | string>): AsyncGenerator {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of chunks) {
    rest += typeof chunk === 'string' ? chunk : decoder.decode(chunk, { stream: true });
    const lines = rest.split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      if (line.trim() !== '') yield JSON.parse(line);
    }
  }
  if (rest.trim() !== '') yield JSON.parse(rest);
}
