import { isGrpcFailure } from '../grpc/status.ts';
import type { HistogramSeries, Labels, Series } from './family.ts';
import type { TrafficMetrics } from './registry.ts';

/** Status codes that one label set may have series for; others are counted as their class (`2xx`). */
const STATUS_MAX = 64;

/** Above the 17 that exist, codes are counted as one. */
const GRPC_MAX = 17;
const GRPC_FACTOR = 100;

type ResponseSeries = { readonly total: Series; readonly latency: HistogramSeries };

/** The request metrics of one label set: of an endpoint on the outbound side, of a port and client on the inbound side. */
export class RequestMetrics implements Disposable {
  readonly #metrics: TrafficMetrics;
  readonly #labels: Labels;
  readonly #requests: Series;
  readonly #byStatus = new Map<number, ResponseSeries>(); // by status, or by both statuses in one number
  readonly #byError = new Map<string, Series>();

  constructor(metrics: TrafficMetrics, labels: Labels) {
    this.#metrics = metrics;
    this.#labels = labels;
    this.#requests = metrics.requests.acquire(labels);
  }

  request(): void {
    this.#requests.value += 1;
  }

  /**
   * @param latencyMs   from the request to the first bytes of the response
   * @param grpcStatus  of a gRPC call
   */
  response(status: number, latencyMs: number, grpcStatus?: number): void {
    const key = grpcStatus === undefined ? status : status * GRPC_FACTOR + Math.min(grpcStatus, GRPC_MAX);
    const series = this.#byStatus.get(key) ?? this.#addStatus(status, grpcStatus, key);
    series.total.value += 1;
    series.latency.observe(latencyMs);
  }

  /** The request ended without a (complete) response. */
  failure(status: number, code: string): void {
    let series = this.#byError.get(code);
    if (series === undefined) {
      series = this.#metrics.responses.acquire({
        ...this.#labels,
        status_code: String(status),
        classification: 'failure',
        grpc_status: '',
        error: code,
      });
      this.#byError.set(code, series);
    }
    series.value += 1;
  }

  [Symbol.dispose](): void {
    const nowMs = Date.now();
    this.#metrics.requests.release(this.#requests, nowMs);
    for (const { total, latency } of new Set(this.#byStatus.values())) {
      this.#metrics.responses.release(total, nowMs);
      this.#metrics.latencies.release(latency, nowMs);
    }
    for (const series of this.#byError.values()) this.#metrics.responses.release(series, nowMs);
  }

  #addStatus(status: number, grpcStatus: number | undefined, key: number): ResponseSeries {
    const isKnown = this.#byStatus.size < STATUS_MAX;
    const labels = { ...this.#labels, status_code: isKnown ? String(status) : `${Math.floor(status / 100)}xx` };
    const isFailure = status >= 500 || isGrpcFailure(grpcStatus);
    const classification = isFailure ? 'failure' : 'success';
    const series = {
      total: this.#metrics.responses.acquire({
        ...labels,
        classification,
        grpc_status: grpcStatus === undefined || !isKnown ? '' : String(Math.min(grpcStatus, GRPC_MAX)),
        error: '',
      }),
      latency: this.#metrics.latencies.acquire(labels),
    };
    if (isKnown) this.#byStatus.set(key, series);
    return series;
  }
}
