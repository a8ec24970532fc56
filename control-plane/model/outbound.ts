import type { FailureAccrual } from './failure-accrual.ts';
import type { ResourceRef } from './resource-ref.ts';
import type { GrpcRoute, HttpRoute, OpaqueRoute, TlsRoute } from './route.ts';

/** Where the connections and requests of a client to one target go. Source: linkerd2-proxy-api `outbound.OutboundPolicy`. */
export type OutboundPolicy = {
  readonly ref: ResourceRef; // the Service, or something built in
  readonly protocol: OutboundProtocol;
};

/**
 * `detect`: HTTP is told apart from raw bytes by what the client sends first. There is always a route: what no object
 * describes has one that is built in (`default:http`), so a request that matches none is answered 404.
 * `failureAccrual` is that of the endpoints reached by requests of this protocol; absent: none.
 */
export type OutboundProtocol =
  | {
      readonly kind: 'detect';
      readonly timeoutMs: number;
      readonly opaque: OpaqueRoute;
      readonly routes: readonly HttpRoute[];
      readonly failureAccrual?: FailureAccrual;
    }
  | { readonly kind: 'opaque'; readonly opaque: OpaqueRoute }
  | { readonly kind: 'tls'; readonly routes: readonly TlsRoute[] } // not terminated, told apart by server name
  | {
      readonly kind: 'http1' | 'http2';
      readonly routes: readonly HttpRoute[];
      readonly failureAccrual?: FailureAccrual;
    }
  | { readonly kind: 'grpc'; readonly routes: readonly GrpcRoute[]; readonly failureAccrual?: FailureAccrual };
