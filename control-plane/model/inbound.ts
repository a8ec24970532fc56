import { authorize, type Authorization, type Client, type Verdict } from './authorization.ts';
import { bestHost, bestMatch, compareSpecificity, type HostMatch, type HttpMatch, type RequestHead } from './match.ts';
import type { RateLimit } from './rate-limit.ts';
import type { ResourceRef } from './resource-ref.ts';

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
  | ({ readonly kind: 'http1' | 'http2' } & InboundHttp);

type InboundHttp = { readonly routes: readonly InboundRoute[]; readonly rateLimit?: RateLimit };

/** Narrows or widens what a server allows for some requests. Its authorizations count in addition to the server's. */
export type InboundRoute = {
  readonly ref: ResourceRef;
  readonly hosts: readonly HostMatch[]; // empty: any
  readonly authorizations: readonly Authorization[];
  readonly rules: readonly InboundRule[];
};

export type InboundRule = { readonly matches: readonly HttpMatch[] };

/** What is known about a request after routing. `route` is absent when no route matched: the answer is 404. */
export type RequestVerdict = {
  readonly route?: ResourceRef;
  readonly verdict: Verdict;
};

const NO_ROUTE: InboundRoute = {
  ref: { type: 'default', name: 'default' },
  hosts: [],
  authorizations: [],
  rules: [{ matches: [] }],
};

/** Decides about a whole connection: opaque and TLS ports, and bytes that turned out not to be HTTP. */
export function authorizeConnection(server: InboundServer, client: Client): Verdict {
  if (server.protocol.kind === 'http1' || server.protocol.kind === 'http2') {
    return { isAllowed: false, server: server.ref, reason: `the port is declared ${server.protocol.kind}` };
  }
  return authorize(server.ref, [server.authorizations], client);
}

/** Decides about one HTTP request. */
export function authorizeRequest(server: InboundServer, client: Client, request: RequestHead): RequestVerdict {
  const route = findRoute('routes' in server.protocol ? server.protocol.routes : [], request);
  if (route === undefined) {
    return { verdict: { isAllowed: false, server: server.ref, reason: 'no route matches the request' } };
  }
  return { route: route.ref, verdict: authorize(server.ref, [route.authorizations, server.authorizations], client) };
}

/** @returns the most specific route, the first of equals; nothing when there are routes but none matches */
export function findRoute(routes: readonly InboundRoute[], request: RequestHead): InboundRoute | undefined {
  if (routes.length === 0) return NO_ROUTE;
  let best: { route: InboundRoute; specificity: readonly number[] } | undefined;
  for (const route of routes) {
    const hostScore = bestHost(route.hosts, request.host);
    if (hostScore === undefined) continue;
    for (const rule of route.rules) {
      const matchScore = bestMatch(rule.matches, request);
      if (matchScore === undefined) continue;
      const specificity = [hostScore, ...matchScore];
      if (best === undefined || compareSpecificity(specificity, best.specificity) > 0) best = { route, specificity };
    }
  }
  return best?.route;
}
