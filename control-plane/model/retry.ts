import type { Backoff } from './backoff.ts';

/**
 * When a rule sends a request again. Attempts that never reached a server or timed out count in any case.
 * Source: linkerd2-proxy-api `outbound.HttpRoute.Retry`, `outbound.GrpcRoute.Retry`.
 *
 * @template C  answers that count as failures
 */
export type Retry<C> = {
  readonly maxRetries: number; // 1..65 535, in addition to the first attempt
  readonly maxRequestBytes: number; // a longer body is sent once
  readonly conditions: C;
  readonly timeoutMs?: number; // of one attempt, until its response headers
  readonly backoff?: Backoff; // between attempts
};

export type HttpRetry = Retry<readonly StatusRange[]>;
export type GrpcRetry = Retry<readonly GrpcRetryCondition[]>;

/** HTTP status codes, both ends included. */
export type StatusRange = { readonly min: number; readonly max: number };

export const GRPC_RETRY_CONDITIONS = [
  'cancelled',
  'deadline-exceeded',
  'internal',
  'resource-exhausted',
  'unavailable',
] as const;

/** A status code of gRPC that may be retried, spelled as in the annotation `retry.linkerd.io/grpc`. */
export type GrpcRetryCondition = (typeof GRPC_RETRY_CONDITIONS)[number];

/** Retries that an annotation or a request switches on, as far as it does not say otherwise. Source: Linkerd. */
export const REQUESTED_RETRY = {
  maxRetries: 1,
  maxRequestBytes: 65_536,
  backoff: { minMs: 25, maxMs: 250, jitterRatio: 1 },
} as const;

/** Reads `5xx`, `gateway-error`, `503` or `500-504`. */
export function parseStatusRange(text: string): StatusRange | undefined {
  if (text === '5xx') return { min: 500, max: 599 };
  if (text === 'gateway-error') return { min: 502, max: 504 };
  const match = /^([1-5]\d\d)(?:-([1-5]\d\d))?$/.exec(text);
  if (match === null) return undefined;
  const min = Number(match[1]);
  const max = Number(match[2] ?? match[1]);
  return min <= max ? { min, max } : undefined;
}

export function parseGrpcRetryCondition(text: string): GrpcRetryCondition | undefined {
  return GRPC_RETRY_CONDITIONS.find((condition) => condition === text);
}
