import { formatResourceRef, type ResourceRef } from '#model/resource-ref.ts';
import type { Family, HistogramSeries, Labels, Series } from '../metrics/family.ts';
import { objectLabels } from '../metrics/labels.ts';
import { grpcStatusName, isGrpcFailure } from '../grpc/status.ts';
import type { ConnectionRouteFamilies, OutboundRouteFamilies, TrafficMetrics } from '../metrics/registry.ts';

/** Label sets that one route may have; more share the first. */
const LABEL_SETS_MAX = 256;

/** Series by label set, looked up once and kept until the route is gone. */
class Kept<S extends Series> implements Disposable {
  readonly #family: Family<S>;
  readonly #base: Labels;
  readonly #byKey = new Map<string | number, S>();
  #isDisposed = false;

  constructor(family: Family<S>, base: Labels) {
    this.#family = family;
    this.#base = base;
  }

  get(key: string | number, labels: () => Labels): S {
    return this.#byKey.get(key) ?? this.#add(key, labels());
  }

  #add(key: string | number, labels: Labels): S {
    const [first] = this.#byKey.values();
    if (first !== undefined && this.#byKey.size >= LABEL_SETS_MAX) return first;
    const series = this.#family.acquire({ ...this.#base, ...labels });
    // What ends after its route has no owner any more, who would give the series back.
    if (this.#isDisposed) this.#family.release(series, Date.now());
    else this.#byKey.set(key, series);
    return series;
  }

  [Symbol.dispose](): void {
    this.#isDisposed = true;
    for (const series of this.#byKey.values()) this.#family.release(series, Date.now());
    this.#byKey.clear();
  }
}

/** Above the codes that exist, all are one. */
const GRPC_STATUS_MAX = 17;

const NONE = (): Labels => ({});

/** How a request or an attempt ended. */
export type Ending = {
  readonly status: number;
  readonly grpcStatus?: number | undefined; // of a gRPC call
  /** Code of the proxy's own error; empty when a response came to its end. */
  readonly error: string;
};

/** What became of a copy of a request. All but the first three: it was not sent. */
export type MirrorResult =
  | 'answered'
  | 'failed' // without a complete response
  | 'timeout'
  | 'busy' // too many copies were on their way
  | 'too_large' // a body of more than 64 KiB
  | 'incomplete' // the client went away, or the request failed, before its body was complete
  | 'tunnel'; // CONNECT or an upgrade

/** What is counted of the requests of one route, whatever becomes of them. */
export interface RouteMetrics extends Disposable {
  /** The response to the client is complete, or the proxy failed it. */
  finished(ending: Ending, isFailure: boolean, latencyMs: number, durationMs: number): void;
  request(): void;
  attempt(backend: ResourceRef | undefined): void;
  attemptFinished(backend: ResourceRef | undefined, ending: Ending, durationMs: number): void;
  retry(what: 'requests' | 'successes' | 'limit_exceeded' | 'overflow'): void;
  mirrored(backend: ResourceRef, result: MirrorResult): void;
}

/** Families `outbound_http_route_*` or `outbound_grpc_route_*`: routes of the outbound policy. */
export class PolicyRouteMetrics implements RouteMetrics {
  readonly #kept: readonly Disposable[];
  readonly #labelsOf: (ending: Ending) => Labels;
  readonly #statuses: Kept<Series>;
  readonly #durations: Kept<HistogramSeries>;
  readonly #backends = new Map<string, BackendSeries>();
  #isDisposed = false;
  readonly #newBackend: (backend: ResourceRef | undefined) => BackendSeries;
  readonly #mirrored: Kept<Series>;
  readonly #retries: Readonly<Record<'requests' | 'successes' | 'limit_exceeded' | 'overflow', Kept<Series>>>;

  /** @param labelsOf  `httpLabels` or `grpcLabels`, as the families are */
  constructor(
    families: OutboundRouteFamilies,
    parent: ResourceRef,
    route: ResourceRef,
    labelsOf: (ending: Ending) => Labels,
  ) {
    this.#labelsOf = labelsOf;
    const base = { ...objectLabels('parent', parent), ...objectLabels('route', route) };
    const front = { ...base, hostname: '' };
    this.#statuses = new Kept(families.statuses, front);
    this.#durations = new Kept(families.durations, front);
    this.#newBackend = (backend) => new BackendSeries(families, { ...base, ...backendLabels(backend) });
    this.#mirrored = new Kept(families.mirrored, base);
    this.#retries = {
      requests: new Kept(families.retryRequests, front),
      successes: new Kept(families.retrySuccesses, front),
      limit_exceeded: new Kept(families.retryLimitExceeded, front),
      overflow: new Kept(families.retryOverflow, front),
    };
    this.#kept = [this.#statuses, this.#durations, this.#mirrored, ...Object.values(this.#retries)];
  }

  request(): void {}

  finished(ending: Ending, _isFailure: boolean, _latencyMs: number, durationMs: number): void {
    this.#statuses.get(endingKey(ending), () => this.#labelsOf(ending)).value += 1;
    this.#durations.get('', NONE).observe(durationMs / 1000);
  }

  attempt(backend: ResourceRef | undefined): void {
    this.#of(backend).requests.get('', NONE).value += 1;
  }

  attemptFinished(backend: ResourceRef | undefined, ending: Ending, durationMs: number): void {
    const { statuses, durations } = this.#of(backend);
    statuses.get(endingKey(ending), () => this.#labelsOf(ending)).value += 1;
    durations.get('', NONE).observe(durationMs / 1000);
  }

  retry(what: 'requests' | 'successes' | 'limit_exceeded' | 'overflow'): void {
    this.#retries[what].get('', NONE).value += 1;
  }

  mirrored(backend: ResourceRef, result: MirrorResult): void {
    this.#mirrored.get(`${keyOf(backend)} ${result}`, () => ({ ...backendLabels(backend), result })).value += 1;
  }

  [Symbol.dispose](): void {
    this.#isDisposed = true;
    for (const one of this.#kept) one[Symbol.dispose]();
    for (const one of this.#backends.values()) one[Symbol.dispose]();
    this.#backends.clear();
  }

  #of(backend: ResourceRef | undefined): BackendSeries {
    return this.#backends.get(keyOf(backend)) ?? this.#add(backend);
  }

  #add(backend: ResourceRef | undefined): BackendSeries {
    const [first] = this.#backends.values();
    if (first !== undefined && this.#backends.size >= LABEL_SETS_MAX) return first;
    const series = this.#newBackend(backend);
    if (this.#isDisposed) series[Symbol.dispose]();
    else this.#backends.set(keyOf(backend), series);
    return series;
  }
}

/** Of one backend of a route. */
class BackendSeries implements Disposable {
  readonly requests: Kept<Series>;
  readonly statuses: Kept<Series>;
  readonly durations: Kept<HistogramSeries>;

  constructor(families: OutboundRouteFamilies, base: Labels) {
    this.requests = new Kept(families.backendRequests, base);
    this.statuses = new Kept(families.backendStatuses, base);
    this.durations = new Kept(families.backendDurations, base);
  }

  [Symbol.dispose](): void {
    for (const one of [this.requests, this.statuses, this.durations]) one[Symbol.dispose]();
  }
}

/** The texts of references, which stay the same objects as long as a policy is in force. */
const KEYS = new WeakMap<ResourceRef, string>();

function keyOf(ref: ResourceRef | undefined): string {
  if (ref === undefined) return '';
  let key = KEYS.get(ref);
  if (key === undefined) {
    key = formatResourceRef(ref);
    KEYS.set(ref, key);
  }
  return key;
}

function backendLabels(ref: ResourceRef | undefined): Labels {
  return objectLabels('backend', ref ?? { type: 'default', name: 'unknown' });
}

/** What linkerd2-proxy calls our errors in these families. */
const ERRORS: Readonly<Record<string, string>> = {
  'request-timeout': 'REQUEST_TIMEOUT',
  'attempt-timeout': 'RESPONSE_HEADERS_TIMEOUT',
  'response-timeout': 'RESPONSE_STREAM_TIMEOUT',
  'idle-timeout': 'IDLE_TIMEOUT',
  'no-endpoint': 'FAIL_FAST',
  'endpoints-ejected': 'FAIL_FAST',
  'load-shed': 'LOAD_SHED',
  'client-closed': 'CANCEL',
  'connect-refused': 'IO',
  'connect-failed': 'IO',
  'connect-timeout': 'IO',
  'peer-identity': 'IO',
  'server-closed': 'IO',
  forbidden: 'FORBIDDEN',
  'policy-invalid': 'INVALID_POLICY',
  'no-backend': 'INVALID_BACKEND',
};

/** linkerd2-proxy leaves the status empty on errors. */
export function httpLabels({ status, error }: Ending): Labels {
  return error === '' ? { http_status: String(status), error } : { http_status: '', error: ERRORS[error] ?? 'UNKNOWN' };
}

/** As `httpLabels`, with the name of the gRPC status. A response without one was not gRPC: it counts as `UNKNOWN`. */
export function grpcLabels({ grpcStatus, error }: Ending): Labels {
  if (error !== '') return { grpc_status: '', error: ERRORS[error] ?? 'UNKNOWN' };
  return { grpc_status: grpcStatus === undefined ? 'UNKNOWN' : grpcStatusName(grpcStatus), error };
}

/** A number for what nearly every request is, so that no text is made for each. */
function endingKey({ status, grpcStatus, error }: Ending): string | number {
  if (error !== '') return `${status} ${grpcStatus} ${error}`;
  return grpcStatus === undefined ? status : status + 1000 * (1 + Math.min(grpcStatus, GRPC_STATUS_MAX));
}

/** Families `outbound_tcp_route_*` and `outbound_tls_route_*`: connections of one route. */
export class ConnectionRouteMetrics implements Disposable {
  readonly #opened: Kept<Series>;
  readonly #closed: Kept<Series>;

  /** @param target  that the client asked for */
  constructor(
    families: ConnectionRouteFamilies,
    parent: ResourceRef,
    route: ResourceRef,
    target: { readonly address: string; readonly port: number },
  ) {
    const labels = {
      ...objectLabels('parent', parent),
      ...objectLabels('route', route),
      target_ip: target.address,
      target_port: String(target.port),
    };
    this.#opened = new Kept(families.open, labels);
    this.#closed = new Kept(families.close, labels);
  }

  opened(): void {
    this.#opened.get('', NONE).value += 1;
  }

  /** @param error  code of the proxy's own error; empty when there was none */
  closed(error: string): void {
    const label = error === '' ? '' : (ERRORS[error] ?? 'UNKNOWN');
    this.#closed.get(label, () => ({ error: label })).value += 1;
  }

  [Symbol.dispose](): void {
    this.#opened[Symbol.dispose]();
    this.#closed[Symbol.dispose]();
  }
}

/** Families `route_*`: routes of a ServiceProfile. */
export class ProfileRouteMetrics implements RouteMetrics {
  readonly #kept: readonly Disposable[];
  readonly #requests: Kept<Series>;
  readonly #responses: Kept<Series>;
  readonly #latencies: Kept<HistogramSeries>;
  readonly #actualRequests: Kept<Series>;
  readonly #actualResponses: Kept<Series>;
  readonly #retryable: Kept<Series>;

  /** @param dst  `fqn:port` */
  constructor(metrics: TrafficMetrics, dst: string, labels: Labels) {
    const names = Object.entries(labels).map(([name, value]) => [`rt_${name.replace(/\W/g, '_')}`, value]);
    const base: Labels = { direction: 'outbound', dst, ...(Object.fromEntries(names) as Labels) };
    const { profileRoutes: families } = metrics;
    this.#requests = new Kept(families.requests, base);
    this.#responses = new Kept(families.responses, base);
    this.#latencies = new Kept(families.latencies, base);
    this.#actualRequests = new Kept(families.actualRequests, base);
    this.#actualResponses = new Kept(families.actualResponses, base);
    this.#retryable = new Kept(families.retryable, base);
    this.#kept = [
      this.#requests,
      this.#responses,
      this.#latencies,
      this.#actualRequests,
      this.#actualResponses,
      this.#retryable,
    ];
  }

  request(): void {
    this.#requests.get('', NONE).value += 1;
  }

  finished(ending: Ending, isFailure: boolean, latencyMs: number): void {
    const { status, error } = ending;
    this.#responses.get(`${endingKey(ending)} ${isFailure}`, () => responseLabels(ending, isFailure)).value += 1;
    if (error === '') this.#latencies.get(String(status), () => ({ status_code: String(status) })).observe(latencyMs);
  }

  attempt(): void {
    this.#actualRequests.get('', NONE).value += 1;
  }

  attemptFinished(_backend: ResourceRef | undefined, ending: Ending): void {
    const isFailure = ending.status >= 500 || ending.error !== '' || isGrpcFailure(ending.grpcStatus);
    this.#actualResponses.get(endingKey(ending), () => responseLabels(ending, isFailure)).value += 1;
  }

  retry(what: 'requests' | 'successes' | 'limit_exceeded' | 'overflow'): void {
    if (what === 'successes') return;
    const skipped = what === 'requests' ? '' : what === 'overflow' ? 'no_budget' : 'limit_exceeded';
    this.#retryable.get(skipped, () => ({ skipped })).value += 1;
  }

  /** A ServiceProfile mirrors nothing. */
  mirrored(): void {}

  [Symbol.dispose](): void {
    for (const one of this.#kept) one[Symbol.dispose]();
  }
}

function responseLabels({ status, grpcStatus, error }: Ending, isFailure: boolean): Labels {
  const classification = isFailure ? 'failure' : 'success';
  return { status_code: String(status), classification, grpc_status: String(grpcStatus ?? ''), error };
}
