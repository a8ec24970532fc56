import { Registry } from 'prom-client';
import { CounterMetrics } from './counter.ts';
import { Family, HistogramSeries, Series, SeriesBudget, type Labels } from './family.ts';

/** Series of the families below, together. A series costs about 400 bytes, a histogram about 700. */
const SERIES_MAX = 20_000;
/** How long a series without owner is kept. Source: `LINKERD2_PROXY_METRICS_RETAIN_IDLE`. */
const RETAIN_IDLE_MS = 10 * 60_000;

/** Every family with labels of the traffic. Names and labels are linkerd2-proxy's. */
export class TrafficMetrics {
  readonly registry = new Registry();
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
  readonly tcpAllow: Family;
  readonly tcpDeny: Family;
  readonly errors: Family;

  constructor(seriesMax = SERIES_MAX) {
    this.#budget = new SeriesBudget(seriesMax);
    this.requests = this.#counter('request_total', 'Requests received.');
    this.responses = this.#counter('response_total', 'Responses finished.');
    this.latencies = this.#add(
      new Family<HistogramSeries>(
        {
          name: 'response_latency_ms',
          help: 'Time from a request to the first bytes of its response.',
          type: 'histogram',
        },
        this.#budget,
        (labels) => new HistogramSeries(labels),
      ),
    );
    this.tcpOpen = this.#counter('tcp_open_total', 'Connections opened.');
    this.tcpConnections = this.#plain('tcp_open_connections', 'Connections open now.', 'gauge');
    this.tcpReadBytes = this.#counter('tcp_read_bytes_total', 'Bytes read from peers.');
    this.tcpWriteBytes = this.#counter('tcp_write_bytes_total', 'Bytes written to peers.');
    this.tcpClose = this.#counter('tcp_close_total', 'Connections closed.');
    this.httpAllow = this.#counter('inbound_http_authz_allow_total', 'Requests that a policy let in.');
    this.httpDeny = this.#counter('inbound_http_authz_deny_total', 'Requests that no policy let in.');
    this.tcpAllow = this.#counter('inbound_tcp_authz_allow_total', 'Connections that a policy let in.');
    this.tcpDeny = this.#counter('inbound_tcp_authz_deny_total', 'Connections that no policy let in.');
    this.errors = this.#counter(
      'proxy_errors_total',
      'Requests and connections that the proxy itself failed, by code.',
    );
  }

  /** A request or connection that the proxy itself failed. Rare, so the series is looked up each time. */
  proxyError(direction: 'inbound' | 'outbound', code: string): void {
    using counter = new CounterMetrics(this.errors, { direction, error: code });
    counter.count();
  }

  /** Forgets series that nobody uses any more. Called about once a minute. */
  sweep(nowMs: number): void {
    for (const family of this.#families) family.sweep(nowMs, RETAIN_IDLE_MS);
  }

  #counter(name: string, help: string): Family {
    return this.#plain(name, help, 'counter');
  }

  #plain(name: string, help: string, type: 'counter' | 'gauge'): Family {
    return this.#add(new Family<Series>({ name, help, type }, this.#budget, (labels: Labels) => new Series(labels)));
  }

  #add<S extends Series>(family: Family<S>): Family<S> {
    this.registry.registerMetric(family.asMetric());
    this.#families.push(family as unknown as Family<never>);
    return family;
  }
}
