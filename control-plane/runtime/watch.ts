/**
 * A slot that holds the latest value of something that changes, for any number of readers.
 * A reader that is slower than the writer skips values and never queues them: this bounds memory.
 */
export class Watch<T> {
  #value: T;
  #version = 0;
  readonly #readers = new Set<() => void>();

  constructor(initial: T) {
    this.#value = initial;
  }

  get value(): T {
    return this.#value;
  }

  /** Counts the changes; a reader that remembers it knows whether it is behind. */
  get version(): number {
    return this.#version;
  }

  /** Replaces the value and wakes the readers. Compare before you call: every call counts as a change. */
  set(value: T): void {
    this.#value = value;
    this.#version += 1;
    for (const wake of this.#readers) wake();
  }

  /** Calls `wake` synchronously after every `set`. `wake` must not throw and must not block. */
  subscribe(wake: () => void): Disposable {
    this.#readers.add(wake);
    return { [Symbol.dispose]: () => void this.#readers.delete(wake) };
  }

  get readerCount(): number {
    return this.#readers.size;
  }
}
