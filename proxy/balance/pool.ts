import { ProxyError, toProxyError } from '../errors.ts';
import { Http1Client, type ClientOwner } from '../http/client.ts';
import type { ServerExchange } from '../http/exchange.ts';
import type { RequestHead } from '../http/head.ts';
import type { Connection } from '../transport/connection.ts';

export type PoolOptions = {
  /** Opens a connection that is ready for HTTP/1.1. */
  readonly connect: () => Promise<Connection>;
  readonly idleMs: number; // a connection unused for this long is closed
  readonly idleMax: number; // connections kept for later
  readonly waitingMax: number; // requests that wait for a connection
};

/** Where the requests to one endpoint find their connections. */
export interface RequestPool extends Disposable {
  /**
   * @param isRepeatable  the request may be sent again if the connection turns out to be dead
   * @returns a connection that can be used at once, if there is one
   */
  take(head: RequestHead, isRepeatable: boolean): ServerExchange | undefined;
  /** Opens a connection, or waits for one that becomes free first. */
  wait(head: RequestHead, waiter: Waiter): void;
  giveUp(waiter: Waiter): void;
  /** Called about once a second. */
  sweep(): void;
}

/** Who waits for a connection. Exactly one of the two is called, unless the wait is given up. */
export interface Waiter {
  onClient(client: ServerExchange): void;
  onError(error: ProxyError): void;
}

/** Connections being opened at a time, so that a burst does not become a burst of TLS handshakes. */
const CONNECTING_MAX = 32;
/**
 * A request that cannot be repeated takes only a connection that was in use so recently. The server may close an idle
 * connection at any time, and such a request would be lost if it crossed the close.
 */
const FRESH_IDLE_MS = 1000;
/** How much earlier than the server announced a connection is given up. */
const KEEP_ALIVE_MARGIN_MS = 1000;

/** HTTP/1.1 connections to one endpoint: last in, first out, so that a quiet period lets the surplus go. */
export class Pool implements ClientOwner, Disposable {
  readonly #options: PoolOptions;
  readonly #now: () => number;
  readonly #idle: Http1Client[] = [];
  readonly #waiting = new Set<Waiter>();
  #connecting = 0;
  #isClosed = false;

  constructor(options: PoolOptions, now: () => number) {
    this.#options = options;
    this.#now = now;
  }

  get idleCount(): number {
    return this.#idle.length;
  }

  /**
   * @param isRepeatable  the request may be sent again if the connection turns out to be dead
   * @returns an idle connection, if there is one
   */
  take(isRepeatable: boolean): Http1Client | undefined {
    const nowMs = this.#now();
    for (let client = this.#idle.pop(); client !== undefined; client = this.#idle.pop()) {
      const idleMs = nowMs - client.idleSinceMs;
      if (!client.isUsable || idleMs > this.#idleLimitMs(client)) {
        client.connection.endAndClose();
        continue;
      }
      if (!isRepeatable && idleMs > FRESH_IDLE_MS) {
        this.#idle.push(client);
        return undefined;
      }
      return client;
    }
    return undefined;
  }

  /** Opens a connection, or waits for one that becomes free first. */
  wait(waiter: Waiter): void {
    if (this.#waiting.size >= this.#options.waitingMax) {
      waiter.onError(new ProxyError('load-shed', `${this.#options.waitingMax} requests wait for a connection already`));
      return;
    }
    this.#waiting.add(waiter);
    this.#connectMore();
  }

  giveUp(waiter: Waiter): void {
    this.#waiting.delete(waiter);
  }

  /** Keeps a connection that is ready but not needed now. */
  offer(connection: Connection): void {
    this.onIdle(new Http1Client(connection, this));
  }

  onIdle(client: Http1Client): void {
    const [waiter] = this.#waiting;
    if (waiter !== undefined && client.isUsable) {
      this.#waiting.delete(waiter);
      waiter.onClient(client);
    } else if (this.#isClosed || this.#idle.length >= this.#options.idleMax) {
      client.connection.endAndClose();
    } else {
      client.idleSinceMs = this.#now();
      this.#idle.push(client);
    }
  }

  onGone(client: Http1Client): void {
    const index = this.#idle.lastIndexOf(client);
    if (index >= 0) this.#idle.splice(index, 1);
  }

  /** Closes connections that were idle for too long. Called about once a second. */
  sweep(): void {
    const nowMs = this.#now();
    const expired = this.#idle.filter((client) => nowMs - client.idleSinceMs > this.#idleLimitMs(client));
    for (const client of expired) {
      this.onGone(client);
      client.connection.endAndClose();
    }
  }

  /** Closes what is idle; exchanges in progress finish and then close as well. */
  [Symbol.dispose](): void {
    this.#isClosed = true;
    for (const client of this.#idle.splice(0)) client.connection.endAndClose();
  }

  #idleLimitMs(client: Http1Client): number {
    const promisedMs = client.keepAliveMs === undefined ? Infinity : client.keepAliveMs - KEEP_ALIVE_MARGIN_MS;
    return Math.min(this.#options.idleMs, promisedMs);
  }

  #connectMore(): void {
    while (this.#connecting < Math.min(this.#waiting.size, CONNECTING_MAX)) {
      this.#connecting += 1;
      void this.#connectOne();
    }
  }

  async #connectOne(): Promise<void> {
    let failure: ProxyError | undefined;
    try {
      const connection = await this.#options.connect();
      this.#connecting -= 1;
      this.onIdle(new Http1Client(connection, this));
    } catch (error) {
      this.#connecting -= 1;
      failure = toProxyError(error, 'connect-failed');
    }
    if (failure !== undefined) {
      // The oldest pays; the others get their own attempt, or the next connection that becomes free.
      const [waiter] = this.#waiting;
      if (waiter !== undefined) {
        this.#waiting.delete(waiter);
        waiter.onError(failure);
      }
    }
    this.#connectMore();
  }
}
