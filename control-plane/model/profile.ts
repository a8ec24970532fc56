import type { Endpoint } from './endpoint.ts';
import type { ProfileRoute } from './profile-route.ts';
import type { ResourceRef } from './resource-ref.ts';

/** What is known about a target that a client asked for by address or by name. Source: `destination.DestinationProfile`. */
export type Profile = {
  /** DNS name of the logical Service without port; absent: the target is not a Service. */
  readonly fullyQualifiedName?: string;
  /** The connection is forwarded as raw bytes, whatever it looks like. */
  readonly isOpaque: boolean;
  /** The one endpoint to use when the target is a pod or a plain address. */
  readonly endpoint?: Endpoint;
  readonly retryBudget?: RetryBudget;
  /** The Service. */
  readonly parent?: ResourceRef;
  /** With routes or targets the profile decides about HTTP, and the routes of the outbound policy are not used. */
  readonly routes?: readonly ProfileRoute[]; // not empty
  /** Where requests and connections go instead of the endpoints of the Service itself. */
  readonly targets?: readonly WeightedTarget[]; // not empty
  /** The object that routes and targets come from. */
  readonly ref?: ResourceRef;
};

/** Whether the profile of a Service decides about HTTP, and the routes of its outbound policy are not used. */
export function decidesRoutes(profile: Profile | undefined): profile is Profile & { fullyQualifiedName: string } {
  if (profile?.fullyQualifiedName === undefined) return false;
  return profile.routes !== undefined || profile.targets !== undefined;
}

/** One share of a traffic split. Source: linkerd2-proxy-api `destination.WeightedDst`. */
export type WeightedTarget = {
  readonly authority: string; // host:port whose endpoints are discovered
  readonly weight: number; // >= 0, relative
  readonly ref?: ResourceRef; // the Service
};

/** How many retries may be added to the requests of a target. */
export type RetryBudget = {
  readonly retryRatio: number; // 0..1000, retries per request
  readonly minRetriesPerSecond: number; // integer >= 0, allowed on top
  readonly ttlMs: number; // 1 000..60 000, how long a request counts
};

export const DEFAULT_RETRY_BUDGET: RetryBudget = { retryRatio: 0.2, minRetriesPerSecond: 10, ttlMs: 10_000 };
