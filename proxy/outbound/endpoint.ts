import type { Endpoint } from '#model/endpoint.ts';
import type { FailureAccrual } from '#model/failure-accrual.ts';
import type { ServerEndpoint } from '../balance/destination.ts';
import { PeakEwma } from '../balance/ewma.ts';
import { Connections } from '../balance/connections.ts';
import { Http2Pool } from '../balance/http2-pool.ts';
import { Pool, type RequestPool } from '../balance/pool.ts';
import { ProxyError } from '../errors.ts';
import { isGrpcFailure } from '../grpc/status.ts';
import type { Labels } from '../metrics/family.ts';
import type { TrafficMetrics } from '../metrics/registry.ts';
import { destinationLabels, noTlsLabels, targetLabels } from '../metrics/labels.ts';
import { RequestMetrics } from '../metrics/requests.ts';
import { TransportMetrics } from '../metrics/transport.ts';
import { connectMesh, connectTcp } from '../transport/connect.ts';
import { Connection } from '../transport/connection.ts';
import type { EndpointMeta } from '../tap/hub.ts';
import { Breaker, type Outcome } from './breaker.ts';
import type { OutboundContext } from './context.ts';

/** How long an endpoint is passed over after a connection to it failed: doubles up to the maximum. */
const UNREADY_MIN_MS = 100;
const UNREADY_MAX_MS = 10_000;

/** One endpoint with its connections, load and metrics. Whoever keeps it disposes of it. */
export class OutboundEndpoint implements ServerEndpoint, Disposable {
  readonly endpoint: Endpoint;
  readonly pool: RequestPool;
  readonly requests: RequestMetrics;
  readonly meta: EndpointMeta;
  readonly #context: OutboundContext;
  readonly #transport: TransportMetrics;
  readonly #ewma: PeakEwma;
  #breaker: Breaker | undefined;
  #inFlight = 0;
  #failures = 0;
  #unreadyUntilMs = 0;

