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
