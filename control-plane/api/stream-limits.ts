import { ServerInterceptingCall, ServerListenerBuilder, status, type ServerInterceptor } from '@grpc/grpc-js';
import { SendBacklog, type SendBacklogOptions } from './send-backlog.ts';

/** How many calls one process has open at a time at most. */
export const STREAMS_MAX = 16_000;

/**
 * Memory of the process for each call. A stream with its part of a proxy's two connections takes 20 KiB; the rest is for the cluster,
 * for garbage, and for what waits to be sent (`npm run bench:control-plane`).
 */
const BYTES_PER_STREAM = 64 * 1024;

/**
 * How many calls a process may have open.
 *
 * @param memoryBytes  the limit of its container; 0, or more than there is: none
 */
export function streamsFor(memoryBytes: number): number {
  return memoryBytes === 0 ? STREAMS_MAX : Math.min(STREAMS_MAX, Math.floor(memoryBytes / BYTES_PER_STREAM));
}

/** A call that has not said what it wants after this time is ended. */
const REQUEST_TIMEOUT_MS = 10_000;

/** Why a call was turned away, or a connection ended. */
export type Refusal = 'too-many' | 'no-request' | 'not-taken';

export type StreamLimitsOptions = {
  readonly max?: number;
  readonly requestTimeoutMs?: number;
  readonly backlog?: SendBacklogOptions;
  /** Told of every call that is turned away, and of every connection that is ended. */
  readonly onRefused?: (reason: Refusal) => void;
};

/** A call whose message counts as waiting until its client has taken it. */
class CountedCall extends ServerInterceptingCall {
  readonly #backlog: SendBacklog;
  readonly #peer: string;
  #held: Disposable | undefined;
  #isOver = false;

  constructor(backlog: SendBacklog, peer: string, ...args: ConstructorParameters<typeof ServerInterceptingCall>) {
    super(...args);
    this.#backlog = backlog;
    this.#peer = peer;
  }

  override sendMessage(message: object, taken: () => void): void {
    super.sendMessage(message, () => {
      this.#taken();
      taken();
    });
    if (!this.#isOver) this.#held = this.#backlog.add(this.#peer, message);
  }

  /** The call is over; nothing that is still sent waits for anybody. */
  end(): void {
    this.#isOver = true;
    this.#taken();
  }

  #taken(): void {
    this.#held?.[Symbol.dispose]();
    this.#held = undefined;
  }
}

/**
 * Bounds the calls that are open, for all servers of a process together. A connection may have no more calls than are still
 * free: one client alone can take half of all, and one with few calls is served as long as there is any room, whatever others do.
 */
export class StreamLimits {
  /** What waits for clients to take it. */
  readonly backlog: SendBacklog;
  readonly #options: Required<Omit<StreamLimitsOptions, 'backlog'>>;
  readonly #byConnection = new Map<string, number>();
  #open = 0;

  constructor(options: StreamLimitsOptions = {}) {
    this.backlog = new SendBacklog(options.backlog);
    this.#options = { max: STREAMS_MAX, requestTimeoutMs: REQUEST_TIMEOUT_MS, onRefused: () => {}, ...options };
  }

  /** Calls that are open now. */
  get open(): number {
    return this.#open;
  }

  /** A connection is ended: its client has not taken a message for too long. */
  notTaken(): void {
    this.#options.onRefused('not-taken');
  }

  /** Counts the calls of a server and turns away what is too much. */
  get interceptor(): ServerInterceptor {
    return (_method, call) => {
      const { max, requestTimeoutMs, onRefused } = this.#options;
      const peer = call.getPeer();
      const own = this.#byConnection.get(peer) ?? 0;
      const free = max - this.#open;
      if (own >= free) {
        onRefused('too-many');
        const details = `this connection has ${own} calls open, and there is room for ${free} more of all clients: end some`;
        call.sendStatus({ code: status.RESOURCE_EXHAUSTED, details });
        return new ServerInterceptingCall(call, { start: () => {} });
      }
      this.#open += 1;
      this.#byConnection.set(peer, own + 1);
      const timer = setTimeout(() => {
        onRefused('no-request');
        call.sendStatus({ code: status.DEADLINE_EXCEEDED, details: `no request within ${requestTimeoutMs} ms` });
      }, requestTimeoutMs);
      timer.unref();
      const listener = new ServerListenerBuilder()
        .withOnReceiveMessage((message, next) => {
          clearTimeout(timer);
          next(message);
        })
        .withOnCancel(() => {
          clearTimeout(timer);
          counted.end();
          this.#release(peer);
        })
        .build();
      const counted = new CountedCall(this.backlog, peer, call, { start: (next) => next(listener) });
      return counted;
    };
  }

  #release(peer: string): void {
    this.#open -= 1;
    const left = (this.#byConnection.get(peer) ?? 1) - 1;
    if (left === 0) this.#byConnection.delete(peer);
    else this.#byConnection.set(peer, left);
  }
}
