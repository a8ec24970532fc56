import type { Client } from '#model/authorization.ts';
import type { ProxyError } from '../errors.ts';
import type { RequestSink, ResponseSink } from '../http/exchange.ts';
import type { RequestHead, ResponseHead } from '../http/head.ts';
import type { SocketAddress } from '../tap/match.ts';
import type { Connection } from '../transport/connection.ts';

export const ACCESS_LOG_FORMATS = ['apache', 'json'] as const;
export type AccessLogFormat = (typeof ACCESS_LOG_FORMATS)[number];

/** Longest target and user agent that are written. */
const TEXT_MAX = 2048;

/** Writes one line for each request of a client. Source: linkerd2-proxy `http/access-log`. */
export class AccessLog {
  readonly #format: AccessLogFormat;
  readonly #write: (line: string) => void;
  readonly #now: () => number;

  /** @param now  monotonic milliseconds */
  constructor(format: AccessLogFormat, write: (line: string) => void, now: () => number) {
    this.#format = format;
    this.#write = write;
    this.#now = now;
  }

  begin(head: RequestHead, client: Client, source: SocketAddress, response: ResponseSink): LoggedExchange {
    const identity = client.tls.kind === 'mesh' ? client.tls.identity : undefined;
    const startedMs = this.#now();
    const timestamp = new Date().toISOString();
    return new LoggedExchange(response, (status, bytes) => {
      const version = head.isHttp2 ? 'HTTP/2.0' : head.isHttp11 ? 'HTTP/1.1' : 'HTTP/1.0';
      const address = `${source.address}:${source.port}`;
      const uri = head.target.slice(0, TEXT_MAX);
      if (this.#format === 'apache') {
        const request = `${head.method} ${uri} ${version}`.replaceAll('"', '\\"');
        this.#write(`${address} ${identity ?? '-'} - [${timestamp}] "${request}" ${status} ${bytes}\n`);
        return;
      }
      const fields = {
        'client.addr': address,
        'client.id': identity ?? '-',
        host: head.authority ?? '',
        method: head.method,
        request_bytes: head.body === 'length' ? String(head.bodyBytes) : '',
        response_bytes: String(bytes),
        status,
        timestamp,
        total_ns: String(Math.round((this.#now() - startedMs) * 1e6)),
        uri,
        user_agent: (/\r\nuser-agent:[ \t]*([^\r]*)/i.exec(head.lines)?.[1] ?? '').slice(0, TEXT_MAX),
        version,
      };
      this.#write(`${JSON.stringify(fields)}\n`);
    });
  }
}

/** Looks at a response on its way to the client, and at a client that goes. */
class LoggedExchange implements ResponseSink {
  readonly #client: ResponseSink;
  readonly #done: (status: number, bytes: number) => void;
  #status = 0;
  #bytes = 0;
  #isOver = false;

  constructor(client: ResponseSink, done: (status: number, bytes: number) => void) {
    this.#client = client;
    this.#done = done;
  }

  /** The request's side: what comes from the client. */
  watch(request: RequestSink): RequestSink {
    return {
      send: (body, isEnd, trailers) => request.send(body, isEnd, trailers),
      resumeResponse: () => request.resumeResponse(),
      abort: () => {
        this.#finish(499);
        request.abort();
      },
    };
  }

  inform(head: ResponseHead): void {
    this.#client.inform(head);
  }

  respond(head: ResponseHead | undefined, body: Buffer | undefined, isEnd: boolean, trailers?: string): boolean {
    if (head !== undefined) this.#status = head.status;
    this.#bytes += body?.length ?? 0;
    if (isEnd) this.#finish(this.#status);
    return this.#client.respond(head, body, isEnd, trailers);
  }

  fail(error: ProxyError): void {
    this.#finish(this.#status === 0 ? error.status : this.#status);
    this.#client.fail(error);
  }

  resumeRequest(): void {
    this.#client.resumeRequest();
  }

  switchProtocols(head: ResponseHead, server: Connection, early: Buffer): void {
    this.#finish(head.status);
    this.#client.switchProtocols(head, server, early);
  }

  #finish(status: number): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#done(status, this.#bytes);
  }
}
