import type { Stream } from './stream.ts';

const CAPACITY_MIN = 16;

/**
 * The open streams of a connection by their numbers, which come one after another: each has its place in a ring. A Map would make its
 * table anew every few streams, and each old table that has grown old keeps all of its streams, and the next table, from being collected.
 */
export class StreamTable {
  size = 0;
  #ring = Array.from<Stream | undefined>({ length: CAPACITY_MIN });
  /** Streams whose place in the ring belongs to one that lasts. */
  readonly #crowded = new Map<number, Stream>();

  get(id: number): Stream | undefined {
    const stream = this.#ring[(id >>> 1) & (this.#ring.length - 1)];
    if (stream?.id === id) return stream;
    return this.#crowded.size === 0 ? undefined : this.#crowded.get(id);
  }

  /** @param stream  whose number is not in use */
  add(stream: Stream): void {
    this.size += 1;
    if (this.size > this.#ring.length / 2) this.#grow();
    this.#place(stream);
  }

  delete(id: number): void {
    const at = (id >>> 1) & (this.#ring.length - 1);
    if (this.#ring[at]?.id === id) this.#ring[at] = undefined;
    else if (!this.#crowded.delete(id)) return;
    this.size -= 1;
  }

  /** Those of now, whatever happens to them meanwhile. */
  values(): readonly Stream[] {
    const placed = this.#ring.filter((stream) => stream !== undefined);
    return this.#crowded.size === 0 ? placed : [...placed, ...this.#crowded.values()];
  }

  #place(stream: Stream): void {
    const at = (stream.id >>> 1) & (this.#ring.length - 1);
    if (this.#ring[at] === undefined) this.#ring[at] = stream;
    else this.#crowded.set(stream.id, stream);
  }

  #grow(): void {
    const streams = this.values();
    this.#ring = Array.from({ length: this.#ring.length * 2 });
    this.#crowded.clear();
    for (const stream of streams) this.#place(stream);
  }
}