  /** @param labels  of the whole set, under the endpoint's own */
  constructor(
    endpoint: Endpoint,
    labels: Readonly<Record<string, string>>,
    authority: string | undefined,
    context: OutboundContext,
  ) {
    this.endpoint = endpoint;
    this.#context = context;
    const all: Labels = {
      direction: 'outbound',
      ...(authority === undefined ? {} : { authority }),
      ...targetLabels(endpoint.address, endpoint.port),
      ...this.#tlsLabels(),
      ...destinationLabels({ ...labels, ...endpoint.labels }),
    };
    this.meta = {
      address: endpoint.address,
      port: endpoint.port,
      labels: { ...labels, ...endpoint.labels, ...this.#tlsLabels() },
    };
    this.requests = new ObservedRequests(context.metrics, all, (outcome) =>
      this.#breaker?.record(outcome, context.now()),
    );
    this.#transport = new TransportMetrics(context.metrics, { ...all, peer: 'dst' });
    this.#ewma = new PeakEwma(context.now());
    const http1 = new Pool(
      {
        connect: () => this.connect('http1'),
        idleMs: context.poolIdleMs,
        idleMax: context.poolIdleMax,
        waitingMax: context.waitingMax,
      },
      context.now,
    );
    const connectHttp2 = (): Promise<Connection> => this.connect('http2');
    const { identity, opaqueTransportPort, protocolHint } = endpoint;
    const isPlain = identity === undefined || this.#isOwn;
    const mayUse = (): boolean => isPlain || context.credentials() !== undefined;
    const http2 = new Http2Pool(
      { connect: connectHttp2, waitingMax: context.waitingMax, mayUse, isPeer: !isPlain },
      context.now,
    );
    const carriesHttp1 = !isPlain && opaqueTransportPort !== undefined && protocolHint === 'h2';
    this.pool = new Connections(http1, http2, carriesHttp1);
  }

  get verifiedIdentity(): string | undefined {
    return this.#isOwn ? undefined : this.endpoint.identity?.name;
  }

  load(nowMs: number): number {
    return this.#ewma.estimateMs(nowMs) * (this.#inFlight + 1);
  }

  isReady(nowMs: number): boolean {
    return nowMs >= this.#unreadyUntilMs && !this.isEjected(nowMs);
  }

  /** It has failed too often, and it is not time for a probe. */
  isEjected(nowMs: number): boolean {
    return this.#breaker?.isOpen(nowMs) === true;
  }

  /** From now on failures count, by this rule; absent: they do not. */
  accrue(accrual: FailureAccrual | undefined): void {
    if (JSON.stringify(this.#breaker?.accrual) === JSON.stringify(accrual)) return;
    this.#breaker = accrual === undefined ? undefined : new Breaker(accrual, this.#context.random);
  }

  begin(): void {
    this.#inFlight += 1;
    this.#breaker?.admit();
  }

  end(): void {
    this.#inFlight -= 1;
    if (this.#inFlight === 0) this.#breaker?.idle();
  }

  observe(rttMs: number, nowMs: number): void {
    this.#failures = 0;
    this.#unreadyUntilMs = 0;
    this.#ewma.observe(rttMs, nowMs);
  }

  /** A connection for opaque bytes has been opened, the only success of it that can be seen. */
  connected(rttMs: number, nowMs: number): void {
    this.observe(rttMs, nowMs);
    this.#breaker?.record('success', nowMs);
  }

  markUnreachable(nowMs: number): void {
    this.#unreadyUntilMs = nowMs + Math.min(UNREADY_MAX_MS, UNREADY_MIN_MS * 2 ** this.#failures);
    this.#failures = Math.min(this.#failures + 1, 16);
    this.#breaker?.record('failure', nowMs);
  }

  /**
   * A new connection: mutual TLS where discovery names an identity, never less than that.
   *
   * @param session  what will be spoken; absent: opaque bytes
   * @throws ProxyError
   */
  async connect(session: 'http1' | 'http2' | undefined): Promise<Connection> {
    const connection = await this.#connect(session);
    this.#transport.opened();
    connection.socket.once('close', () => this.#transport.closed(connection.error));
    return connection;
  }

  [Symbol.dispose](): void {
    this.pool[Symbol.dispose]();
    this.requests[Symbol.dispose]();
    this.#transport[Symbol.dispose]();
  }

  get #isOwn(): boolean {
    return this.#context.ownAddresses.has(this.endpoint.address);
  }

  async #connect(session: 'http1' | 'http2' | undefined): Promise<Connection> {
    const { exemption, connectTimeoutMs: timeoutMs, connectKeepAliveMs: keepAliveMs } = this.#context;
    const { identity, address, port, protocolHint } = this.endpoint;
    const options = { exemption, timeoutMs, keepAliveMs };
    if (identity === undefined || this.#isOwn) {
      return new Connection(await connectTcp(address, port, options), this.#transport);
    }
    const credentials = this.#context.credentials();
    if (credentials === undefined) {
      throw new ProxyError(
        'no-credentials',
        `${identity.name} needs mutual TLS and this proxy has no valid certificate`,
      );
    }
    const announced = protocolHint === 'opaque' ? undefined : session;
    return connectMesh({ ...this.endpoint, identity }, this.#transport, {
      ...options,
      credentials,
      session: announced,
    });
  }

  #tlsLabels(): Labels {
    if (this.#isOwn) return noTlsLabels('loopback');
    const { identity } = this.endpoint;
    return identity === undefined
      ? noTlsLabels('not_provided_by_service_discovery')
      : { tls: 'true', server_id: identity.name };
  }
}

const GRPC_RESOURCE_EXHAUSTED = 8;

/** Request metrics that tell the outcome of each request to a breaker too. */
class ObservedRequests extends RequestMetrics {
  readonly #onOutcome: (outcome: Outcome) => void;

  constructor(metrics: TrafficMetrics, labels: Labels, onOutcome: (outcome: Outcome) => void) {
    super(metrics, labels);
    this.#onOutcome = onOutcome;
  }

  override response(status: number, latencyMs: number, grpcStatus?: number): void {
    super.response(status, latencyMs, grpcStatus);
    const hasFailed = status >= 500 || isGrpcFailure(grpcStatus);
    const isThrottled = status === 429 || grpcStatus === GRPC_RESOURCE_EXHAUSTED;
    this.#onOutcome(hasFailed ? 'failure' : isThrottled ? 'throttled' : 'success');
  }

  override failure(status: number, code: string): void {
    super.failure(status, code);
    if (code !== 'client-closed') this.#onOutcome('failure');
  }
}
