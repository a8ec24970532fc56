/** Streams that are remembered; for those before them it counts as known. */
const DROPPED_MAX = 1000;

/**
 * Streams that this side ended while the peer had not: frames that were under way meanwhile are no mistake of the peer. All
 * others on closed streams are (RFC 9113 section 5.1).
 */
export class DroppedStreams {
  readonly #ids = new Set<number>();
  #forgotten = 0; // the highest that fell out

  add(id: number): void {
    this.#ids.add(id);
    if (this.#ids.size <= DROPPED_MAX) return;
    const [oldest = 0] = this.#ids;
    this.#ids.delete(oldest);
    this.#forgotten = Math.max(this.#forgotten, oldest);
  }

  has(id: number): boolean {
    return id <= this.#forgotten || this.#ids.has(id);
  }

  /** The peer has ended it too. */
  end(id: number): void {
    this.#ids.delete(id);
  }
}
