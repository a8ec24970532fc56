import type { Backend } from '#model/backend.ts';
import type { HttpFilter, OpaqueFilter } from '#model/filter.ts';
import type { OutboundProtocol } from '#model/outbound.ts';
import type { GrpcRoute, HttpRoute, OpaqueRoute, TlsRoute } from '#model/route.ts';
import { retryOf, type TrafficAnnotations } from '../dialects/annotations.ts';

/** Routes that no object describes. Source: linkerd2 `policy-controller`, whose names they have. */
export type BuiltInRoutes = {
  /** Where there is no HTTPRoute. */
  readonly http: HttpRoute;
  /** Of connections that no TCPRoute is about. */
  readonly opaque: OpaqueRoute;
  /** What comes after the routes of objects and matches the rest. */
  readonly last: {
    readonly http: readonly HttpRoute[];
    readonly grpc: readonly GrpcRoute[];
    readonly tls: readonly TlsRoute[];
  };
};

/**
 * Of a Service: with routes of objects, what matches none of them goes nowhere.
 *
 * @param annotations  of the Service
 */
export function serviceRoutes(parent: Backend, annotations: TrafficAnnotations): BuiltInRoutes {
  return {
    http: httpRoute('http', parent, annotations),
    opaque: opaqueRoute('opaq', parent),
    last: { http: [], grpc: [], tls: [] },
  };
}

/**
 * Of addresses outside of the cluster: what no object is about goes on to where it was meant to, or is denied.
 *
 * @param annotations  of the EgressNetwork
 * @param denial       why it is denied; absent: it is allowed
 */
export function egressRoutes(
  parent: Backend,
  annotations: TrafficAnnotations,
  denial: string | undefined,
): BuiltInRoutes {
  const grpcRetry = retryOf(annotations.grpcRetry, undefined);
  const suffix = denial === undefined ? 'egress-allow' : 'egress-deny';
  const opaque = opaqueRoute(`tcp-${suffix}`, parent, denial === undefined ? [] : [{ kind: 'forbidden' }]);
  const filters = denial === undefined ? [] : [{ kind: 'failure', status: 403, message: denial } as const];
  const http = httpRoute(`http-${suffix}`, parent, annotations, filters);
  const grpc: GrpcRoute = {
    ref: { type: 'default', name: `grpc-${suffix}` },
    hosts: [],
    rules: [
      {
        matches: [{ headers: [] }],
        filters: denial === undefined ? [] : [{ kind: 'failure', code: PERMISSION_DENIED, message: denial }],
        distribution: { kind: 'first-available', backends: [{ backend: parent, filters: [] }] },
        timeouts: annotations.timeouts ?? {},
        ...(grpcRetry && { retry: grpcRetry }),
        allowsRequestHeaders: false,
      },
    ],
  };
  const tls: TlsRoute = { ...opaque, ref: { type: 'default', name: `tls-${suffix}` }, serverNames: [] };
  return { http, opaque, last: { http: [http], grpc: [grpc], tls: [tls] } };
}

/** A target that no object says anything about. */
export function plainProtocol(backend: Backend, timeoutMs: number): OutboundProtocol {
  const { http, opaque } = serviceRoutes(backend, {});
  return { kind: 'detect', timeoutMs, opaque, routes: [http] };
}

/** Where nothing may go. */
export const UNDEFINED_PORT: OpaqueRoute = {
  ref: { type: 'default', name: 'undefined-port' },
  filters: [{ kind: 'forbidden' }],
  distribution: { kind: 'empty' },
};

const PERMISSION_DENIED = 7; // of gRPC

function opaqueRoute(name: string, backend: Backend, filters: readonly OpaqueFilter[] = []): OpaqueRoute {
  return {
    ref: { type: 'default', name },
    filters,
    distribution: { kind: 'first-available', backends: [{ backend, filters: [] }] },
  };
}

function httpRoute(
  name: string,
  backend: Backend,
  { timeouts, httpRetry }: TrafficAnnotations,
  filters: readonly HttpFilter[] = [],
): HttpRoute {
  const retry = retryOf(httpRetry, undefined);
  return {
    ref: { type: 'default', name },
    hosts: [],
    rules: [
      {
        matches: [{ path: { kind: 'prefix', value: '/' }, headers: [], queryParams: [] }],
        filters,
        distribution: { kind: 'first-available', backends: [{ backend, filters: [] }] },
        timeouts: timeouts ?? {},
        ...(retry && { retry }),
        allowsRequestHeaders: false,
      },
    ],
  };
}
