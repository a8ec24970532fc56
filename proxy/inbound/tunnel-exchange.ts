import type { Watch } from '#runtime/watch.ts';
import type { ProxyError } from '../errors.ts';
import type { RequestSink, ResponseSink } from '../http/exchange.ts';
import type { RequestHead, ResponseHead } from '../http/head.ts';
import type { Connection } from '../transport/connection.ts';
import { whileAllowed } from './while-allowed.ts';

/** Whether the answer to a request may be a tunnel. */
export function mayOpenTunnel({ method, upgrade }: RequestHead): boolean {
  return method === 'CONNECT' || upgrade !== undefined;
}

/**
 * A request that may open a tunnel, and the tunnel: a connection of its own over HTTP/1, a stream over HTTP/2. It lasts as long as the
 * policy lets the request in.
 */
export class TunnelExchange implements RequestSink, ResponseSink {
  readonly #isConnect: boolean;
  readonly #client: ResponseSink;
  readonly #policy: Watch<unknown>;
  readonly #findDenial: () => ProxyError | undefined;
  #request: RequestSink | undefined;
  #changes: Disposable | undefined;
  #isRequestDone = false;
  #isResponseDone = false;

  /** @param findDenial  why the policy of now does not let the request in; nothing while it does */
  constructor(
    head: RequestHead,
    client: ResponseSink,
    policy: Watch<unknown>,
    findDenial: () => ProxyError | undefined,
  ) {
    this.#isConnect = head.method === 'CONNECT';
    this.#client = client;
    this.#policy = policy;
    this.#findDenial = findDenial;
  }

  /** The request's side: what comes from the client. */
  watch(request: RequestSink): RequestSink {
    this.#request = request;
    return this;
  }

  send(body: Buffer | undefined, isEnd: boolean, trailers?: string): boolean {
    if (isEnd) this.#isRequestDone = true;
    this.#releaseAtEnd();
    return this.#request?.send(body, isEnd, trailers) ?? true;
  }

  resumeResponse(): void {
    this.#request?.resumeResponse();
  }

  abort(cause?: ProxyError): void {
    this.#release();
    this.#request?.abort(cause);
  }

  inform(head: ResponseHead): void {
    this.#client.inform(head);
  }

  respond(head: ResponseHead | undefined, body: Buffer | undefined, isEnd: boolean, trailers?: string): boolean {
    if (this.#isConnect && head !== undefined && head.status >= 200 && head.status < 300) {
      const cut = (error: ProxyError): void => {
        this.abort(error);
        this.#client.fail(error);
      };
      const late = this.#findDenial();
      if (late !== undefined) {
        cut(late);
        return true;
      }
      this.#changes = whileAllowed(this.#policy, this.#findDenial, cut);
    }
    if (isEnd) this.#isResponseDone = true;
    this.#releaseAtEnd();
    return this.#client.respond(head, body, isEnd, trailers);
  }

  fail(error: ProxyError): void {
    this.#release();
    this.#client.fail(error);
  }

  resumeRequest(): void {
    this.#client.resumeRequest();
  }

  switchProtocols(head: ResponseHead, server: Connection, early: Buffer): void {
    const late = this.#findDenial();
    if (late !== undefined) {
      server.reset();
      this.#client.fail(late);
      return;
    }
    // The end of the server's connection is the client's too.
    const changes = whileAllowed(this.#policy, this.#findDenial, () => server.reset());
    server.socket.once('close', () => changes[Symbol.dispose]());
    this.#client.switchProtocols(head, server, early);
    if (server.isClosed) changes[Symbol.dispose]();
  }

  #releaseAtEnd(): void {
    if (this.#isRequestDone && this.#isResponseDone) this.#release();
  }

  #release(): void {
    this.#changes?.[Symbol.dispose]();
    this.#changes = undefined;
  }
}
