import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';

const SERVE_ON_MS = 1_500;

export type Handler = (request: IncomingMessage, response: ServerResponse, url: URL) => Promise<void> | void;

/**
 * An HTTP service of the shop: routes by `METHOD /first-path-segment`, answers health checks, ends on SIGTERM after its
 * requests in flight.
 */
export function serveHttp(port: number, routes: Readonly<Record<string, Handler>>): void {
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://shop');
    const segment = url.pathname.split('/')[1] ?? '';
    const handler =
      segment === 'health' ? health : (routes[`${request.method} /${segment}`] ?? routes[`* /${segment}`]);
    if (handler === undefined) {
      sendJson(response, 404, { error: `no route ${request.method} ${url.pathname}` });
      return;
    }
    Promise.resolve(handler(request, response, url)).catch((error: unknown) => {
      if (response.headersSent) response.destroy();
      else sendJson(response, 502, { error: error instanceof Error ? error.message : String(error) });
    });
  });
  server.listen(port);
  // Endpoints and rules still name this pod for a moment after SIGTERM: serve on until they do not.
  process.on('SIGTERM', () => {
    setTimeout(() => {
      server.close(() => process.exit(0));
      server.closeIdleConnections();
    }, SERVE_ON_MS);
  });
}

const health: Handler = (_request, response) => void response.end('ok\n');

export function sendJson(response: ServerResponse, status: number, body: unknown): void {
  const text = `${JSON.stringify(body)}\n`;
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) });
  response.end(text);
}

/** GET of another service. @throws Error with the status when it is not 2xx */
export async function getJson(url: string): Promise<unknown> {
  const response = await fetch(url, { signal: AbortSignal.timeout(10_000) });
  const text = await response.text();
  if (!response.ok) throw new Error(`${url}: ${response.status} ${text.trim()}`);
  return JSON.parse(text);
}
