import { KubeError } from './kube-error.ts';

const RETRY_MS_MIN = 100;
const RETRY_MS_MAX = 5_000;

/** A server that asks to be left alone for longer is asked again after this time all the same. */
const RETRY_AFTER_MS_MAX = 30_000;

/** After so many failures in a row the position in the stream of changes is given up and everything is listed again. */
const FAILURES_BEFORE_RELIST = 3;

/** Lists that follow one another sooner count as failures too: each watch between them was of no use. */
const SOON_MS = 30_000;

/** How long an informer waits after a failure: longer after each, so that a server in trouble is not asked in a loop. */
export class RetryPace {
  #failures = 0; // in a row
  #relists = 0; // in quick succession
  #listedAtMs = Number.NEGATIVE_INFINITY;

  /** A list has come. */
  listed(nowMs: number): void {
    this.#relists = nowMs - this.#listedAtMs < SOON_MS ? this.#relists + 1 : 0;
    this.#listedAtMs = nowMs;
    this.#failures = 0;
  }

  /** The watch said something. */
  heard(): void {
    this.#failures = 0;
  }

  /** @param random  uniform in [0, 1). @returns what to do next, and after how many milliseconds */
  failed(error: unknown, random: number): { readonly delayMs: number; readonly isRelist: boolean } {
    this.#failures += 1;
    const exponent = Math.min(this.#failures + this.#relists - 1, 20);
    const ownMs = Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** exponent) * (0.5 + random / 2);
    const askedMs = error instanceof KubeError ? (error.retryAfterMs ?? 0) * (1 + random / 4) : 0;
    const isExpired = error instanceof KubeError && error.isExpired;
    return {
      delayMs: Math.max(ownMs, Math.min(askedMs, RETRY_AFTER_MS_MAX)),
      isRelist: isExpired || this.#failures % FAILURES_BEFORE_RELIST === 0,
    };
  }
}
