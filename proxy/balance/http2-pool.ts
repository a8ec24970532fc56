import { ProxyError, toProxyError } from '../errors.ts';
import type { ServerExchange } from '../http/exchange.ts';
import { Http2Exchange } from '../http2/client.ts';
import { Session } from '../http2/session.ts';
import type { Connection } from '../transport/connection.ts';
import type { Waiter } from './pool.ts';

export type Http2PoolOptions = {
  /** Opens a connection that is ready for HTTP/2. */
  readonly connect: () => Promise<Connection>;
  readonly waitingMax: number; // requests that wait for a connection
  /** False while nothing may be sent, such as without a valid certificate: connections then only finish. */
  readonly mayUse: () => boolean;
};

/** Requests above a peer's limit of streams get further connections, up to so many. */
const SESSIONS_MAX = 16;

/** HTTP/2 to one endpoint: one connection, unless the peer allows it too few streams. */
export class Http2Pool implements Disposable {
  readonly #options: Http2PoolOptions;
  readonly #now: () => number;
  readonly #sessions = new Set<Session>(); // those that may take more streams, now or later
  readonly #retired = new Set<Session>(); // those that only finish
  readonly #waiting = new Set<Waiter>();
  #isConnecting = false;
  #isClosed = false;

  constructor(options: Http2PoolOptions, now: () => number) {
    this.#options = options;
    this.#now = now;
  }

  take(): ServerExchange | undefined {
    if (!this.#options.mayUse()) {
      for (const session of this.#sessions) session.retire();
      return undefined;
    }
    for (const session of this.#sessions) {
      if (session.isUsable) return new Http2Exchange(session);
    }
    return undefined;
  }

  wait(waiter: Waiter): void {
    const exchange = this.take();
    if (exchange !== undefined) {
      waiter.onClient(exchange);
      return;
    }
    if (this.#waiting.size >= this.#options.waitingMax) {
      waiter.onError(new ProxyError('load-shed', `${this.#options.waitingMax} requests wait for a connection already`));
      return;
    }
    this.#waiting.add(waiter);
    this.#connect();
  }

  giveUp(waiter: Waiter): void {
    this.#waiting.delete(waiter);
  }

  sweep(): void {
    const nowMs = this.#now();
    for (const set of [this.#sessions, this.#retired]) {
      for (const session of set) {
        if (session.isClosed) set.delete(session);
        else session.sweep(nowMs);
      }
    }
    this.#serveWaiting();
  }

  /** Streams in progress finish and then the connection closes. */
  [Symbol.dispose](): void {
    this.#isClosed = true;
    for (const session of this.#sessions) session.retire();
  }

  #connect(): void {
    if (this.#isConnecting || this.#sessions.size >= SESSIONS_MAX) return; // a stream that ends makes room
    this.#isConnecting = true;
    this.#options.connect().then(
      (connection) => this.#onConnection(connection),
      (error: unknown) => {
        this.#isConnecting = false;
        const failure = toProxyError(error, 'connect-failed');
        const waiting = [...this.#waiting];
        this.#waiting.clear();
        for (const waiter of waiting) waiter.onError(failure);
      },
    );
  }

  #onConnection(connection: Connection): void {
    this.#isConnecting = false;
    const session: Session = new Session(
      connection,
      true,
      {
        onStream() {},
        onGone: () => {
          this.#sessions.delete(session);
          if (!session.isClosed) this.#retired.add(session);
        },
        onRoom: () => this.#serveWaiting(),
      },
      this.#now,
    );
    this.#sessions.add(session);
    connection.start(session);
    this.#serveWaiting();
    if (this.#isClosed) session.retire();
  }

  #serveWaiting(): void {
    for (const waiter of this.#waiting) {
      const exchange = this.take();
      if (exchange === undefined) {
        this.#connect();
        return;
      }
      this.#waiting.delete(waiter);
      waiter.onClient(exchange);
    }
  }
}
