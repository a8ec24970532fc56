import { limitsOfClient, takeFromBucket, type RateLimit, type RateLimitScope } from '#model/rate-limit.ts';

/** Clients told apart. Beyond that, those without a bucket share one. */
const CLIENTS_MAX = 10_000;
const ANONYMOUS = '';

type Bucket = {
  readonly requestsPerSecond: number;
  fullAtMs: number;
};

/** Applies the limit of one server to its requests. */
export class RateLimiter {
  readonly limit: RateLimit;
  readonly #now: () => number;
  readonly #clientsMax: number;
  readonly #total: Bucket | undefined;
  /** By identity. Nothing: the client is not limited. */
  readonly #clients = new Map<string, Bucket | undefined>();
  #others: Bucket | undefined; // with the limit of whoever came first

  /** @param now  monotonic milliseconds */
  constructor(limit: RateLimit, now: () => number, clientsMax = CLIENTS_MAX) {
    this.limit = limit;
    this.#now = now;
    this.#clientsMax = clientsMax;
    this.#total = bucketOf(limit.total);
  }

  /**
   * Counts a request. One that is refused uses up nothing, so that a client beyond its own limit takes nothing away from
   * the others.
   *
   * @returns the limit that is exceeded, or nothing
   */
  take(
    identity: string | undefined,
  ): { readonly scope: RateLimitScope; readonly requestsPerSecond: number } | undefined {
    const nowMs = this.#now();
    const total = this.#total;
    const client = this.#bucketOf(identity);
    const totalNext = total && takeFromBucket(total.fullAtMs, nowMs, total.requestsPerSecond);
    if (total !== undefined && totalNext === undefined)
      return { scope: 'total', requestsPerSecond: total.requestsPerSecond };
    const clientNext = client && takeFromBucket(client.fullAtMs, nowMs, client.requestsPerSecond);
    if (client !== undefined && clientNext === undefined)
      return { scope: 'identity', requestsPerSecond: client.requestsPerSecond };
    if (total !== undefined && totalNext !== undefined) total.fullAtMs = totalNext;
    if (client !== undefined && clientNext !== undefined) client.fullAtMs = clientNext;
    return undefined;
  }

  /** Forgets buckets that are full: new ones would be no different. */
  sweep(): void {
    const nowMs = this.#now();
    for (const [identity, bucket] of this.#clients) {
      if (bucket === undefined || bucket.fullAtMs <= nowMs) this.#clients.delete(identity);
    }
  }

  #bucketOf(identity: string | undefined): Bucket | undefined {
    const key = identity ?? ANONYMOUS;
    const known = this.#clients.get(key);
    if (known !== undefined || this.#clients.has(key)) return known;
    const bucket = bucketOf(limitsOfClient(this.limit, identity).client);
    if (this.#clients.size < this.#clientsMax) this.#clients.set(key, bucket);
    else if (bucket !== undefined) return (this.#others ??= bucket);
    return bucket;
  }
}

function bucketOf(requestsPerSecond: number | undefined): Bucket | undefined {
  return requestsPerSecond === undefined ? undefined : { requestsPerSecond, fullAtMs: Number.NEGATIVE_INFINITY };
}
