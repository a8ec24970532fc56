import { ResponseTally, type Golden } from './golden.ts';
import type { Pod } from './pods.ts';
import { isWithin, type Peer, type ServiceEntry } from './stat.ts';
import type { MetricsStore, SeriesView } from './store.ts';

export type RoutesQuery = {
  readonly kind: string; // service, or a kind of workload
  readonly namespace?: string; // absent: all
  readonly name?: string;
  readonly windowMs: number;
  /** The routes of these, as the workloads of the query use them. */
  readonly to?: Peer;
  /** Only as these use them. */
  readonly from?: Peer;
};

/** What became of the requests of one route of a Service, as the proxies of its clients saw it. */
export type RouteRow = {
  readonly namespace: string; // of the Service
  readonly service: string;
  readonly route: string; // `[DEFAULT]`: what no route took
  readonly kind: string; // ServiceProfile, HTTPRoute, GRPCRoute or default
  readonly effective: Golden; // as the clients saw it, after retries
  readonly actual: Golden; // every attempt
  readonly backends: readonly RouteBackend[]; // of HTTPRoutes and GRPCRoutes
};

export type RouteBackend = Golden & { readonly name: string };

/** @param inFront  how many Services were looked at, so that an empty view can say why */
export type RoutesResult = { readonly rows: readonly RouteRow[]; readonly inFront: number; readonly clients: number };

export const DEFAULT_ROUTE = '[DEFAULT]';

/** Families of HTTPRoutes and of GRPCRoutes; the default route is counted in the first. */
const POLICY = ['outbound_http_route', 'outbound_grpc_route'] as const;
const [STATUSES, DURATIONS, ATTEMPTS] = [
  '_request_statuses_total',
  '_request_duration_seconds_bucket',
  '_backend_response_statuses_total',
] as const;

export const ROUTE_METRICS = new Set([
  'route_response_total',
  'route_response_latency_ms_bucket',
  'route_actual_response_total',
  ...POLICY.flatMap((family) => [STATUSES, DURATIONS, ATTEMPTS].map((suffix) => `${family}${suffix}`)),
]);

/** As the proxies classify responses, so that routes and workloads agree. Source: linkerd2-proxy. */
const GRPC_FAILURES: ReadonlySet<string> = new Set([
  'UNKNOWN',
  'DEADLINE_EXCEEDED',
  'PERMISSION_DENIED',
  'INTERNAL',
  'UNAVAILABLE',
  'DATA_LOSS',
]);

type Labels = Readonly<Record<string, string>>;
type Found = Pick<RouteRow, 'namespace' | 'service' | 'route' | 'kind'> & {
  readonly effective: ResponseTally;
  readonly actual: ResponseTally;
  readonly backends: Map<string, ResponseTally>;
};

/**
 * The routes of Services. For a workload they are those of the Services in front of it; with `to` they are those of the
 * Services there, as the workload uses them. Source: linkerd2 `viz/metrics-api/top_routes.go`.
 *
 * @returns routes that were used within the window, by Service and name
 */
export function routes(
  query: RoutesQuery,
  pods: readonly Pod[],
  store: MetricsStore,
  nowMs: number,
  services: readonly ServiceEntry[],
): RoutesResult {
  const { kind, name, namespace, to, from, windowMs } = query;
  const own: Peer = {
    kind,
    ...(name === undefined ? {} : { name }),
    ...(namespace === undefined ? {} : { namespace }),
  };
  const wanted = new Set(servicesOf(to ?? own, services, pods).map(keyOf));
  const senders = to === undefined ? from : own;
  const clients = pods.filter(
    (pod) => pod.isMeshed && !pod.isFinished && (senders === undefined || isWithin(pod, senders)),
  );
  const found = new Map<string, Found>();
  let coveredMs = 0;
  for (const { key } of clients) {
    for (const series of store.view(key, nowMs, windowMs, (metric) => ROUTE_METRICS.has(metric))) {
      const id = isPolicyMetric(series.name) ? policyRoute(series.labels) : profileRoute(series.labels);
      if (id === undefined || !wanted.has(keyOf({ namespace: id.namespace, name: id.service }))) continue;
      const row = JSON.stringify(id);
      const route = found.get(row) ?? {
        ...id,
        effective: new ResponseTally(),
        actual: new ResponseTally(),
        backends: new Map(),
      };
      found.set(row, route);
      addSeries(route, series);
      coveredMs = Math.max(coveredMs, store.coveredMs(key, nowMs, windowMs));
    }
  }
  return { rows: rowsOf(found.values(), coveredMs), inFront: wanted.size, clients: clients.length };
}

