import { createServer, type Server, type ServerResponse } from 'node:http';
import type { Registry } from 'prom-client';
import { listen } from './listen.ts';

/** What a page answers. */
export type AdminAnswer = { readonly status: number; readonly contentType: string; readonly body: string };

export type AdminOptions = {
  readonly port: number;
  readonly host?: string; // default: all addresses, as with `::`
  readonly registry: Registry;
  /** Why the process is not ready, in words for a person; empty when it is. */
  readonly notReady: () => readonly string[];
  /** Further pages, by path. They change nothing. */
  readonly pages?: Readonly<Record<string, (query: URLSearchParams) => AdminAnswer>>;
};

/**
 * The admin endpoint of a process: `/live`, `/ready`, `/metrics` and what `pages` adds, read-only.
 *
 * @returns the listening server
 * @throws the listen error (`EADDRINUSE` and the like)
 */
export async function startAdmin(options: AdminOptions): Promise<Server> {
  const { pages = {} } = options;
  const server = createServer((request, response) => {
    request.resume();
    const [path = '/', query = ''] = (request.url ?? '/').split('?', 2);
    const page = Object.hasOwn(pages, path) ? pages[path] : undefined;
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.setHeader('allow', 'GET, HEAD');
      answer(response, 405, 'method not allowed\n');
    } else if (path === '/live') {
      answer(response, 200, 'live\n');
    } else if (path === '/ready') {
      const reasons = options.notReady();
      answer(
        response,
        reasons.length === 0 ? 200 : 503,
        reasons.length === 0 ? 'ready\n' : `not ready: ${reasons.join('; ')}\n`,
      );
    } else if (path === '/metrics') {
      options.registry.metrics().then(
        (text) => answer(response, 200, text, options.registry.contentType),
        (error: unknown) => answer(response, 500, `${String(error)}\n`),
      );
    } else if (page !== undefined) {
      const { status, body, contentType } = page(new URLSearchParams(query));
      answer(response, status, body, contentType);
    } else {
      answer(response, 404, 'not found\n');
    }
  });
  server.requestTimeout = 10_000;
  server.maxConnections = 256;
  await listen(server, { port: options.port, ...(options.host === undefined ? {} : { host: options.host }) });
  return server;
}

function answer(
  response: ServerResponse,
  status: number,
  body: string,
  contentType = 'text/plain; charset=utf-8',
): void {
  response.writeHead(status, { 'content-type': contentType, 'content-length': Buffer.byteLength(body) });
  response.end(body);
}
