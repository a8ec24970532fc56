import type { CustomObject } from '#k8s/resources/custom-object.ts';
import type { OutboundProtocol } from '#model/outbound.ts';
import type { GrpcRoute, HttpRoute, OpaqueRoute, TlsRoute } from '#model/route.ts';
import { failureAccrual, trafficAnnotations, type TrafficAnnotations } from '../dialects/annotations.ts';
import { compileTcpRoute, compileTlsRoute } from '../dialects/connection-route.ts';
import type { CompiledRoute, RouteContext } from '../dialects/gateway-api.ts';
import { compileGrpcRoute } from '../dialects/grpc-route.ts';
import { compileHttpRoute } from '../dialects/http-route.ts';
import { byAge, exactFirst, routesForClient } from '../dialects/precedence.ts';
import { Problems } from '../dialects/problem.ts';
import type { BuiltInRoutes } from './built-in-routes.ts';

/** A port of a Service, or of addresses outside of the cluster. */
export type TargetInput = {
  readonly namespace: string; // of the Service or the EgressNetwork
  readonly annotations: Readonly<Record<string, string>>;
  readonly appProtocol?: string;
  readonly isOpaque: boolean; // by annotation, or by default
  readonly routes: readonly CustomObject[]; // attached to this port
  readonly clientNamespace: string | undefined;
  readonly context: RouteContext;
  readonly builtIn: (annotations: TrafficAnnotations) => BuiltInRoutes;
};

export const DETECT_TIMEOUT_MS = 10_000;

/** Values of `appProtocol` that say HTTP. Others are taken as raw bytes (GEP-1911), in which TLS can be found. */
const HTTP_PROTOCOLS: ReadonlySet<string | undefined> = new Set([undefined, 'http', 'kubernetes.io/h2c']);
const TLS_PROTOCOLS: ReadonlySet<string | undefined> = new Set(['https', 'tls']);

/**
 * How a target is reached, by what is attached to it. Routes of one kind act: gRPC before HTTP, TLS and TCP. Source: linkerd2
 * `policy-controller`, outbound index.
 */
export function targetProtocol(input: TargetInput): OutboundProtocol {
  const { appProtocol, context } = input;
  // Wrong annotations of a target are without effect; whoever wants to know finds them by `Problems`.
  const ignored = new Problems();
  const annotations = trafficAnnotations(input.annotations, ignored);
  const accrual = failureAccrual(input.annotations, ignored);
  const builtIn = input.builtIn(annotations);
  const shared = accrual === undefined ? {} : { failureAccrual: accrual };
  const routes = routesForClient(input.routes, input.namespace, input.clientNamespace).toSorted(byAge);
  const tcp = usable<OpaqueRoute>(routes, 'TCPRoute', (route) => compileTcpRoute(route, context));
  // Of several the oldest has all connections, as Gateway API wants it.
  const bytes: OutboundProtocol = { kind: 'opaque', opaque: tcp[0] ?? builtIn.opaque };
  // The profile of an opaque port says so, and linkerd2-proxy panics when the policy disagrees.
  if (input.isOpaque) return bytes;
  const tls = usable<TlsRoute>(routes, 'TLSRoute', (route) => compileTlsRoute(route, context));
  const byName: OutboundProtocol = { kind: 'tls', routes: [...tls, ...builtIn.last.tls] };
  if (!HTTP_PROTOCOLS.has(appProtocol)) return tls.length > 0 && TLS_PROTOCOLS.has(appProtocol) ? byName : bytes;
  const grpc = usable<GrpcRoute>(routes, 'GRPCRoute', (route) => compileGrpcRoute(route, context, annotations));
  if (grpc.length > 0 && appProtocol !== 'http') {
    return { kind: 'grpc', routes: [...grpc, ...builtIn.last.grpc], ...shared };
  }
  const own = usable<HttpRoute>(routes, 'HTTPRoute', (route) => compileHttpRoute(route, context, annotations));
  const http = own.length > 0 ? [...exactFirst(own), ...builtIn.last.http] : [builtIn.http];
  if (appProtocol === 'http') return { kind: 'http1', routes: http, ...shared };
  if (appProtocol === 'kubernetes.io/h2c') return { kind: 'http2', routes: http, ...shared };
  if (own.length === 0 && tls.length > 0) return byName;
  if (own.length === 0 && tcp.length > 0) return bytes;
  return { kind: 'detect', timeoutMs: DETECT_TIMEOUT_MS, opaque: builtIn.opaque, routes: http, ...shared };
}

/** Routes of one kind without those that cannot be used: one bad object affects nothing else. */
function usable<R>(
  routes: readonly CustomObject[],
  kind: 'GRPCRoute' | 'HTTPRoute' | 'TLSRoute' | 'TCPRoute',
  compile: (route: CustomObject) => CompiledRoute<R>,
): readonly R[] {
  return routes
    .filter((route) => route.kind === kind)
    .map(compile)
    .filter(({ problems }) => problems.length === 0)
    .map(({ route }) => route);
}
