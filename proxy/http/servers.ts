import type { Connection } from '../transport/connection.ts';
import type { OnRejected, ServeRequest } from './exchange.ts';
import { Http1Server, type ServerTimeouts } from './server.ts';

/** The HTTP/1.1 connections of one side of the proxy, for what concerns all of them: timeouts and draining. */
export class Http1Servers {
  readonly #servers = new Set<Http1Server>();
  readonly #timeouts: ServerTimeouts;
  readonly #now: () => number;
  #isDraining = false;

  constructor(timeouts: ServerTimeouts, now: () => number) {
    this.#timeouts = timeouts;
    this.#now = now;
  }

  /**
   * @param early       bytes that were read from the connection before
   * @param onRejected  told of what never became a request
   */
  serve(connection: Connection, early: Buffer, serve: ServeRequest, onRejected: OnRejected): void {
    if (connection.isClosed) return;
    const server = new Http1Server(connection, serve, onRejected, this.#timeouts, this.#now());
    if (this.#isDraining) server.drain();
    this.#servers.add(server);
    connection.readFast();
    connection.start(server);
    if (early.length > 0) server.onData(early);
    if (connection.isReadEnded) server.onEnd();
  }

  sweep(): void {
    const nowMs = this.#now();
    for (const server of this.#servers) {
      if (server.isClosed) this.#servers.delete(server);
      else server.sweep(nowMs);
    }
  }

  /** From now on every connection is closed after its response. */
  drain(): void {
    this.#isDraining = true;
    for (const server of this.#servers) server.drain();
  }

  closeIdle(): void {
    for (const server of this.#servers) server.closeIdle();
  }
}
