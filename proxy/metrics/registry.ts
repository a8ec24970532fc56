import { CounterMetrics } from './counter.ts';
import { Exposition } from './exposition.ts';
import { linkerdError, targetLabelsOf } from './labels.ts';
import { Family, HistogramSeries, Series, SeriesBudget, type Labels } from './family.ts';

/** Series of the families below, together. A series costs about 400 bytes, a histogram about 700. */
const SERIES_MAX = 20_000;
/** How long a series without owner is kept. Source: `LINKERD2_PROXY_METRICS_RETAIN_IDLE`. */
const RETAIN_IDLE_MS = 10 * 60_000;

/** Bounds in seconds: those of linkerd2-proxy, and finer ones below, without which every fast route looks 25 ms slow. */
const ROUTE_SECONDS = [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 10];
const BACKEND_SECONDS = [0.025, 0.05, 0.1, 0.25, 0.5, 1, 10];

export type OutboundRouteFamilies = Readonly<
  Record<
    | 'statuses'
    | 'backendRequests'
    | 'backendStatuses'
    | 'retryRequests'
    | 'retrySuccesses'
    | 'retryLimitExceeded'
    | 'retryOverflow'
    | 'mirrored',
    Family
  >
> & { readonly durations: Family<HistogramSeries>; readonly backendDurations: Family<HistogramSeries> };

export type ConnectionRouteFamilies = Readonly<Record<'open' | 'close', Family>>;

type ProfileRouteFamilies = Readonly<
  Record<'requests' | 'responses' | 'actualRequests' | 'actualResponses' | 'retryable', Family>
> & { readonly latencies: Family<HistogramSeries> };

/** Every family with labels of the traffic. Names and labels are linkerd2-proxy's. */
export class TrafficMetrics {
  readonly exposition = new Exposition();
  readonly #families: Family<never>[] = [];
  readonly #budget: SeriesBudget;

  readonly requests: Family;
  readonly responses: Family;
  readonly latencies: Family<HistogramSeries>;
  readonly tcpOpen: Family;
  readonly tcpConnections: Family;
  readonly tcpReadBytes: Family;
  readonly tcpWriteBytes: Family;
  readonly tcpClose: Family;
  readonly httpAllow: Family;
  readonly httpDeny: Family;
  readonly httpLimited: Family;
  readonly tcpAllow: Family;
  readonly tcpDeny: Family;
  readonly tcpTerminate: Family;
  readonly errors: Family;
  /** The same in the words of linkerd2-proxy, which counts by side and protocol and leaves denials to other families. */
  readonly linkerdErrors: Readonly<Record<'inbound' | 'outbound', Readonly<Record<'http' | 'tcp', Family>>>>;
  /** Endpoints of the backends of routes, by state. */
  readonly balancerEndpoints: Readonly<Record<'http' | 'tcp' | 'tls', Family>>;
  /** `outbound_http_route_*`. */
  readonly outboundHttpRoutes: OutboundRouteFamilies;
  /** `outbound_grpc_route_*`. */
  readonly outboundGrpcRoutes: OutboundRouteFamilies;
  /** `outbound_tcp_route_*`. */
  readonly outboundTcpRoutes: ConnectionRouteFamilies;
  /** `outbound_tls_route_*`. */
  readonly outboundTlsRoutes: ConnectionRouteFamilies;
  /** `route_*`: routes of ServiceProfiles. */
  readonly profileRoutes: ProfileRouteFamilies;

