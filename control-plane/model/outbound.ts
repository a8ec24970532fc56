import type { Endpoint } from './endpoint.ts';
import type { ResourceRef } from './resource-ref.ts';

/** Where the connections and requests of a client to one target go. Source: linkerd2-proxy-api `outbound.OutboundPolicy`. */
export type OutboundPolicy = {
  readonly ref: ResourceRef; // the Service, or something built in
  readonly protocol: OutboundProtocol;
  readonly backend: OutboundBackend;
};

/** `detect`: HTTP is told apart from raw bytes by what the client sends first. */
export type OutboundProtocol =
  | { readonly kind: 'detect'; readonly timeoutMs: number }
  | { readonly kind: 'opaque' }
  | { readonly kind: 'http1' }
  | { readonly kind: 'http2' };

/** The one place where everything goes, while there are no routes. */
export type OutboundBackend =
  | { readonly kind: 'balancer'; readonly authority: string } // host:port whose endpoints are discovered
  | { readonly kind: 'forward'; readonly endpoint: Endpoint }
  | { readonly kind: 'forbidden'; readonly route: string }; // name of the built-in route that says why
