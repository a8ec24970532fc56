/** Bytes of messages that wait, of all clients of a process together. Nobody needs so much: a client that reads takes its messages at once. */
const BYTES_MAX = 32 * 1024 * 1024;
/** A client that has not taken a message after this time loses its connection. */
const TAKE_TIMEOUT_MS = 30_000;

export type SendBacklogOptions = {
  readonly bytesMax?: number;
  readonly takeTimeoutMs?: number;
  /** Monotonic milliseconds. */
  readonly now?: () => number;
};

type Held = { readonly peer: string; readonly bytes: number; readonly sinceMs: number };

/**
 * Messages that were sent and that their clients have not taken: their connection, or the window that they give a stream, is full. For a
 * client as much may wait as is still free: one alone can fill half, and one that reads is served whatever others do. More has to
 * wait for its turn before it is encoded.
 */
export class SendBacklog {
  readonly #bytesMax: number;
  readonly #takeTimeoutMs: number;
  readonly #now: () => number;
  readonly #sizes = new WeakMap<object, number>();
  readonly #held = new Set<Held>(); // oldest first; one for each open call at most
  readonly #byPeer = new Map<string, number>();
  readonly #waiting = new Map<string, Set<() => void>>(); // one for each open call at most
  #bytes = 0;

  constructor(options: SendBacklogOptions = {}) {
    this.#bytesMax = options.bytesMax ?? BYTES_MAX;
    this.#takeTimeoutMs = options.takeTimeoutMs ?? TAKE_TIMEOUT_MS;
    this.#now = options.now ?? (() => performance.now());
  }

  /** Bytes that wait now. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Notes how large a message is that is sent right now. */
  encoded(message: object, bytes: number): void {
    this.#sizes.set(message, bytes);
  }

  /** A message waits for its client. @returns dispose of it when the message was taken, or its call is over */
  add(peer: string, message: object): Disposable {
    const held = { peer, bytes: this.#sizes.get(message) ?? 0, sinceMs: this.#now() };
    this.#held.add(held);
    this.#count(peer, held.bytes);
    return {
      [Symbol.dispose]: () => {
        if (!this.#held.delete(held)) return;
        this.#count(peer, -held.bytes);
        this.#wake();
      },
    };
  }

  hasRoom(peer: string): boolean {
    return (this.#byPeer.get(peer) ?? 0) < this.#bytesMax - this.#bytes;
  }

  /** @param wake  called once when a client has room, those that came first before others; must not throw */
  onRoom(peer: string, wake: () => void): Disposable {
    const waiting = this.#waiting.get(peer) ?? new Set();
    this.#waiting.set(peer, waiting.add(wake));
    return {
      [Symbol.dispose]: () => {
        waiting.delete(wake);
        if (waiting.size === 0 && this.#waiting.get(peer) === waiting) this.#waiting.delete(peer);
      },
    };
  }

  /** Clients that have not taken a message for too long. */
  get overdue(): ReadonlySet<string> {
    const peers = new Set<string>();
    const beforeMs = this.#now() - this.#takeTimeoutMs;
    for (const { peer, sinceMs } of this.#held) {
      if (sinceMs > beforeMs) break;
      peers.add(peer);
    }
    return peers;
  }

  #count(peer: string, bytes: number): void {
    this.#bytes += bytes;
    const own = (this.#byPeer.get(peer) ?? 0) + bytes;
    if (own === 0) this.#byPeer.delete(peer);
    else this.#byPeer.set(peer, own);
  }

  #wake(): void {
    for (const [peer, waiting] of this.#waiting) {
      for (const wake of waiting) {
        if (!this.hasRoom(peer)) break;
        waiting.delete(wake);
        wake();
      }
      if (waiting.size === 0) this.#waiting.delete(peer);
    }
  }
}
