/** A point of wall time that may come closer but never moves away. */
export class Deadline implements Disposable {
  readonly #reached = Promise.withResolvers<void>();
  readonly #abort = new AbortController();
  #atMs: number;
  #timer: NodeJS.Timeout;

  constructor(atMs: number) {
    this.#atMs = atMs;
    this.#timer = this.#arm();
  }

  /** Resolves at the deadline, and also when the deadline is disposed of. */
  get reached(): Promise<void> {
    return this.#reached.promise;
  }

  /** Fires when `reached` resolves. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  get atMs(): number {
    return this.#atMs;
  }

  get remainingMs(): number {
    return Math.max(0, this.#atMs - Date.now());
  }

  bringForward(atMs: number): void {
    if (atMs >= this.#atMs || this.#abort.signal.aborted) return;
    this.#atMs = atMs;
    clearTimeout(this.#timer);
    this.#timer = this.#arm();
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#end();
  }

  #arm(): NodeJS.Timeout {
    return setTimeout(() => this.#end(), this.remainingMs);
  }

  #end(): void {
    this.#reached.resolve();
    this.#abort.abort();
  }
}
