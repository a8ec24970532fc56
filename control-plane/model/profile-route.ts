import { bestMatch, type HttpMatch, type RequestHead, type Scored } from './match.ts';
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

/** Routes for requests, in their order. The first that holds wins, whatever follows. */
export function scoredRoutes(routes: readonly ProfileRoute[]): readonly (Scored & { readonly route: ProfileRoute })[] {
  return routes.map((route, index) => {
    const holds = conditionHolds(route.condition);
    const specificity = [routes.length - index];
    return { route, score: (request: RequestHead) => (holds(request) ? specificity : undefined) };
  });
}

/** A condition, ready for requests. */
export function conditionHolds(condition: RequestCondition): (request: RequestHead) => boolean {
  switch (condition.kind) {
    case 'all': {
      const parts = condition.conditions.map(conditionHolds);
      return (request) => parts.every((part) => part(request));
    }
    case 'any': {
      const parts = condition.conditions.map(conditionHolds);
      return (request) => parts.some((part) => part(request));
    }
    case 'not': {
      const part = conditionHolds(condition.condition);
      return (request) => !part(request);
    }
    case 'path': {
      const match: HttpMatch = { path: { kind: 'regex', pattern: condition.pattern }, headers: [], queryParams: [] };
      return (request) => bestMatch([match], request) !== undefined;
    }
    case 'method':
      return (request) => request.method === condition.method;
  }
}
