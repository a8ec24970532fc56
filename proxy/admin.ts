import { adminAnswer } from '#runtime/admin-answer.ts';
import { Listener } from './accept/listener.ts';
import { NO_SINK, type RequestSink, type ResponseSink, type ServeRequest } from './http/exchange.ts';
import type { RequestHead } from './http/head.ts';
import { reasonOf } from './http/reasons.ts';
import { Http1Servers } from './http/servers.ts';
import { CONTENT_TYPE } from './metrics/exposition.ts';
import { Connection } from './transport/connection.ts';

const CONNECTIONS_MAX = 256;
const TIMEOUTS = { headMs: 10_000, idleMs: 60_000, lingerMs: 5000 };
const NO_BYTES = Buffer.alloc(0);
const PLAIN = 'text/plain; charset=utf-8';
/** What a page answers. */
export type PageAnswer = { readonly status: number; readonly contentType: string; readonly body: string };

export type AdminOptions = {
  readonly host: string;
  readonly port: number;
  readonly notReady: () => readonly string[]; // as of `adminAnswer`
  readonly metrics: () => string;
  /** Further pages, by path. They change nothing. */
  readonly pages: Readonly<Record<string, (query: URLSearchParams) => PageAnswer>>;
};

/** The admin endpoint, served by the proxy's own HTTP/1.1: node:http alone is a megabyte of memory. */
export class Admin implements Disposable {
  readonly #options: AdminOptions;
  readonly #servers = new Http1Servers(TIMEOUTS, () => performance.now());
  #listener: Listener | undefined;

  constructor(options: AdminOptions) {
    this.#options = options;
  }

  get port(): number {
    return this.#listener?.port ?? this.#options.port;
  }

  /** @throws the listen error */
  async listen(): Promise<void> {
    const { host, port } = this.#options;
    this.#listener = await Listener.listen({
      host,
      port,
      connectionsMax: CONNECTIONS_MAX,
      onConnection: (socket) => this.#serveConnection(new Connection(socket)),
    });
  }

  /** Called about once a second. */
  sweep(): void {
    this.#servers.sweep();
  }

  [Symbol.dispose](): void {
    this.#listener?.[Symbol.dispose]();
  }

  #serveConnection(connection: Connection): void {
    const serve: ServeRequest = (head, _body, isEnd, response) => this.#serve(head, isEnd, response);
    this.#servers.serve(connection, NO_BYTES, serve, () => {});
  }

  #serve({ method, target }: RequestHead, isEnd: boolean, response: ResponseSink): RequestSink {
    const { status, contentType, body, allow } = this.#answer(method, target);
    const bytes = Buffer.from(body);
    const more = allow === undefined ? '' : `allow: ${allow}\r\n`;
    const fields = `content-type: ${contentType}\r\ncontent-length: ${bytes.length}\r\n${more}`;
    response.respond(
      {
        status,
        lines: `HTTP/1.1 ${status} ${reasonOf(status)}\r\n${fields}`,
        body: 'length',
        bodyBytes: bytes.length,
        isPersistent: isEnd, // a body that nobody wants is not waited for
        upgrade: undefined,
        keepAliveMs: undefined,
        proxyError: undefined,
      },
      method === 'HEAD' ? undefined : bytes,
      true,
    );
    return NO_SINK;
  }

  #answer(method: string, target: string): PageAnswer & { readonly allow?: string } {
    const { notReady, metrics, pages } = this.#options;
    const found = adminAnswer(method, target, notReady);
    if (found === 'metrics') return { status: 200, contentType: CONTENT_TYPE, body: metrics() };
    const [path = '/', query = ''] = target.split('?', 2);
    const page = found.status === 404 && Object.hasOwn(pages, path) ? pages[path] : undefined;
    return page?.(new URLSearchParams(query)) ?? { ...found, contentType: PLAIN };
  }
}
