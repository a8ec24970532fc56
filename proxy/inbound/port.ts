import { isDeepStrictEqual } from 'node:util';
import { DecodeError } from '#api/decode/decode-error.ts';
import { decodeInboundServer } from '#api/decode/inbound.ts';
import { InboundServerPoliciesService } from '#api/gen/inbound.ts';
import type { Client } from '#model/authorization.ts';
import type { InboundServer } from '#model/inbound.ts';
import { DEFAULT_RETRY_BUDGET } from '#model/profile.ts';
import { formatResourceRef } from '#model/resource-ref.ts';
import { Watch } from '#runtime/watch.ts';
import { Connections } from '../balance/connections.ts';
import { Http2Pool } from '../balance/http2-pool.ts';
import { Pool, type RequestPool } from '../balance/pool.ts';
import { RetryBudget } from '../balance/retry-budget.ts';
import type { CacheValue } from '../discovery/cache.ts';
import { watchStream } from '../discovery/watch-stream.ts';
import { CounterMetrics } from '../metrics/counter.ts';
import type { Labels } from '../metrics/family.ts';
import { noTlsLabels, refLabels, targetLabels } from '../metrics/labels.ts';
import { RequestMetrics } from '../metrics/requests.ts';
import { TransportMetrics } from '../metrics/transport.ts';
import { connectTcp } from '../transport/connect.ts';
import { Connection } from '../transport/connection.ts';
import { AuditLog } from './audit-log.ts';
import type { InboundContext } from './context.ts';
import { RateLimiter } from './rate-limiter.ts';

/** Label sets kept per port. More clients than this share one set without `client_id`. */
const CLIENTS_MAX = 1000;

type VerdictFamily = 'httpAllow' | 'httpDeny' | 'httpLimited' | 'tcpAllow' | 'tcpDeny' | 'tcpTerminate';

/** Keeps one metrics object per label set. */
class Metered<M extends Disposable> implements Disposable {
  readonly #byKey = new Map<string, M>();
  readonly #make: (labels: Labels) => M;

  constructor(make: (labels: Labels) => M) {
    this.#make = make;
  }

  of(labels: Labels): M {
    const isFull = this.#byKey.size >= CLIENTS_MAX;
    const key = JSON.stringify(labels);
    let metrics = this.#byKey.get(key);
    if (metrics === undefined && isFull) {
      const { client_id: _dropped, ...others } = labels;
      metrics = this.#byKey.get(JSON.stringify(others));
      if (metrics === undefined) {
        metrics = this.#make(others);
        this.#byKey.set(JSON.stringify(others), metrics);
      }
    } else if (metrics === undefined) {
      metrics = this.#make(labels);
      this.#byKey.set(key, metrics);
    }
    return metrics;
  }

  [Symbol.dispose](): void {
    for (const metrics of this.#byKey.values()) metrics[Symbol.dispose]();
    this.#byKey.clear();
  }
}

/** A port of the application: its policy, the connections to it, and its metrics. */
export class InboundPort implements CacheValue {
  readonly address: string;
  readonly port: number;
  readonly repeats = new RetryBudget(DEFAULT_RETRY_BUDGET);
  readonly pool: RequestPool;
  readonly policy: Watch<InboundServer>;
  readonly targetLabels: Labels;
  /** Of the requests; absent: there is no limit. */
  rateLimiter: RateLimiter | undefined;
  readonly #context: InboundContext;
  readonly #audit: AuditLog;
  readonly #server: TransportMetrics;
  readonly #clients: Metered<TransportMetrics>;
  readonly #requests: Metered<RequestMetrics>;
  readonly #verdicts: Readonly<Record<VerdictFamily, Metered<CounterMetrics>>>;
  #stream: Disposable | undefined;

