import * as z from 'zod/mini';
import { Balancing, Route } from '../../shared/gen/fairlead/v1/route.ts';
import { Readiness } from '../../shared/gen/fairlead/v1/service.ts';
import type { Logger } from '../../shared/logger.ts';
import type { ListSnapshot } from './backend-list.ts';
import { readJson, saveAtomically, sayUnusable } from './state-directory.ts';

const protocol = z.enum(['http', 'tcp']);
const tls = z.object({
  policy: z.enum(['intermediate', 'modern']),
  clientCertificates: z.enum(['none', 'optional', 'required']),
  clientCaPem: z.string(),
});

/** In the JSON form of the contract, which says how what is new or gone is read. */
const route = z.object({
  id: z.string(),
  backend: z.string(),
  split: z._default(z.array(z.object({ backend: z.string(), percent: z.number() })), []),
  route: z.pipe(
    z.unknown(),
    z.transform((json) => Route.fromJSON(json)),
  ),
});

const listSchema = z.object({
  format: z.literal(1),
  epoch: z.string(),
  version: z.number(),
  frontends: z.array(
    z.object({
      name: z.string(),
      port: z.number(),
      protocol,
      defaultBackend: z.string(),
      routes: z._default(z.array(route), []),
      tls: z.optional(tls),
      acceptProxy: z._default(z.boolean(), false),
      trustedUpstreams: z._default(z.array(z.string()), []),
      https: z.optional(z.object({ clientsPort: z.number(), httpsPort: z.number() })),
    }),
  ),
  backends: z.array(
    z.object({
      name: z.string(),
      protocol,
      cookieKey: z._default(z.string(), ''),
      readiness: z.optional(
        z.pipe(
          z.unknown(),
          z.transform((json) => Readiness.fromJSON(json)),
        ),
      ),
      balancing: z.optional(
        z.pipe(
          z.unknown(),
          z.transform((json) => Balancing.fromJSON(json)),
        ),
      ),
    }),
  ),
  targets: z.array(
    z.object({
      id: z.string(),
      backend: z.string(),
      address: z.string(),
      port: z.number(),
      mode: z.enum(['ready', 'drain']),
      drainTimeoutMs: z.number(),
      container: z.string(),
      containerId: z._default(z.string(), ''),
      backup: z._default(z.boolean(), false),
      http2: z._default(z.boolean(), false),
      checkPort: z._default(z.number(), 0),
      sendProxy: z.optional(z.boolean()),
    }),
  ),
});

/** The last good list on disk, from which a proxy serves while no coordinator can be reached. */
export class ListFile {
  readonly #path: string;
  readonly #log: Logger;

  constructor(path: string, log: Logger) {
    this.#path = path;
    this.#log = log;
  }

  /** Undefined if there is none, or none that can be read: then the coordinator's is waited for. */
  async read(): Promise<ListSnapshot | undefined> {
    const content = await readJson(this.#path, this.#log);
    if (content === undefined) return undefined;
    const parsed = listSchema.safeParse(content);
    if (parsed.success) return { ...parsed.data, rejected: [] };
    sayUnusable(this.#log, this.#path, 'it is not a list of this version');
    return undefined;
  }

  async write(list: ListSnapshot): Promise<void> {
    await saveAtomically(this.#path, { [Symbol.iterator]: () => textOf(list) });
  }
}

/** So many targets are one part of the text. */
const targetsAtOnce = 256;

/** A long list is never there as one text. */
function* textOf({ epoch, version, frontends, backends, targets }: ListSnapshot) {
  const head = JSON.stringify({
    ...{ format: 1, epoch, version },
    backends: backends.map(({ balancing, readiness, ...backend }) => ({
      ...backend,
      ...(balancing === undefined ? {} : { balancing: Balancing.toJSON(balancing) }),
      ...(readiness === undefined ? {} : { readiness: Readiness.toJSON(readiness) }),
    })),
    frontends: frontends.map((frontend) => ({
      ...frontend,
      routes: frontend.routes.map((each) => ({ ...each, route: Route.toJSON(each.route) })),
    })),
  });
  yield `${head.slice(0, -1)},"targets":[`;
  for (let from = 0; from < targets.length; from += targetsAtOnce) {
    const some = JSON.stringify(targets.slice(from, from + targetsAtOnce)).slice(1, -1);
    yield from === 0 ? some : `,${some}`;
  }
  yield ']}\n';
}