  constructor(seriesMax = SERIES_MAX) {
    this.#budget = new SeriesBudget(seriesMax);
    this.requests = this.#counter('request_total', 'Requests received.');
    this.responses = this.#counter('response_total', 'Responses finished.');
    this.latencies = this.#histogram('response_latency_ms', 'Time from a request to the first bytes of its response.');
    this.tcpOpen = this.#counter('tcp_open_total', 'Connections opened.');
    this.tcpConnections = this.#plain('tcp_open_connections', 'Connections open now.', 'gauge');
    this.tcpReadBytes = this.#counter('tcp_read_bytes_total', 'Bytes read from peers.');
    this.tcpWriteBytes = this.#counter('tcp_write_bytes_total', 'Bytes written to peers.');
    this.tcpClose = this.#counter('tcp_close_total', 'Connections closed.');
    this.httpAllow = this.#counter('inbound_http_authz_allow_total', 'Requests that a policy let in.');
    this.httpDeny = this.#counter('inbound_http_authz_deny_total', 'Requests that no policy let in.');
    this.httpLimited = this.#counter('inbound_http_local_ratelimit_total', 'Requests above a limit of their server.');
    this.tcpAllow = this.#counter('inbound_tcp_authz_allow_total', 'Connections that a policy let in.');
    this.tcpDeny = this.#counter('inbound_tcp_authz_deny_total', 'Connections that no policy let in.');
    this.tcpTerminate = this.#counter(
      'inbound_tcp_authz_terminate_total',
      'Open connections and tunnels that a changed policy ended.',
    );
    this.errors = this.#counter(
      'proxy_errors_total',
      'Requests and connections that the proxy itself failed, by code.',
    );
    const errorsOf = (side: string, protocol: string): Family =>
      this.#counter(`${side}_${protocol}_errors_total`, 'What the proxy itself failed, in the words of Linkerd.');
    this.linkerdErrors = {
      inbound: { http: errorsOf('inbound', 'http'), tcp: errorsOf('inbound', 'tcp') },
      outbound: { http: errorsOf('outbound', 'http'), tcp: errorsOf('outbound', 'tcp') },
    };
    const endpointsOf = (protocol: string): Family =>
      this.#plain(`outbound_${protocol}_balancer_endpoints`, 'Endpoints of a backend, by state.', 'gauge');
    this.balancerEndpoints = { http: endpointsOf('http'), tcp: endpointsOf('tcp'), tls: endpointsOf('tls') };
    this.outboundHttpRoutes = this.#outboundRoutes('outbound_http_route');
    this.outboundGrpcRoutes = this.#outboundRoutes('outbound_grpc_route');
    this.outboundTcpRoutes = this.#connectionRoutes('outbound_tcp_route');
    this.outboundTlsRoutes = this.#connectionRoutes('outbound_tls_route');
    this.profileRoutes = {
      requests: this.#counter('route_request_total', 'Requests of a route.'),
      responses: this.#counter('route_response_total', 'Responses to requests of a route.'),
      latencies: this.#histogram('route_response_latency_ms', 'Time to the first bytes of a response of a route.'),
      actualRequests: this.#counter('route_actual_request_total', 'Attempts of a route.'),
      actualResponses: this.#counter('route_actual_response_total', 'Responses to attempts of a route.'),
      retryable: this.#counter('route_retryable_total', 'Failures that could be retried; `skipped` says why not.'),
    };
  }

  /**
   * A request or connection that the proxy itself failed. Rare, so the series is looked up each time.
   *
   * @param target  `address:port`; of a gateway, a name
   */
  proxyError(direction: 'inbound' | 'outbound', protocol: 'http' | 'tcp', code: string, target: string): void {
    using counter = new CounterMetrics(this.errors, { direction, error: code });
    counter.count();
    const error = linkerdError(code);
    if (error === undefined) return;
    // linkerd2-proxy leaves the target away where requests go to one Service by many addresses.
    const where = direction === 'outbound' && protocol === 'http' ? {} : targetLabelsOf(target);
    using linkerd = new CounterMetrics(this.linkerdErrors[direction][protocol], { error, ...where });
    linkerd.count();
  }

  /** Forgets series that nobody uses any more. Called about once a minute. */
  sweep(nowMs: number): void {
    for (const family of this.#families) family.sweep(nowMs, RETAIN_IDLE_MS);
  }

  #outboundRoutes(route: 'outbound_http_route' | 'outbound_grpc_route'): OutboundRouteFamilies {
    const retry = `${route}_retry`;
    const backend = `${route}_backend`;
    return {
      statuses: this.#counter(`${route}_request_statuses_total`, 'Responses to requests of a route.'),
      durations: this.#histogram(`${route}_request_duration_seconds`, 'Time to the end of a response.', ROUTE_SECONDS),
      backendRequests: this.#counter(`${backend}_requests_total`, 'Attempts, by backend.'),
      backendStatuses: this.#counter(`${backend}_response_statuses_total`, 'Responses to attempts, by backend.'),
      backendDurations: this.#histogram(
        `${backend}_response_duration_seconds`,
        'Time to the end of the response to an attempt.',
        BACKEND_SECONDS,
      ),
      retryRequests: this.#counter(`${retry}_requests_total`, 'Retries.'),
      retrySuccesses: this.#counter(`${retry}_successes_total`, 'Retries that succeeded.'),
      retryLimitExceeded: this.#counter(`${retry}_limit_exceeded_total`, 'Failures after the last retry.'),
      retryOverflow: this.#counter(`${retry}_overflow_total`, 'Retries that the budget did not allow.'),
      mirrored: this.#counter(
        `${route}_mirror_requests_total`,
        'Copies of requests, by mirror and what became of them.',
      ),
    };
  }

  #connectionRoutes(route: 'outbound_tcp_route' | 'outbound_tls_route'): ConnectionRouteFamilies {
    return {
      open: this.#counter(`${route}_open_total`, 'Connections of a route.'),
      close: this.#counter(`${route}_close_total`, 'Connections of a route that are over; `error` says why it failed.'),
    };
  }

  #counter(name: string, help: string): Family {
    return this.#plain(name, help, 'counter');
  }

  #histogram(name: string, help: string, bounds?: readonly number[]): Family<HistogramSeries> {
    const make = (labels: Labels): HistogramSeries => new HistogramSeries(labels, bounds);
    return this.#add(new Family<HistogramSeries>({ name, help, type: 'histogram' }, this.#budget, make));
  }

  #plain(name: string, help: string, type: 'counter' | 'gauge'): Family {
    return this.#add(new Family<Series>({ name, help, type }, this.#budget, (labels: Labels) => new Series(labels)));
  }

  #add<S extends Series>(family: Family<S>): Family<S> {
    this.exposition.add(family);
    this.#families.push(family as unknown as Family<never>);
    return family;
  }
}
