import type { ServerExchange } from '../http/exchange.ts';
import type { RequestHead } from '../http/head.ts';
import type { Http2Pool } from './http2-pool.ts';
import type { Pool, RequestPool, Waiter } from './pool.ts';

/**
 * The connections to one endpoint. A request over HTTP/2 goes on over HTTP/2. One over HTTP/1 does so when the endpoint
 * carries it and has not refused HTTP/2 lately, unless it asks for another protocol, which needs a connection of its own.
 */
export class Connections implements RequestPool {
  readonly #http1: Pool;
  readonly #http2: Http2Pool;
  readonly #carriesHttp1: boolean;

  /** @param carriesHttp1  the endpoint is a proxy that takes HTTP/1 within HTTP/2 */
  constructor(http1: Pool, http2: Http2Pool, carriesHttp1: boolean) {
    this.#http1 = http1;
    this.#http2 = http2;
    this.#carriesHttp1 = carriesHttp1;
  }

  take(head: RequestHead, isRepeatable: boolean): ServerExchange | undefined {
    return this.#isHttp2(head) ? this.#http2.take() : this.#http1.take(isRepeatable);
  }

  wait(head: RequestHead, waiter: Waiter): void {
    if (this.#isHttp2(head)) this.#http2.wait(waiter);
    else this.#http1.wait(waiter);
  }

  giveUp(waiter: Waiter): void {
    this.#http1.giveUp(waiter);
    this.#http2.giveUp(waiter);
  }

  sweep(): void {
    this.#http1.sweep();
    this.#http2.sweep();
  }

  [Symbol.dispose](): void {
    this.#http1[Symbol.dispose]();
    this.#http2[Symbol.dispose]();
  }

  #isHttp2(head: RequestHead): boolean {
    if (head.isHttp2) return true;
    return this.#carriesHttp1 && !this.#http2.isRefused && head.upgrade === undefined && head.method !== 'CONNECT';
  }
}
