import { authorize, type Authorization, type Client, type Verdict } from './authorization.ts';
import type { GrpcFilter, HttpFilter } from './filter.ts';
import {
  bestGrpcMatch,
  bestHost,
  bestMatch,
  compareSpecificity,
  prefixOf,
  type GrpcMatch,
  type HostMatch,
  type HttpMatch,
  type RequestHead,
} from './match.ts';
import type { RateLimit } from './rate-limit.ts';
import { formatResourceRef, type ResourceRef } from './resource-ref.ts';

/** How a port of a workload is served and who may use it. Source: linkerd2-proxy-api `inbound.Server`. */
export type InboundServer = {
  readonly ref: ResourceRef; // of a resource: group, kind and name
  readonly protocol: InboundProtocol;
  readonly authorizations: readonly Authorization[];
};

export type InboundProtocol =
  | ({ readonly kind: 'detect'; readonly timeoutMs: number } & InboundHttp)
  | { readonly kind: 'opaque' } // raw bytes, TLS of the mesh is not terminated on the port itself
  | { readonly kind: 'tls' }
  | ({ readonly kind: 'http1' | 'http2' } & InboundHttp)
  | { readonly kind: 'grpc'; readonly routes: readonly InboundGrpcRoute[] };

type InboundHttp = { readonly routes: readonly InboundRoute[]; readonly rateLimit?: RateLimit };

/** Narrows or widens what a server allows for some requests. Its authorizations count in addition to the server's. */
export type InboundRoute = Route<InboundRule>;
export type InboundGrpcRoute = Route<{
  readonly index?: number;
  readonly matches: readonly GrpcMatch[];
  readonly filters?: readonly InboundGrpcFilter[];
}>;

type Route<R> = {
  readonly ref: ResourceRef;
  readonly hosts: readonly HostMatch[]; // empty: any
  readonly authorizations: readonly Authorization[];
  readonly rules: readonly R[];
};

/** `filters` act in order on what is let in; absent: none. */
export type InboundRule = {
  /** Place in the list of the object that the rule is of. Absent where the object is not known: messages do not carry it. */
  readonly index?: number;
  readonly matches: readonly HttpMatch[];
  readonly filters?: readonly InboundFilter[];
};

/** Source: linkerd2-proxy-api `inbound.HttpRoute.Filter`. */
export type InboundFilter = Extract<HttpFilter, { readonly kind: 'request-headers' | 'redirect' | 'failure' }>;
/** Source: linkerd2-proxy-api `inbound.GrpcRoute.Filter`. */
export type InboundGrpcFilter = Extract<GrpcFilter, { readonly kind: 'request-headers' | 'failure' }>;

/** Filters of the rule that has matched. */
export type MatchedFilters =
  | { readonly kind: 'http'; readonly filters: readonly InboundFilter[]; readonly prefix: string }
  | { readonly kind: 'grpc'; readonly filters: readonly InboundGrpcFilter[] };

/** What is known about a request after routing. `route` is absent when no route matched: the answer is 404. */
export type RequestVerdict = {
  readonly route?: ResourceRef;
  readonly rule?: number; // of the route; absent: none, or not known
  readonly verdict: Verdict;
  readonly filters?: MatchedFilters; // absent: none
};

const NO_ROUTE: InboundRoute = {
  ref: { type: 'default', name: 'default' },
  hosts: [],
  authorizations: [],
  rules: [{ matches: [] }],
};

/** Decides about a whole connection: opaque and TLS ports, and bytes that turned out not to be HTTP. */
export function authorizeConnection(server: InboundServer, client: Client): Verdict {
  const { kind } = server.protocol;
  if (kind === 'http1' || kind === 'http2' || kind === 'grpc') {
    return { isAllowed: false, server: server.ref, reason: `the port is declared ${kind}` };
  }
  return authorize(server.ref, [server.authorizations], client);
}

/** Decides about one HTTP request. */
export function authorizeRequest(server: InboundServer, client: Client, request: RequestHead): RequestVerdict {
  const found = findRule(server.protocol, request);
  if (found === undefined) {
    return { verdict: { isAllowed: false, server: server.ref, reason: 'no route matches the request' } };
  }
  const { ref, authorizations } = found.route;
  const verdict = authorize(server.ref, [authorizations, server.authorizations], client);
  const { filters, rule } = found;
  return { route: ref, verdict, ...(rule !== undefined && { rule }), ...(filters && { filters }) };
}

type Found = { readonly route: Route<unknown>; readonly rule?: number; readonly filters?: MatchedFilters };

