import { ProxyError, toProxyError } from '../errors.ts';
import type { ServerExchange } from '../http/exchange.ts';
import { Http2Exchange } from '../http2/client.ts';
import { MESH_LINK, SERVER_LINK } from '../http2/link-class.ts';
import { Session } from '../http2/session.ts';
import type { Connection } from '../transport/connection.ts';
import type { Waiter } from './pool.ts';

export type Http2PoolOptions = {
  /** Opens a connection that is ready for HTTP/2. */
  readonly connect: () => Promise<Connection>;
  readonly waitingMax: number; // requests that wait for a connection
  /** False while nothing may be sent, such as without a valid certificate: connections then only finish. */
  readonly mayUse: () => boolean;
  /** The peer is a proxy of the mesh, which answers PING. gRPC servers end connections that ask too often. */
  readonly isPeer: boolean;
};

/** How long a peer may take to say that it speaks HTTP/2, a gateway that looks up a name included. */
const SETTINGS_TIMEOUT_MS = 10_000;
/** How long a silent connection may take to show that it is alive before another one is opened. */
const PROBE_TIMEOUT_MS = 1000;
/** How often what still finishes is looked at. */
const FINISH_MS = 1000;
/** How long a peer that did not speak HTTP/2 is remembered. */
const REFUSED_MS = 10_000;
/** Requests above a peer's limit of streams get further connections, up to so many. */
const SESSIONS_MAX = 16;

/**
 * HTTP/2 to one endpoint: one connection, unless the peer allows it too few streams. No request is sent to a peer before
 * it has shown that it speaks HTTP/2, nor after a silence before it has shown that it is alive: what is lost then was
 * certainly not processed and goes elsewhere, whatever its method.
 */
export class Http2Pool implements Disposable {
  readonly #options: Http2PoolOptions;
  readonly #now: () => number;
  readonly #sessions = new Set<Session>(); // those that may take more streams, now or later
  readonly #retired = new Set<Session>(); // those that only finish
  readonly #waiting = new Set<Waiter>();
  #isConnecting = false;
  #refusedMs = Number.NEGATIVE_INFINITY;
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
    const nowMs = this.#now();
    for (const session of this.#sessions) {
      if (!session.isUsable) continue;
      if (session.isFresh(nowMs)) return new Http2Exchange(session);
      if (!session.isPending) this.#probe(session, nowMs);
    }
    return undefined;
  }

  /** The endpoint did not speak HTTP/2 when it was last asked. */
  get isRefused(): boolean {
    return this.#now() - this.#refusedMs < REFUSED_MS;
  }

  wait(waiter: Waiter): void {
    if (this.#isClosed) {
      waiter.onError(goneError());
      return;
    }
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

  /** Streams in progress finish and then the connection closes; what waits for a connection goes elsewhere. */
  [Symbol.dispose](): void {
    this.#isClosed = true;
    for (const session of this.#sessions) session.retire();
    this.#failWaiting(goneError());
    this.#finish();
  }

  /**
   * Nobody sweeps a pool that is disposed of, and yet its last streams must not wait for a peer that is dead. That one is
   * likely, where an endpoint is gone: a silent peer is asked at once.
   */
  #finish(): void {
    this.sweep();
    const nowMs = this.#now();
    for (const session of this.#retired) {
      if (session.streams.size > 0 && !session.isFresh(nowMs)) session.probe(nowMs);
    }
    if (this.#sessions.size + this.#retired.size > 0) setTimeout(() => this.#finish(), FINISH_MS).unref();
  }

  #connect(): void {
    if (this.#isConnecting || this.#sessions.size >= SESSIONS_MAX) return; // a stream that ends makes room
    for (const session of this.#sessions) if (session.isPending) return;
    this.#isConnecting = true;
    this.#options.connect().then(
      (connection) => this.#onConnection(connection),
      (error: unknown) => {
        this.#isConnecting = false;
        this.#failWaiting(toProxyError(error, 'connect-failed'));
      },
    );
  }

  #failWaiting(error: ProxyError): void {
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const waiter of waiting) waiter.onError(error);
  }

  #probe(session: Session, nowMs: number): void {
    session.probe(nowMs);
    setTimeout(() => {
      if (session.isPending) session.retire(); // its open streams may still finish; the PING that is due decides
    }, PROBE_TIMEOUT_MS).unref();
  }

  /** The connection takes no more streams. */
  #onGone(session: Session, reason = 'it ended the connection'): void {
    this.#sessions.delete(session);
    if (!session.isClosed) this.#retired.add(session);
    if (session.isConfirmed || this.#isClosed) {
      // The next turn: the session fails its streams first.
      if (this.#waiting.size > 0) setImmediate(() => this.#serveWaiting());
      return;
    }
    this.#refusedMs = this.#now();
    this.#failWaiting(new ProxyError('http2-refused', `the endpoint does not speak HTTP/2: ${reason}`));
  }

  #onConnection(connection: Connection): void {
    this.#isConnecting = false;
    const session: Session = new Session(
      connection,
      true,
      {
        onStream: () => undefined,
        onGone: (reason) => this.#onGone(session, reason),
        onRoom: () => this.#serveWaiting(),
      },
      this.#now,
      this.#options.isPeer ? MESH_LINK : SERVER_LINK,
    );
    this.#sessions.add(session);
    setTimeout(() => {
      if (!session.isConfirmed) session.connection.destroy(new Error(`no SETTINGS within ${SETTINGS_TIMEOUT_MS} ms`));
    }, SETTINGS_TIMEOUT_MS).unref();
    connection.readFast();
    connection.start(session);
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

function goneError(): ProxyError {
  return new ProxyError('connect-failed', 'the endpoint is gone');
}
