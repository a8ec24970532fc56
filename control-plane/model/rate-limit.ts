import type { ResourceRef } from './resource-ref.ts';

/**
 * How many requests per second a server takes. Only what is given limits; each limit allows as many requests at once as in a
 * second. Source: linkerd2-proxy-api `inbound.HttpLocalRateLimit`.
 */
export type RateLimit = {
  readonly ref: ResourceRef;
  readonly total?: number; // > 0, of all clients together
  readonly identity?: number; // > 0, of each client; those without identity count as one
  readonly overrides: readonly RateLimitOverride[];
};

/** Instead of `identity`, for each of these clients. Of overrides that name a client the first counts. */
export type RateLimitOverride = {
  readonly requestsPerSecond: number; // 0: no limit
  readonly identities: readonly string[]; // not empty
};

/** Which limit a request has exceeded: that of all clients, or its own. Source: the label `ratelimit_scope` of linkerd2-proxy. */
export type RateLimitScope = 'total' | 'identity';

/** The limits of one client in requests per second; what is absent does not limit. */
export type ClientLimits = { readonly total?: number; readonly client?: number };

/** @param identity  of the client; absent: it has none */
export function limitsOfClient(limit: RateLimit, identity: string | undefined): ClientLimits {
  const { total, overrides } = limit;
  const override =
    identity === undefined ? undefined : overrides.find(({ identities }) => identities.includes(identity));
  const client = override === undefined ? limit.identity : override.requestsPerSecond;
  return { ...(total !== undefined && { total }), ...(client !== undefined && client > 0 && { client }) };
}

/**
 * Takes one request from a bucket (GCRA, ITU-T I.371): a bucket is the time at which it would be full again.
 *
 * @param fullAtMs  of the bucket; in the past when it is full
 * @returns the bucket afterwards; nothing when it is empty
 */
export function takeFromBucket(fullAtMs: number, nowMs: number, requestsPerSecond: number): number | undefined {
  const intervalMs = 1000 / requestsPerSecond;
  const from = Math.max(fullAtMs, nowMs);
  // Some slack, so that a sum of fractions does not refuse the last request of a burst.
  return from - nowMs > 1000 - intervalMs + 1e-6 ? undefined : from + intervalMs;
}
