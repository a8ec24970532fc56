import type { Endpoint } from './endpoint.ts';
import type { ResourceRef } from './resource-ref.ts';

/** Where a route can send something. Source: linkerd2-proxy-api `outbound.Backend`. */
export type Backend = {
  readonly ref: ResourceRef;
  readonly target: BackendTarget;
};

/** `none`: the object does not exist or cannot be used; what is sent there fails, and a failure filter says why. */
export type BackendTarget =
  | { readonly kind: 'balancer'; readonly authority: string } // host:port whose endpoints are discovered
  | { readonly kind: 'forward'; readonly endpoint: Endpoint }
  | { readonly kind: 'none' };

/** @template F  filters of this way only, after those of the rule */
export type RouteBackend<F> = { readonly backend: Backend; readonly filters: readonly F[] };

/** @template F  filters */
export type WeightedBackend<F> = RouteBackend<F> & { readonly weight: number }; // >= 0, relative

/** How a rule chooses. Source: linkerd2-proxy-api `outbound.*.Distribution`. */
export type Distribution<F> =
  | { readonly kind: 'empty' } // fails
  | { readonly kind: 'first-available'; readonly backends: readonly RouteBackend<F>[] } // not empty
  | { readonly kind: 'random-available'; readonly backends: readonly WeightedBackend<F>[] }; // not empty
