/** Something kept as long as it is used, and a while longer. */
export interface CacheValue extends Disposable {
  /** Nobody has used it for the idle time: stop what costs the control plane, keep what is known. */
  rest(): void;
  /** It is used again. */
  wake(): void;
}

type Entry<V> = { readonly value: V; users: number; usedAtMs: number; isResting: boolean };

/** A value in use. Dispose of it when the connection or request is over. */
export type Lease<V> = Disposable & { readonly value: V };

/**
 * One value per key, shared by everybody who asks. A value that nobody uses rests after `idleMs`: it is no longer kept up
 * to date, but still there, so that an outage of the control plane finds it. When there are more than `max`, the resting
 * ones that were used longest ago are dropped.
 */
export class Cache<V extends CacheValue> implements Disposable {
  readonly #entries = new Map<string, Entry<V>>();
  readonly #make: (key: string) => V;
  readonly #idleMs: number;
  readonly #max: number;
  readonly #now: () => number;

  constructor(
    make: (key: string) => V,
    options: { readonly idleMs: number; readonly max: number; readonly now: () => number },
  ) {
    this.#make = make;
    this.#idleMs = options.idleMs;
    this.#max = options.max;
    this.#now = options.now;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** @returns undefined when there is no room: `max` values are in use */
  acquire(key: string): Lease<V> | undefined {
    let entry = this.#entries.get(key);
    if (entry === undefined) {
      if (this.#entries.size >= this.#max && !this.#dropOne()) return undefined;
      entry = { value: this.#make(key), users: 0, usedAtMs: this.#now(), isResting: false };
      this.#entries.set(key, entry);
    } else if (entry.isResting) {
      entry.isResting = false;
      entry.value.wake();
    }
    entry.users += 1;
    return this.#lease(entry);
  }

  /** Puts to rest what is idle. Called about once a second. */
  sweep(each: (value: V) => void): void {
    const nowMs = this.#now();
    for (const entry of this.#entries.values()) {
      each(entry.value);
      if (entry.users > 0 || entry.isResting || nowMs - entry.usedAtMs <= this.#idleMs) continue;
      entry.isResting = true;
      entry.value.rest();
    }
  }

  [Symbol.dispose](): void {
    for (const { value } of this.#entries.values()) value[Symbol.dispose]();
    this.#entries.clear();
  }

  #lease(entry: Entry<V>): Lease<V> {
    let isReleased = false;
    return {
      value: entry.value,
      [Symbol.dispose]: () => {
        if (isReleased) return;
        isReleased = true;
        entry.users -= 1;
        entry.usedAtMs = this.#now();
      },
    };
  }

  #dropOne(): boolean {
    let oldest: [string, Entry<V>] | undefined;
    for (const item of this.#entries) {
      if (item[1].users === 0 && (oldest === undefined || item[1].usedAtMs < oldest[1].usedAtMs)) oldest = item;
    }
    if (oldest === undefined) return false;
    this.#entries.delete(oldest[0]);
    oldest[1].value[Symbol.dispose]();
    return true;
  }
}
