import { createServer, type Server, type ServerResponse } from 'node:http';
import type { Registry } from 'prom-client';
import { adminAnswer } from './admin-answer.ts';
import { listen } from './listen.ts';

export type AdminOptions = {
  readonly port: number;
  readonly host?: string; // default: all addresses, as with `::`
  readonly registry: Registry;
  /** Why the process is not ready, in words for a person; empty when it is. */
  readonly notReady: () => readonly string[];
};

/**
 * The admin endpoint of a process: `/live`, `/ready` and `/metrics`, read-only.
 *
 * @returns the listening server
 * @throws the listen error (`EADDRINUSE` and the like)
 */
export async function startAdmin(options: AdminOptions): Promise<Server> {
  const server = createServer((request, response) => {
    request.resume();
    const found = adminAnswer(request.method ?? '', request.url ?? '/', options.notReady);
    if (found === 'metrics') {
      options.registry.metrics().then(
        (text) => answer(response, 200, text, options.registry.contentType),
        (error: unknown) => answer(response, 500, `${String(error)}\n`),
      );
      return;
    }
    if (found.allow !== undefined) response.setHeader('allow', found.allow);
    answer(response, found.status, found.body);
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
