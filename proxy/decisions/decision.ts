import type { ResourceRef } from '#model/resource-ref.ts';
import type { RequestHead } from '../http/head.ts';

/** One try at an endpoint that did not give the client its answer. */
export type FailedAttempt = {
  readonly endpoint: string; // address:port
  readonly backend?: string; // of a route
  readonly outcome: string; // `status 503`, or code and reason of the proxy's own error
};

/** What is known of a request that the proxy failed, where it failed. */
export type FailedRequest = {
  readonly head: RequestHead | undefined; // absent: there is none that can be read
  readonly startedMs: number; // monotonic
  readonly attempts: readonly FailedAttempt[];
  readonly refs: readonly ResourceRef[]; // the objects that decided, from the general to the particular
};

/** @param nowMs  monotonic */
export function failedAtOnce(
  head: RequestHead | undefined,
  nowMs: number,
  refs: readonly ResourceRef[] = [],
): FailedRequest {
  return { head, startedMs: nowMs, attempts: [], refs };
}

/** Who sent it, and where to. */
export type Origin = {
  readonly direction: 'inbound' | 'outbound';
  readonly client: string; // address:port
  readonly identity?: string; // that the client has proved
  readonly target: string; // address:port, or the name that a gateway was asked for
};

/** Why a request or a connection failed or was denied. Holds no field values, no body and no query. */
export type Decision = Origin & {
  readonly timeMs: number; // Unix
  readonly protocol: 'http' | 'tcp';
  readonly method?: string;
  readonly authority?: string;
  readonly path?: string; // without query
  readonly decidedBy: readonly string[];
  readonly code: string;
  readonly status?: number; // of HTTP, as the client saw it
  readonly reason: string;
  readonly attempts: readonly FailedAttempt[];
  readonly latencyMs: number;
};
