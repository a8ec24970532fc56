import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Connection } from './connection.ts';
import type { ResourceIndex } from './resource-index.ts';

/** Waits for a condition, looking again every few milliseconds. @throws when it does not come true in time */
export async function eventually(what: string, condition: () => boolean, deadlineMs = 5000): Promise<void> {
  const untilMs = Date.now() + deadlineMs;
  while (!condition()) {
    if (Date.now() > untilMs) throw new Error(`not within ${deadlineMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** An index that remembers what it was told. */
export class RecordingIndex<
  R extends { readonly namespace: string; readonly name: string },
> implements ResourceIndex<R> {
  readonly live = new Map<string, R>();
  resets = 0;

  apply(resource: R): void {
    this.live.set(`${resource.namespace}/${resource.name}`, resource);
  }

  delete(namespace: string, name: string): void {
    this.live.delete(`${namespace}/${name}`);
  }

  reset(live: readonly R[]): void {
    this.live.clear();
    this.resets += 1;
    for (const resource of live) this.apply(resource);
  }
}

/** A server in place of an API server, for faults that a real one does not make on demand. */
export async function startFaultyServer(
  answer: (request: IncomingMessage, url: URL, response: ServerResponse) => void,
): Promise<{ readonly connection: Connection; readonly close: () => void; readonly resetConnections: () => void }> {
  const server = createServer((request, response) =>
    answer(request, new URL(request.url ?? '/', 'http://x'), response),
  );
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const connection: Connection = {
    server: new URL(`http://127.0.0.1:${port}`),
    credentials: () => Promise.resolve({ headers: {}, tls: {} }),
    refresh() {},
  };
  return {
    connection,
    resetConnections: () => server.closeAllConnections(),
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}
