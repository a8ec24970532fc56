import { histogramQuantile } from './quantile.ts';

/** What is told of any traffic; absent numbers mean that nothing was seen. */
export type Golden = {
  readonly responses?: number; // within the window
  readonly successRate?: number; // 0..1 of the classified responses
  readonly requestsPerSecond?: number;
  readonly latencyMs?: { readonly p50: number; readonly p95: number; readonly p99: number };
};

/** Responses and their times, added up over series. */
export class ResponseTally {
  readonly #buckets = new Map<number, number>();
  #success = 0;
  #failure = 0;

  add(isFailure: boolean, count: number): void {
    if (isFailure) this.#failure += count;
    else this.#success += count;
  }

  /**
   * @param le    upper bound of a cumulative bucket, as Prometheus writes it
   * @param unitMs  milliseconds of the bound's unit
   */
  addBucket(le: string | undefined, count: number, unitMs = 1): void {
    const bound = le === '+Inf' ? Infinity : Number(le) * unitMs;
    this.#buckets.set(bound, (this.#buckets.get(bound) ?? 0) + count);
  }

  get responses(): number {
    return this.#success + this.#failure;
  }

  /** @param coveredMs  how much of the window is known of */
  golden(coveredMs: number): Golden {
    const { responses } = this;
    const p50 = histogramQuantile(this.#buckets, 0.5);
    return {
      ...(responses > 0 && coveredMs > 0
        ? {
            responses,
            successRate: this.#success / responses,
            requestsPerSecond: responses / (coveredMs / 1000),
          }
        : {}),
      ...(p50 === undefined
        ? {}
        : {
            latencyMs: {
              p50,
              p95: histogramQuantile(this.#buckets, 0.95) ?? p50,
              p99: histogramQuantile(this.#buckets, 0.99) ?? p50,
            },
          }),
    };
  }
}
