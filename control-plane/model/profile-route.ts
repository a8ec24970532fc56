import type { StatusRange } from './retry.ts';

/**
 * A route of a ServiceProfile. The first whose condition holds is used; a request that none describes is sent on.
 * Source: linkerd2-proxy-api `destination.Route`.
 */
export type ProfileRoute = {
  readonly condition: RequestCondition;
  readonly responseClasses: readonly ResponseClass[]; // the first that holds decides; none: 5xx is a failure
  readonly labels: Readonly<Record<string, string>>; // metric labels; `route` is the name
  readonly isRetryable: boolean; // failures are sent again, within the budget of the profile
  readonly timeoutMs?: number; // of the request with all attempts
};

/** Source: `destination.RequestMatch`. */
export type RequestCondition =
  | { readonly kind: 'all' | 'any'; readonly conditions: readonly RequestCondition[] }
  | { readonly kind: 'not'; readonly condition: RequestCondition }
  | { readonly kind: 'path'; readonly pattern: string } // regular expression of the whole path
  | { readonly kind: 'method'; readonly method: string }; // upper case

export type ResponseClass = { readonly condition: ResponseCondition; readonly isFailure: boolean };

/** Source: `destination.ResponseMatch`. */
export type ResponseCondition =
  | { readonly kind: 'all' | 'any'; readonly conditions: readonly ResponseCondition[] }
  | { readonly kind: 'not'; readonly condition: ResponseCondition }
  | ({ readonly kind: 'status' } & StatusRange);