  constructor(address: string, port: number, context: InboundContext) {
    this.address = address;
    this.port = port;
    this.#context = context;
    this.#audit = new AuditLog(context.log, context.now);
    this.targetLabels = { direction: 'inbound', ...targetLabels(address, port) };
    this.policy = new Watch(context.defaultServer(port));
    this.#server = new TransportMetrics(context.metrics, {
      ...this.targetLabels,
      peer: 'dst',
      ...noTlsLabels('loopback'),
    });
    this.#clients = new Metered((labels) => new TransportMetrics(context.metrics, labels));
    this.#requests = new Metered((labels) => new RequestMetrics(context.metrics, labels));
    const counters = (family: VerdictFamily): Metered<CounterMetrics> =>
      new Metered((labels) => new CounterMetrics(context.metrics[family], labels));
    this.#verdicts = {
      httpAllow: counters('httpAllow'),
      httpDeny: counters('httpDeny'),
      httpLimited: counters('httpLimited'),
      tcpAllow: counters('tcpAllow'),
      tcpDeny: counters('tcpDeny'),
      tcpTerminate: counters('tcpTerminate'),
    };
    const http1 = new Pool(
      {
        connect: () => this.connect(),
        idleMs: context.poolIdleMs,
        idleMax: context.poolIdleMax,
        waitingMax: context.waitingMax,
      },
      context.now,
    );
    const connect = (): Promise<Connection> => this.connect();
    this.pool = new Connections(
      http1,
      new Http2Pool({ connect, waitingMax: context.waitingMax, mayUse: () => true, isPeer: false }, context.now),
      false,
    );
    this.wake();
  }

  /**
   * A new connection to the application, at the address the client asked for.
   * @throws ProxyError
   */
  async connect(): Promise<Connection> {
    const { exemption, connectTimeoutMs: timeoutMs } = this.#context;
    const socket = await connectTcp(this.address, this.port, { exemption, timeoutMs, keepAliveMs: 0 });
    const connection = new Connection(socket, this.#server);
    this.#server.opened();
    socket.once('close', () => this.#server.closed(connection.error));
    return connection;
  }

  /** @param tls  the labels that say how the client came */
  clientMetrics(tls: Labels): TransportMetrics {
    return this.#clients.of({ ...this.targetLabels, peer: 'src', ...tls, ...refLabels('srv', this.policy.value.ref) });
  }

  get random(): () => number {
    return this.#context.random;
  }

  readonly matchesPattern = (pattern: string, text: string): boolean => this.#context.patterns.matches(pattern, text);

  requestMetrics(labels: Labels): RequestMetrics {
    return this.#requests.of(labels);
  }

  /** @param labels  all but `direction`, which these families do not have */
  verdictMetrics(family: VerdictFamily, labels: Labels): CounterMetrics {
    const { direction: _inName, ...others } = labels;
    return this.#verdicts[family].of(others);
  }

  logDenial(client: Client, what: string): void {
    const server = formatResourceRef(this.policy.value.ref);
    this.#context.log.info({ client, port: this.port }, `${server} denies ${what}`);
  }

  /** @param what  was let in by nothing but the audit mode of the policy */
  logAudit(client: Client, what: string): void {
    this.#audit.add(client, this.port, this.policy.value.ref, what);
  }

  wake(): void {
    const { policy, log } = this.#context;
    const request = { workload: policy.workload, port: this.port };
    this.#stream = watchStream(policy.client, InboundServerPoliciesService.watchPort, request, {
      onMessage: (message) => {
        try {
          this.#apply(decodeInboundServer(message));
        } catch (error) {
          if (!(error instanceof DecodeError)) throw error;
          log.warn({ port: this.port, err: error }, 'the policy of a port cannot be used, keeping the one before');
        }
      },
      onRefused: (error) => log.warn({ port: this.port, err: error }, 'no policy for a port, keeping the one before'),
    });
  }

  sweep(): void {
    this.pool.sweep();
    this.rateLimiter?.sweep();
  }

  #apply(server: InboundServer): void {
    this.policy.set(server);
    const limit = 'rateLimit' in server.protocol ? server.protocol.rateLimit : undefined;
    // A change of something else must not give every client another burst.
    if (isDeepStrictEqual(limit, this.rateLimiter?.limit)) return;
    this.rateLimiter = limit && new RateLimiter(limit, this.#context.now);
  }

  rest(): void {
    this.#stream?.[Symbol.dispose]();
    this.#stream = undefined;
  }

  [Symbol.dispose](): void {
    this.rest();
    this.pool[Symbol.dispose]();
    this.#server[Symbol.dispose]();
    this.#clients[Symbol.dispose]();
    this.#requests[Symbol.dispose]();
    for (const verdicts of Object.values(this.#verdicts)) verdicts[Symbol.dispose]();
  }
}
