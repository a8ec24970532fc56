import type { CustomObject } from '#k8s/resources/custom-object.ts';
import type { Service, ServicePort } from '#k8s/resources/service.ts';
import type { Backend } from '#model/backend.ts';
import type { OutboundProtocol } from '#model/outbound.ts';
import type { GrpcRoute, HttpRoute, OpaqueRoute } from '#model/route.ts';
import { failureAccrual, trafficAnnotations, type TrafficAnnotations } from '../dialects/annotations.ts';
import type { CompiledRoute, RouteContext } from '../dialects/gateway-api.ts';
import { compileGrpcRoute } from '../dialects/grpc-route.ts';
import { compileHttpRoute } from '../dialects/http-route.ts';
import { byAge, exactFirst, routesForClient } from '../dialects/precedence.ts';
import { Problems } from '../dialects/problem.ts';

export type ServiceInput = {
  readonly service: Service;
  readonly port: ServicePort;
  readonly isOpaque: boolean; // by annotation
  readonly routes: readonly CustomObject[]; // attached to this port
  readonly clientNamespace: string | undefined;
  readonly context: RouteContext;
};

const DETECT_TIMEOUT_MS = 10_000;

/** How a port of a Service is reached, by what is attached to it. Source: linkerd2 `policy-controller`, outbound index. */
export function serviceProtocol(input: ServiceInput): OutboundProtocol {
  const { service, port, context } = input;
  const { appProtocol } = port;
  const opaque = opaqueRoute(context.parent);
  // The profile of an opaque port says so, and linkerd2-proxy panics when the policy disagrees. Protocols that are not
  // known are taken as raw bytes (GEP-1911).
  const isHttp = appProtocol === undefined || appProtocol === 'http' || appProtocol === 'kubernetes.io/h2c';
  if (input.isOpaque || !isHttp) return { kind: 'opaque', opaque };
  // Wrong annotations of a Service are without effect; whoever wants to know finds them by `Problems`.
  const ignored = new Problems();
  const annotations = trafficAnnotations(service.annotations, ignored);
  const accrual = failureAccrual(service.annotations, ignored);
  const shared = accrual === undefined ? {} : { failureAccrual: accrual };
  const routes = routesForClient(input.routes, service.namespace, input.clientNamespace).toSorted(byAge);
  const grpc = usable<GrpcRoute>(routes, 'GRPCRoute', (route) => compileGrpcRoute(route, context, annotations));
  if (grpc.length > 0 && appProtocol !== 'http') return { kind: 'grpc', routes: grpc, ...shared };
  const own = usable<HttpRoute>(routes, 'HTTPRoute', (route) => compileHttpRoute(route, context, annotations));
  const http = own.length > 0 ? exactFirst(own) : [defaultRoute(context.parent, annotations)];
  if (appProtocol === 'http') return { kind: 'http1', routes: http, ...shared };
  if (appProtocol === 'kubernetes.io/h2c') return { kind: 'http2', routes: http, ...shared };
  return { kind: 'detect', timeoutMs: DETECT_TIMEOUT_MS, opaque, routes: http, ...shared };
}

/** Routes of one kind without those that cannot be used: one bad object affects nothing else. */
function usable<R>(
  routes: readonly CustomObject[],
  kind: 'GRPCRoute' | 'HTTPRoute',
  compile: (route: CustomObject) => CompiledRoute<R>,
): readonly R[] {
  return routes
    .filter((route) => route.kind === kind)
    .map(compile)
    .filter(({ problems }) => problems.length === 0)
    .map(({ route }) => route);
}

/** A target that no object says anything about. */
export function plainProtocol(backend: Backend): OutboundProtocol {
  return {
    kind: 'detect',
    timeoutMs: DETECT_TIMEOUT_MS,
    opaque: opaqueRoute(backend),
    routes: [defaultRoute(backend, {})],
  };
}

/** Where nothing may go. */
export const UNDEFINED_PORT: OpaqueRoute = {
  ref: { type: 'default', name: 'undefined-port' },
  filters: [{ kind: 'forbidden' }],
  distribution: { kind: 'empty' },
};

function opaqueRoute(backend: Backend): OpaqueRoute {
  return {
    ref: { type: 'default', name: 'opaq' },
    filters: [],
    distribution: { kind: 'first-available', backends: [{ backend, filters: [] }] },
  };
}

function defaultRoute(backend: Backend, { timeouts, httpRetry }: TrafficAnnotations): HttpRoute {
  return {
    ref: { type: 'default', name: 'http' },
    hosts: [],
    rules: [
      {
        matches: [{ path: { kind: 'prefix', value: '/' }, headers: [], queryParams: [] }],
        filters: [],
        distribution: { kind: 'first-available', backends: [{ backend, filters: [] }] },
        timeouts: timeouts ?? {},
        ...(httpRetry && { retry: httpRetry }),
        allowsRequestHeaders: false,
      },
    ],
  };
}
