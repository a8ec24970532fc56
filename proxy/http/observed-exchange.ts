import type { ProxyError } from '../errors.ts';
import type { Connection } from '../transport/connection.ts';
import type { RequestSink, ResponseSink } from './exchange.ts';
import type { ResponseHead } from './head.ts';

/** How an exchange ended, as the client has seen it. */
export type ExchangeEnd = {
  readonly status: number; // 499: the client went away
  readonly bytes: number; // of the response's body
  readonly head: ResponseHead | undefined; // of the response, if there was one
  readonly trailers: string;
  readonly error: ProxyError | undefined; // the proxy's own
};

/** Looks at a response on its way to the client, and at a client that goes. */
export class ObservedExchange implements ResponseSink {
  readonly #client: ResponseSink;
  readonly #onEnd: (end: ExchangeEnd) => void;
  #head: ResponseHead | undefined;
  #bytes = 0;
  #isOver = false;

  /** @param onEnd  called once */
  constructor(client: ResponseSink, onEnd: (end: ExchangeEnd) => void) {
    this.#client = client;
    this.#onEnd = onEnd;
  }

  /** The request's side: what comes from the client. */
  watch(request: RequestSink): RequestSink {
    return {
      send: (body, isEnd, trailers) => request.send(body, isEnd, trailers),
      resumeResponse: () => request.resumeResponse(),
      abort: (cause) => {
        this.#end(cause?.status ?? 499, '', cause);
        request.abort(cause);
      },
    };
  }

  inform(head: ResponseHead): void {
    this.#client.inform(head);
  }

  respond(head: ResponseHead | undefined, body: Buffer | undefined, isEnd: boolean, trailers?: string): boolean {
    if (head !== undefined) this.#head = head;
    this.#bytes += body?.length ?? 0;
    if (isEnd) this.#end(this.#head?.status ?? 0, trailers);
    return this.#client.respond(head, body, isEnd, trailers);
  }

  fail(error: ProxyError): void {
    this.#end(this.#head?.status ?? error.status, '', error);
    this.#client.fail(error);
  }

  resumeRequest(): void {
    this.#client.resumeRequest();
  }

  switchProtocols(head: ResponseHead, server: Connection, early: Buffer): void {
    this.#head = head;
    this.#end(head.status);
    this.#client.switchProtocols(head, server, early);
  }

  #end(status: number, trailers = '', error?: ProxyError): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#onEnd({ status, bytes: this.#bytes, head: this.#head, trailers, error });
  }
}
