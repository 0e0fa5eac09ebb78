import { request } from 'node:http';

export interface Page {
  readonly status: number;
  readonly body: string;
  /** The host name that the page shows; empty if it shows none. */
  readonly hostname: string;
}

/** Opens a page on a connection of its own, as a reload in a fresh browser does. */
export async function open(
  url: string,
  signal: AbortSignal,
  { method = 'GET', timeoutMs = 10_000 } = {},
): Promise<Page> {
  return await new Promise((resolve, reject) => {
    const outgoing = request(
      url,
      { method, agent: false, signal, timeout: timeoutMs },
      (answer) => {
        const chunks: Buffer[] = [];
        answer.on('data', (chunk: Buffer) => chunks.push(chunk));
        answer.once('error', reject);
        answer.once('end', () => {
          const body = Buffer.concat(chunks).toString();
          const hostname = /My hostname is ([a-z0-9-]+)/.exec(body)?.[1] ?? '';
          resolve({ status: answer.statusCode ?? 0, body, hostname });
        });
      },
    );
    outgoing.once('timeout', () => {
      outgoing.destroy(new Error(`${url} did not answer within ${timeoutMs} ms`));
    });
    outgoing.once('error', reject);
    outgoing.end();
  });
}

/** Opens a page so many times, one after the other; how often each host name was shown. */
export async function reload(
  url: string,
  times: number,
  signal: AbortSignal,
): Promise<{ readonly inTurn: string[]; readonly counts: Map<string, number> }> {
  const inTurn: string[] = [];
  const counts = new Map<string, number>();
  for (let i = 0; i < times; i++) {
    const { status, hostname } = await open(url, signal);
    const name = status === 200 ? hostname : `status ${status}`;
    inTurn.push(name);
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return { inTurn, counts };
}
