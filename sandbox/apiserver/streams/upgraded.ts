import type { WebSocket } from 'ws';

/** A connection that has become a WebSocket. */
export type Upgraded = {
  readonly socket: WebSocket;
  readonly protocol: string; // the one agreed on
  /** Aborted when the client is gone, also while nothing is read from it; the WebSocket's own `close` waits for the reader. */
  readonly gone: AbortSignal;
};
