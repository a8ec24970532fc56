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
 * `minRetriesPerSecond` where that is more and as long as retries help. When one second's worth of them has brought no
 * success, only the share is left, so that a target which fails every request is not loaded further, however few
 * requests there are. (linkerd2-proxy adds the two, whatever comes of it.)
 */
export class RetryBudget {
  readonly limits: Limits;
  readonly #price: number; // of a retry, in requests
  readonly #requests: SlidingCount;
  readonly #retries: SlidingCount;
  readonly #recentRetries = new SlidingCount(1000);
  #fruitless = 0; // retries since the last success
  #credit = 0; // requests since that success that no retry was made for; below 0: retries were made in advance

  constructor(limits: Limits) {
    this.limits = limits;
    this.#price = 1 / limits.retryRatio;
    this.#requests = new SlidingCount(limits.ttlMs);
    this.#retries = new SlidingCount(limits.ttlMs);
  }

  /** A request of a client, not a retry. */
  deposit(nowMs: number): void {
    this.#requests.add(nowMs);
    this.#credit = Math.min(this.#credit + 1, Math.max(1, this.#price));
  }

  /** A request has succeeded, with or without retries. */
  succeeded(): void {
    this.#forgetFailures();
  }

  #forgetFailures(): void {
    this.#fruitless = 0;
    this.#credit = 0;
  }

  /** @returns whether a retry may be made now; it is counted */
  withdraw(nowMs: number): boolean {
    const { retryRatio, minRetriesPerSecond } = this.limits;
    const retries = this.#retries.total(nowMs);
    if (retries === 0) this.#forgetFailures(); // what was learnt is out of date
    // While no retry helps, each is paid for by requests that come between: what the minimum allowed in advance is not
    // forgotten with the seconds that count, and a share that was not used is not saved up.
    const isPaidFor = this.#fruitless < minRetriesPerSecond || this.#credit >= this.#price;
    const isWithinShare = isPaidFor && retries + 1 <= retryRatio * this.#requests.total(nowMs);
    const isWithinMinimum = Math.max(this.#fruitless, this.#recentRetries.total(nowMs)) + 1 <= minRetriesPerSecond;
    if (!isWithinShare && !isWithinMinimum) return false;
    this.#fruitless += 1;
    this.#credit -= this.#price;
    this.#retries.add(nowMs);
    this.#recentRetries.add(nowMs);
    return true;
  }
}
