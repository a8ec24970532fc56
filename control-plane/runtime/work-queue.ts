import type { Clock } from './clock.ts';

export type WorkQueueOptions = {
  readonly clock: Clock;
  /**
   * Brings the world in line with what `key` says now; doing it twice changes nothing. Never runs twice at once for a key.
   *
   * @returns milliseconds after which to look again though nothing changed, or nothing
   * @throws to be called again after a growing delay
   */
  readonly reconcile: (key: string) => Promise<number | undefined>;
  /** Told of every failure; `failures` counts the consecutive ones of this key, from 1. */
  readonly onError?: (key: string, error: unknown, failures: number) => void;
  readonly concurrency?: number; // keys reconciled at the same time, default 4
  readonly retryMsMin?: number; // delay after the first failure, default 5
  readonly retryMsMax?: number; // delays double up to this, default 60 000
};

/** Milliseconds before the next attempt: doubles with every consecutive failure (>= 1) from `minMs` to `maxMs`. */
export function retryDelayMs(failures: number, minMs: number, maxMs: number): number {
  return Math.min(maxMs, minMs * 2 ** Math.min(failures - 1, 40));
}

/**
 * Keys that need reconciling, each at most once in the queue: however often something changes, it is looked at once
 * more. That bounds the queue by the number of living objects; a key that failed or waits for a time holds one timer.
 */
export class WorkQueue implements Disposable {
  readonly #options: Required<WorkQueueOptions>;
  readonly #ready = new Set<string>(); // in order of arrival
  readonly #running = new Set<string>();
  readonly #again = new Set<string>(); // changed while running
  readonly #failures = new Map<string, number>();
  readonly #timers = new Map<string, { readonly dueMs: number; readonly timer: Disposable }>();
  #isScheduled = false;
  #isClosed = false;

  constructor(options: WorkQueueOptions) {
    this.#options = { concurrency: 4, retryMsMin: 5, retryMsMax: 60_000, onError: () => {}, ...options };
  }

  /** Nothing is ready or running; keys may still wait for a time. */
  get isIdle(): boolean {
    return this.#ready.size === 0 && this.#running.size === 0;
  }

  /** Reconciles the key soon, never before the caller returns. */
  add(key: string): void {
    if (this.#isClosed) return;
    if (this.#running.has(key)) {
      this.#again.add(key);
      return;
    }
    this.#ready.add(key);
    this.#schedule();
  }

  /** Reconciles the key after `delayMs`, unless an earlier time is already set. A change before that does not cancel it. */
  addAfter(key: string, delayMs: number): void {
    if (this.#isClosed) return;
    const { clock } = this.#options;
    const dueMs = clock.now() + delayMs;
    const earlier = this.#timers.get(key);
    if (earlier !== undefined && earlier.dueMs <= dueMs) return;
    earlier?.timer[Symbol.dispose]();
    const timer = clock.after(delayMs, () => {
      this.#timers.delete(key);
      this.add(key);
    });
    this.#timers.set(key, { dueMs, timer });
  }

  /** Forgets what is queued. What is being reconciled runs to its end. */
  [Symbol.dispose](): void {
    this.#isClosed = true;
    this.#ready.clear();
    this.#again.clear();
    for (const { timer } of this.#timers.values()) timer[Symbol.dispose]();
    this.#timers.clear();
    this.#failures.clear();
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      for (const key of this.#ready) {
        if (this.#running.size >= this.#options.concurrency) break;
        this.#ready.delete(key);
        void this.#run(key); // never rejects
      }
    });
  }

  async #run(key: string): Promise<void> {
    this.#running.add(key);
    try {
      const againMs = await this.#options.reconcile(key);
      this.#failures.delete(key);
      if (againMs !== undefined) this.addAfter(key, againMs);
    } catch (error) {
      if (this.#isClosed) return;
      const failures = (this.#failures.get(key) ?? 0) + 1;
      this.#failures.set(key, failures);
      this.addAfter(key, retryDelayMs(failures, this.#options.retryMsMin, this.#options.retryMsMax));
      this.#options.onError(key, error, failures);
    } finally {
      this.#running.delete(key);
      if (this.#again.delete(key)) this.add(key);
      if (this.#ready.size > 0) this.#schedule();
    }
  }
}