function findRule(protocol: InboundProtocol, request: RequestHead): Found | undefined {
  if (!('routes' in protocol)) return { route: NO_ROUTE };
  if (protocol.kind === 'grpc') {
    const best = bestRule(protocol.routes, request, ({ matches }) => bestGrpcMatch(matches, request));
    const filters = best?.rule?.filters;
    return best && { ...placeOf(best), ...(filters && { filters: { kind: 'grpc', filters } }) };
  }
  const best = bestRule(protocol.routes, request, ({ matches }) => bestMatch(matches, request));
  const filters = best?.rule?.filters;
  return (
    best && {
      ...placeOf(best),
      ...(filters && { filters: { kind: 'http', filters, prefix: prefixOf(best.rule.matches) } }),
    }
  );
}

function placeOf({ route, index }: { readonly route: Route<unknown>; readonly index?: number }): Found {
  return { route, ...(index !== undefined && { rule: index }) };
}

/** @returns the most specific route, the first of equals; nothing when there are routes but none matches */
export function findRoute(routes: readonly InboundRoute[], request: RequestHead): InboundRoute | undefined {
  return bestRule(routes, request, ({ matches }) => bestMatch(matches, request))?.route;
}

function bestRule<R extends { readonly index?: number }>(
  routes: readonly Route<R>[],
  request: RequestHead,
  score: (rule: R) => readonly number[] | undefined,
): { readonly route: Route<R>; readonly rule?: R; readonly index?: number } | undefined {
  if (routes.length === 0) return { route: { ...NO_ROUTE, rules: [] } };
  let best: { route: Route<R>; rule: R; index?: number; specificity: readonly number[] } | undefined;
  for (const route of routes) {
    const hostScore = bestHost(route.hosts, request.host);
    if (hostScore === undefined) continue;
    for (const rule of route.rules) {
      const matchScore = score(rule);
      if (matchScore === undefined) continue;
      const specificity = [hostScore, ...matchScore];
      if (best === undefined || compareSpecificity(specificity, best.specificity) > 0)
        best = { route, rule, ...(rule.index !== undefined && { index: rule.index }), specificity };
    }
  }
  return best;
}

/** Who is let in to what: to requests of a route, of no route, or to anything. @property authorization  absent: nobody is */
export type InboundGrant = {
  readonly route: ResourceRef | 'any' | 'none';
  readonly authorization?: Authorization;
};

/**
 * Whom a server lets in, in the order in which its authorizations count. Where objects say which requests there are, its own count for
 * those alone, and what matches none is refused. A route may come in several parts, whose clients are the same.
 */
export function inboundGrants({ protocol, authorizations }: InboundServer): readonly InboundGrant[] {
  const routes = 'routes' in protocol ? protocol.routes : [];
  const whole = [...new Map(routes.map((route) => [formatResourceRef(route.ref), route])).values()];
  const grants = (route: InboundGrant['route'], list: readonly Authorization[]): readonly InboundGrant[] =>
    list.map((authorization) => ({ route, authorization }));
  const isRouted = whole.some(({ ref }) => ref.type === 'resource');
  const ofRoutes = whole.flatMap(({ ref, authorizations: own }) => {
    const counting = isRouted && ref.type === 'resource' ? [...own, ...authorizations] : own;
    return counting.length === 0 && ref.type === 'resource' ? [{ route: ref }] : grants(ref, counting);
  });
  if (isRouted) return [...ofRoutes, { route: 'none' }];
  return [
    ...ofRoutes,
    ...grants('any', authorizations),
    ...(authorizations.length === 0 ? [{ route: 'any' as const }] : []),
  ];
}

/** Whether the verdict is the same for every request of a client, so that it has to be found only once. */
export function isUniform({ protocol }: InboundServer): boolean {
  if (!('routes' in protocol) || protocol.routes.length === 0) return true;
  if (protocol.kind === 'grpc') return false;
  const [route, other] = protocol.routes;
  if (other !== undefined || route === undefined || route.hosts.length > 0) return false;
  if (route.rules.some(({ filters }) => filters !== undefined)) return false;
  return route.rules.some(({ matches }) => matches.length === 0 || matches.some(matchesEverything));
}

function matchesEverything({ path, headers, queryParams, method }: HttpMatch): boolean {
  const isAnyPath = path === undefined || (path.kind === 'prefix' && path.value === '/');
  return isAnyPath && headers.length === 0 && queryParams.length === 0 && method === undefined;
}
