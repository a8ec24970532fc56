// In tests only: a proxy before a real API server that spoils its answers, for faults which a sound server never shows.
import { request as httpsRequest } from 'node:https';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Connection } from './connection.ts';
import { startFaultyServer } from './testing.ts';
import { readLines } from './watch-lines.ts';

/** What happens to an answer. Both get the response to the client; true: the answer is theirs. */
export type Fault = {
  /** Before a request goes on to the server. */
  readonly onRequest?: (isWatch: boolean, response: ServerResponse) => boolean;
  /** Before a line of a watch is passed on. */
  readonly onLine?: (line: string, response: ServerResponse) => boolean;
};

export type FaultProxy = {
  readonly connection: Connection;
  /** From now on, also for watches that run. */
  fault: Fault;
  readonly close: () => void;
};

/** Starts one on loopback, in plain text, with the credentials of the connection that it is given. */
export async function startFaultProxy(upstream: Connection): Promise<FaultProxy> {
  const serve = async (request: IncomingMessage, response: ServerResponse, isWatch: boolean): Promise<void> => {
    const { headers, tls } = await upstream.credentials();
    const url = new URL(request.url ?? '/', upstream.server);
    const accept = request.headers.accept ?? '*/*';
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      const outgoing = httpsRequest(url, { headers: { ...headers, accept }, ...tls }, resolve).once('error', reject);
      response.once('close', () => outgoing.destroy());
      outgoing.end();
    });
    response.writeHead(answer.statusCode ?? 502, { 'content-type': 'application/json' });
    response.flushHeaders();
    if (!isWatch) {
      answer.pipe(response);
      return;
    }
    for await (const line of readLines(answer)) {
      if (response.destroyed) return;
      if (proxy.fault.onLine?.(line, response) !== true) response.write(`${line}\n`);
    }
    response.end();
  };
  const server = await startFaultyServer((request, url, response) => {
    const isWatch = url.searchParams.get('watch') === 'true';
    response.on('error', () => undefined);
    if (proxy.fault.onRequest?.(isWatch, response) === true) return;
    serve(request, response, isWatch).catch(() => response.destroy());
  });
  const proxy: FaultProxy = { connection: server.connection, fault: {}, close: server.close };
  return proxy;
}
