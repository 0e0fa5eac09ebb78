import { httpStatusOf } from './connect-protocol.ts';
import type { HttpHandler, ToError } from './connect.ts';
import { peerOf } from './http-method.ts';
import type { Logger } from '../../shared/logger.ts';

export interface MetricsPageOptions {
  /** Throws if who sent this header, from this address (`HOST:PORT`), may not read them. */
  readonly admit: (authorization: string | undefined, peer: string) => void;
  /** The page of now. */
  readonly page: () => Promise<string>;
  readonly toError: ToError;
  readonly log: Logger;
}

/** Metrics for Prometheus at `/metrics`, for those who may read all that there is. */
export function createMetricsPage({ admit, page, toError, log }: MetricsPageOptions): HttpHandler {
  return (request, response) => {
    const [path] = (request.url ?? '').split('?', 1);
    if (path !== '/metrics') return false;
    const answer = (status: number, text: string, headers: Record<string, string> = {}) => {
      const type = 'text/plain; version=0.0.4; charset=utf-8';
      response.writeHead(status, {
        ...{ 'content-type': type, 'cache-control': 'no-store', ...headers },
      });
      response.end(request.method === 'HEAD' ? undefined : text);
    };
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      answer(405, 'only GET and HEAD are answered here\n', { allow: 'GET, HEAD' });
      return true;
    }
    const tell = async () => {
      admit(request.headers.authorization, peerOf(request.socket));
      answer(200, await page());
    };
    tell().catch((error: unknown) => {
      const { code, message, reason, expected } = toError(error);
      if (expected === false) log.error({ err: error }, 'metrics could not be told');
      const status = httpStatusOf(code);
      const challenge = status === 401 ? { 'www-authenticate': 'Bearer' } : {};
      answer(status, `${message}\n`, { 'error-reason': reason, ...challenge });
    });
    return true;
  };
}
