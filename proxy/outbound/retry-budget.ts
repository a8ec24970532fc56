import type { RetryBudget as Limits } from '#model/profile.ts';

const BUCKETS = 10;

/** Counts of the last `spanMs`, in steps of a tenth. */
export class SlidingCount {
  readonly #stepMs: number;
  readonly #counts = new Float64Array(BUCKETS);
  #step = 0;

  constructor(spanMs: number) {
    this.#stepMs = spanMs / BUCKETS;
  }

  add(nowMs: number): void {
    this.#forget(nowMs);
    const index = this.#step % BUCKETS;
    this.#counts[index] = (this.#counts[index] ?? 0) + 1;
  }

  total(nowMs: number): number {
    this.#forget(nowMs);
    return this.#counts.reduce((sum, count) => sum + count, 0);
  }

  #forget(nowMs: number): void {
    const step = Math.floor(nowMs / this.#stepMs);
    const passed = Math.min(BUCKETS, step - this.#step);
    for (let n = 1; n <= passed; n += 1) this.#counts[(this.#step + n) % BUCKETS] = 0;
    if (passed > 0) this.#step = step;
  }
}

/**
 * How many retries may be added to the requests of a target: a share of the requests that count at the moment, or
 * `minRetriesPerSecond` where that is more. (linkerd2-proxy adds the two, which lets a burst exceed the share.)
 */
export class RetryBudget {
  readonly limits: Limits;
  readonly #requests: SlidingCount;
  readonly #retries: SlidingCount;
  readonly #recentRetries = new SlidingCount(1000);

  constructor(limits: Limits) {
    this.limits = limits;
    this.#requests = new SlidingCount(limits.ttlMs);
    this.#retries = new SlidingCount(limits.ttlMs);
  }

  /** A request of a client, not a retry. */
  deposit(nowMs: number): void {
    this.#requests.add(nowMs);
  }

  /** @returns whether a retry may be made now; it is counted */
  withdraw(nowMs: number): boolean {
    const { retryRatio, minRetriesPerSecond } = this.limits;
    const isWithinShare = this.#retries.total(nowMs) + 1 <= retryRatio * this.#requests.total(nowMs);
    if (!isWithinShare && this.#recentRetries.total(nowMs) + 1 > minRetriesPerSecond) return false;
    this.#retries.add(nowMs);
    this.#recentRetries.add(nowMs);
    return true;
  }
}
