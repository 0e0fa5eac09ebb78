import type { Page } from '../../shared/gen/fairlead/v1/route.ts';
import type { Structure } from './backend-list.ts';

/** Pages are files, named by what is in them: another page is another configuration. */
export function pageFile({ body }: Page): string {
  let hash = 0xcbf29ce484222325n;
  for (const byte of new TextEncoder().encode(body)) {
    hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  }
  return `${hash.toString(16).padStart(16, '0')}.page`;
}

/** Every page of a structure by the name of its file. */
export function pagesOf({ frontends, backends }: Structure): Map<string, string> {
  const pages = [
    ...frontends.flatMap(({ routes }) => routes.map(({ route }) => route.maintenance)),
    ...backends.map(({ balancing }) => balancing?.unavailable),
  ].flatMap((page) => (page === undefined || page.body === '' ? [] : [page]));
  return new Map(pages.map((page) => [pageFile(page), page.body]));
}
