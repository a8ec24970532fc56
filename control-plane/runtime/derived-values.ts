import { isDeepStrictEqual } from 'node:util';
import { Watch } from './watch.ts';

/** A value in use. Dispose of it when it is no longer needed. */
export type Lease<T> = Disposable & { readonly slot: Watch<T> };

type Entry<T> = {
  readonly slot: Watch<T>;
  readonly topics: readonly string[];
  readonly compute: () => T;
  users: number;
};

/**
 * Values that are computed from something else and kept up to date as long as somebody uses them. Who asks for the same
 * key shares one value. Many changes at once cost one computation; a result that is equal to the last one wakes nobody.
 * As large as what is in use.
 */
export class DerivedValues<T> {
  readonly #entries = new Map<string, Entry<T>>();
  readonly #byTopic = new Map<string, Set<Entry<T>>>();
  readonly #dirty = new Set<Entry<T>>();
  #isScheduled = false;

  get size(): number {
    return this.#entries.size;
  }

  /**
   * @param key      what the value is
   * @param topics   what it depends on: `touch` with one of them computes it anew
   * @param compute  must not throw
   */
  acquire(key: string, topics: readonly string[], compute: () => T): Lease<T> {
    let entry = this.#entries.get(key);
    if (entry === undefined) {
      entry = { slot: new Watch(compute()), topics, compute, users: 0 };
      this.#entries.set(key, entry);
      for (const topic of topics) {
        const set = this.#byTopic.get(topic) ?? new Set();
        this.#byTopic.set(topic, set.add(entry));
      }
    } else if (this.#dirty.has(entry)) {
      this.#refresh(entry);
    }
    entry.users += 1;
    return this.#lease(key, entry);
  }

  /** Something that a topic stands for has changed. */
  touch(topic: string): void {
    for (const entry of this.#byTopic.get(topic) ?? []) this.#dirty.add(entry);
    this.#schedule();
  }

  /** Everything may have changed. */
  touchAll(): void {
    for (const entry of this.#entries.values()) this.#dirty.add(entry);
    this.#schedule();
  }

  /** Computes what is due now instead of in the next turn of the event loop. */
  flush(): void {
    for (const entry of this.#dirty) this.#refresh(entry);
  }

  #schedule(): void {
    if (this.#isScheduled || this.#dirty.size === 0) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      this.flush();
    });
  }

  #refresh(entry: Entry<T>): void {
    this.#dirty.delete(entry);
    const value = entry.compute();
    if (!isDeepStrictEqual(value, entry.slot.value)) entry.slot.set(value);
  }

  #lease(key: string, entry: Entry<T>): Lease<T> {
    let isReleased = false;
    return {
      slot: entry.slot,
      [Symbol.dispose]: () => {
        if (isReleased) return;
        isReleased = true;
        entry.users -= 1;
        if (entry.users === 0) this.#drop(key, entry);
      },
    };
  }

  #drop(key: string, entry: Entry<T>): void {
    this.#entries.delete(key);
    this.#dirty.delete(entry);
    for (const topic of entry.topics) {
      const set = this.#byTopic.get(topic);
      set?.delete(entry);
      if (set?.size === 0) this.#byTopic.delete(topic);
    }
  }
}