function rowsOf(found: Iterable<Found>, coveredMs: number): readonly RouteRow[] {
  return [...found]
    .filter(({ effective, actual }) => effective.responses + actual.responses > 0)
    .map((route) => ({
      ...route,
      effective: route.effective.golden(coveredMs),
      actual: route.actual.golden(coveredMs),
      backends: [...route.backends]
        .map(([name, tally]) => ({ name, ...tally.golden(coveredMs) }))
        .filter(({ responses }) => responses !== undefined)
        .sort((a, b) => a.name.localeCompare(b.name)),
    }))
    .sort(
      (a, b) =>
        a.namespace.localeCompare(b.namespace) ||
        a.service.localeCompare(b.service) ||
        Number(a.route === DEFAULT_ROUTE) - Number(b.route === DEFAULT_ROUTE) ||
        a.route.localeCompare(b.route),
    );
}

/** The Services that are meant, or that are in front of the workloads that are. */
function servicesOf(peer: Peer, services: readonly ServiceEntry[], pods: readonly Pod[]): readonly ServiceEntry[] {
  const { kind, name, namespace } = peer;
  if (kind === 'service')
    return services.filter(
      (service) =>
        (namespace === undefined || service.namespace === namespace) && (name === undefined || service.name === name),
    );
  if (kind === 'namespace') return services.filter((service) => name === undefined || service.namespace === name);
  const behind = pods.filter((pod) => !pod.isFinished && isWithin(pod, peer));
  return services.filter(({ namespace: where, selector }) => {
    const required = Object.entries(selector);
    const selects = (pod: Pod): boolean => required.every(([label, value]) => pod.labels[label] === value);
    return required.length > 0 && behind.some((pod) => pod.namespace === where && selects(pod));
  });
}

type Id = Pick<RouteRow, 'namespace' | 'service' | 'route' | 'kind'>;

/** Source of the labels: linkerd2-proxy, `RouteLabels`. */
function policyRoute(labels: Labels): Id | undefined {
  const {
    parent_kind: parent,
    parent_namespace: namespace = '',
    parent_name: service = '',
    route_kind: kind = '',
  } = labels;
  if (parent !== 'Service') return undefined;
  const isDefault = kind === 'default';
  return { namespace, service, route: isDefault ? DEFAULT_ROUTE : (labels['route_name'] ?? ''), kind };
}

/** Source of the labels: linkerd2-proxy, `ProfileRouteLabels`; `dst` is `name.namespace.svc.domain:port`. */
function profileRoute(labels: Labels): Id | undefined {
  const [service = '', namespace = '', svc] = (labels['dst'] ?? '').split('.');
  if (svc !== 'svc') return undefined;
  const route = labels['rt_route'];
  return {
    namespace,
    service,
    route: route ?? DEFAULT_ROUTE,
    kind: route === undefined ? 'default' : 'ServiceProfile',
  };
}

function addSeries(found: Found, { name, labels, increase }: SeriesView): void {
  const { effective, actual } = found;
  if (name === 'route_response_total') effective.add(labels['classification'] === 'failure', increase);
  else if (name === 'route_actual_response_total') actual.add(labels['classification'] === 'failure', increase);
  else if (name === 'route_response_latency_ms_bucket') effective.addBucket(labels['le'], increase);
  else if (name.endsWith(DURATIONS)) effective.addBucket(labels['le'], increase, 1000);
  else if (name.endsWith(ATTEMPTS)) {
    const isFailed = isFailure(labels);
    actual.add(isFailed, increase);
    const backend = labels['backend_name'] ?? '';
    const tally = found.backends.get(backend) ?? new ResponseTally();
    found.backends.set(backend, tally);
    tally.add(isFailed, increase);
  } else effective.add(isFailure(labels), increase);
}

function isPolicyMetric(name: string): boolean {
  return POLICY.some((family) => name.startsWith(family));
}

/** No response, a 5xx, or a status of gRPC that says the server failed. */
function isFailure(labels: Labels): boolean {
  const { error = '', http_status: http = '', grpc_status: grpc = '' } = labels;
  return error !== '' || http.startsWith('5') || GRPC_FAILURES.has(grpc);
}

function keyOf({ namespace, name }: { readonly namespace: string; readonly name: string }): string {
  return `${namespace}/${name}`;
}
