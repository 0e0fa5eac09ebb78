import { createHash } from 'node:crypto';
import type { Page } from '../../shared/gen/fairlead/v1/route.ts';
import type { Structure } from './backend-list.ts';

/** Pages are files, named by what is in them: another page is another configuration. */
export function pageFile({ body }: Page): string {
  return `${createHash('sha256').update(body).digest('hex').slice(0, 32)}.page`;
}

/** Every page of a structure by the name of its file. */
export function pagesOf({ frontends, backends }: Structure): Map<string, string> {
  const pages = [
    ...frontends.flatMap(({ routes }) => routes.map(({ route }) => route.maintenance)),
    ...backends.map(({ balancing }) => balancing?.unavailable),
  ].flatMap((page) => (page === undefined || page.body === '' ? [] : [page]));
  return new Map(pages.map((page) => [pageFile(page), page.body]));
}
