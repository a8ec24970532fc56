import type { Backoff } from '#model/backoff.ts';
import type { HttpFilter, Mirror, Ratio } from '#model/filter.ts';
import type { ResourceRef } from '#model/resource-ref.ts';
import type { Timeouts } from '#model/timeouts.ts';
import type { Destination } from '../balance/destination.ts';
import type { ProxyError } from '../errors.ts';
import type { OutboundEndpoint } from './endpoint.ts';
import type { MirrorPlan } from './mirror.ts';
import type { RetryBudget } from '../balance/retry-budget.ts';
import type { RouteMetrics } from './route-metrics.ts';
import type { Sessions } from './sessions.ts';

/** A failure of gRPC travels as a response of status 200. */
export type PlanFilter =
  | Exclude<HttpFilter, Mirror>
  | MirrorPlan
  | { readonly kind: 'grpc-failure'; readonly code: number; readonly message: string; readonly ratio?: Ratio };

/** One way that a request may go. */
export type Way = {
  readonly ref: ResourceRef | undefined;
  readonly filters: readonly PlanFilter[];
  readonly destination: Destination<OutboundEndpoint>;
};

/** @param grpcStatus  of a gRPC call */
export type IsFailure = (status: number, grpcStatus: number | undefined) => boolean;

export type RetryPlan = {
  readonly maxRetries: number;
  readonly maxRequestBytes: number;
  readonly timeoutMs?: number; // of one attempt, until its response head
  readonly backoff?: Backoff;
  readonly isFailure: IsFailure;
  readonly budget: RetryBudget;
};

/** What happens to a request of a route: the outcome of matching. */
export type Plan = {
  readonly ref: ResourceRef | undefined; // the object that the route is of
  readonly filters: readonly PlanFilter[];
  readonly timeouts: Timeouts;
  readonly retry: RetryPlan | undefined;
  readonly budget: RetryBudget | undefined; // that requests count for
  readonly metrics: RouteMetrics;
  readonly isFailure: IsFailure; // as responses are classified
  /** Of retries that a request asks for itself; absent: what it asks for does not count. */
  readonly overrideBudget: RetryBudget | undefined;
  /** Chooses for each attempt anew. */
  readonly choose: () => Way | ProxyError;
  /** Path prefix of the rule: what redirects and rewrites replace. */
  readonly prefix: string;
  /** Absent: every request is balanced by itself. */
  readonly sessions: Sessions | undefined;
};
