import type { Client, Denial, Verdict } from '#model/authorization.ts';
import { authorizeRequest, isUniform, type MatchedFilters, type RequestVerdict } from '#model/inbound.ts';
import type { RateLimitScope } from '#model/rate-limit.ts';
import { formatResourceRef, type ResourceRef } from '#model/resource-ref.ts';
import type { Destination, ServerEndpoint } from '../balance/destination.ts';
import { Dispatch, type DispatchOptions } from '../balance/dispatch.ts';
import type { RequestPool } from '../balance/pool.ts';
import type { RetryBudget } from '../balance/retry-budget.ts';
import { failedAtOnce } from '../decisions/decision.ts';
import { ProxyError } from '../errors.ts';
import { grpcStatusOf, isGrpcMessage } from '../grpc/status.ts';
import { NO_SINK, type RequestSink, type ResponseSink, type ServeRequest } from '../http/exchange.ts';
import type { RequestHead, ResponseHead } from '../http/head.ts';
import { AuthorizedHead } from '../http/matched-head.ts';
import { errorHead } from '../http/respond.ts';
import type { CounterMetrics } from '../metrics/counter.ts';
import type { Labels } from '../metrics/family.ts';
import { refLabels } from '../metrics/labels.ts';
import type { RequestMetrics } from '../metrics/requests.ts';
import type { EndpointMeta, TapHub, TapOrigin } from '../tap/hub.ts';
import { applyFilters } from './filters.ts';
import type { InboundPort } from './port.ts';
import type { RateLimiter } from './rate-limiter.ts';
import { mayOpenTunnel, TunnelExchange } from './tunnel-exchange.ts';

/** The application as the only endpoint of its port; metrics are of the client and verdict at hand. */
class Application implements ServerEndpoint, Destination {
  readonly pool: RequestPool;
  readonly requests: RequestMetrics;
  readonly verifiedIdentity = undefined;
  readonly isDynamic = false;
  readonly name: string;
  readonly meta: EndpointMeta;
  readonly repeats: RetryBudget;
  readonly endpoints: readonly ServerEndpoint[] = [this];

  /** @param labels  of the policy's verdict, for taps */
  constructor(port: InboundPort, requests: RequestMetrics, labels: Labels) {
    this.meta = { address: port.address, port: port.port, labels };
    this.pool = port.pool;
    this.repeats = port.repeats;
    this.requests = requests;
    this.name = port.targetLabels['target_addr'] ?? '';
  }

  pick(avoid: ReadonlySet<ServerEndpoint> | undefined): ServerEndpoint | undefined {
    return avoid?.has(this) === true ? undefined : this;
  }
  onChange(): Disposable {
    return { [Symbol.dispose]: () => {} };
  }
  load(): number {
    return 0;
  }
  isReady(): boolean {
    return true;
  }
  begin(): void {}
  end(): void {}
  observe(): void {}
  markUnreachable(): void {}
}

/** A verdict with what acting on it needs, prepared once. */
type Prepared = {
  readonly verdict: Verdict;
  readonly route: ResourceRef | undefined;
  readonly filters: MatchedFilters | undefined;
  readonly isProbe: boolean;
  readonly counter: CounterMetrics;
  readonly application: Application;
};

/** Authorizes and forwards the requests of one client connection. */
export class InboundRequests {
  readonly #port: InboundPort;
  readonly #client: Client;
  readonly #tlsLabels: Labels;
  readonly #fields: string;
  readonly #dispatch: DispatchOptions;
  readonly #tap: { readonly hub: TapHub; readonly origin: () => TapOrigin };
  readonly #onward: ServeRequest | undefined;
  #policyVersion = -1;
  /** The answer for every request, when the policy does not look at requests. */
  #uniform: Prepared | undefined;
  readonly #prepared = new Map<string, Prepared>();
  readonly #limited = new Map<RateLimitScope, CounterMetrics>();

  /** @param onward  of a gateway: where requests go instead of to the application */
  constructor(
    port: InboundPort,
    client: Client,
    tlsLabels: Labels,
    dispatch: DispatchOptions,
    tap: { readonly hub: TapHub; readonly origin: () => TapOrigin },
    onward: ServeRequest | undefined,
  ) {
    this.#tap = tap;
    this.#onward = onward;
    this.#port = port;
    this.#client = client;
    this.#tlsLabels = tlsLabels;
    this.#dispatch = dispatch;
    const { tls } = client;
    this.#fields = tls.kind === 'mesh' && tls.identity !== undefined ? `l5d-client-id: ${tls.identity}\r\n` : '';
  }

  serve(head: RequestHead, body: Buffer | undefined, isEnd: boolean, response: ResponseSink): RequestSink {
    const { verdict, route, isProbe, filters, counter, application } = this.#decide(head);
    counter.count();
    if (!verdict.isAllowed) {
      const { error, refs } = deniedBy(verdict, route, 'request');
      return this.#refuse(error, refs, application, head, response);
    }
    const { rateLimiter } = this.#port;
    if (rateLimiter !== undefined && !isProbe) {
      const error = this.#limit(rateLimiter);
      if (error !== undefined) return this.#refuse(error, [rateLimiter.limit.ref], application, head, response);
    }
    let sent = head;
    if (filters !== undefined) {
      const filtered = applyFilters(head, filters, this.#port.random);
      if (filtered.answer !== undefined) return this.#answer(filtered.answer, isEnd, application, head, response);
      sent = filtered.head;
    }
    if (!mayOpenTunnel(head)) return this.#send(sent, body, isEnd, application, response);
    const tunnel = new TunnelExchange(head, response, this.#port.policy, () => this.#findDenial(head));
    return tunnel.watch(this.#send(sent, body, isEnd, application, tunnel));
  }

  #send(
    head: RequestHead,
    body: Buffer | undefined,
    isEnd: boolean,
    application: Application,
    response: ResponseSink,
  ): RequestSink {
    if (this.#onward !== undefined) return this.#onward(head, body, isEnd, response);
    const tap = this.#tap.hub.begin(head, this.#tap.origin);
    const request = { head, fields: this.#fields, body, isEnd, tap };
    const dispatch = new Dispatch(this.#dispatch, application, request, response);
    dispatch.attempt();
    return dispatch;
  }

  /** @returns why the policy of now does not let in the request of a tunnel, counted and on record */
  #findDenial(head: RequestHead): ProxyError | undefined {
    const { verdict, route } = this.#decide(head);
    if (verdict.isAllowed) return undefined;
    const { error, refs } = deniedBy(verdict, route, 'tunnel of the request');
    const { targetLabels, policy } = this.#port;
    const labels = { ...targetLabels, ...this.#tlsLabels, ...refLabels('srv', policy.value.ref) };
    this.#port.verdictMetrics('tcpTerminate', labels).count();
    this.#dispatch.onError(error, failedAtOnce(head, this.#dispatch.now(), refs));
    return error;
  }

  /** @param refs  the objects that decided */
  #refuse(
    error: ProxyError,
    refs: readonly ResourceRef[],
    application: Application,
    head: RequestHead,
    response: ResponseSink,
  ): RequestSink {
    application.requests.request();
    application.requests.response(error.status, 0);
    const tap = this.#tap.hub.begin(head, this.#tap.origin);
    tap?.sent(application.meta);
    tap?.received(errorHead(error, head.isHttp2 && isGrpcMessage(head)), undefined);
    tap?.ended('complete');
    this.#dispatch.onError(error, failedAtOnce(head, this.#dispatch.now(), refs));
    response.fail(error);
    this.#dispatch.onDone();
    return NO_SINK;
  }

  /** A filter answers instead of the application. */
  #answer(
    answer: ResponseHead,
    isEnd: boolean,
    application: Application,
    head: RequestHead,
    response: ResponseSink,
  ): RequestSink {
    application.requests.request();
    application.requests.response(answer.status, 0, head.isHttp2 ? grpcStatusOf(answer) : undefined);
    const tap = this.#tap.hub.begin(head, this.#tap.origin);
    tap?.sent(application.meta);
    tap?.received(answer, undefined);
    tap?.ended('complete');
    if (answer.proxyError !== undefined) {
      this.#dispatch.onErrorResponse?.(answer.proxyError, answer.status, failedAtOnce(head, this.#dispatch.now()));
    }
    // What is still to come of the request is dropped.
    if (!isEnd) response.resumeRequest();
    response.respond(answer, undefined, true);
    this.#dispatch.onDone();
    return NO_SINK;
  }

  /** @returns why the request is one too many, if it is */
  #limit(limiter: RateLimiter): ProxyError | undefined {
    const { tls } = this.#client;
    const exceeded = limiter.take(tls.kind === 'mesh' ? tls.identity : undefined);
    if (exceeded === undefined) return undefined;
    const { scope, requestsPerSecond } = exceeded;
    const { ref } = limiter.limit;
    let counter = this.#limited.get(scope);
    if (counter === undefined) {
      const labels = {
        ...this.#port.targetLabels,
        ...refLabels('srv', this.#port.policy.value.ref),
        ...this.#tlsLabels,
      };
      const which = { ...refLabels('ratelimit', ref), ratelimit_scope: scope };
      counter = this.#port.verdictMetrics('httpLimited', { ...labels, ...which });
      this.#limited.set(scope, counter);
    }
    counter.count();
    const whose = scope === 'total' ? 'of all clients together' : 'of this client';
    return new ProxyError(
      'rate-limited',
      `${formatResourceRef(ref)} allows ${requestsPerSecond} requests per second ${whose}`,
    );
  }

  #decide(head: RequestHead): Prepared {
    const { policy } = this.#port;
    if (policy.version !== this.#policyVersion) {
      this.#policyVersion = policy.version;
      this.#prepared.clear();
      this.#limited.clear();
      this.#uniform = isUniform(policy.value)
        ? this.#prepare(
            authorizeRequest(policy.value, this.#client, new AuthorizedHead(head, this.#port.matchesPattern)),
          )
        : undefined;
    }
    return (
      this.#uniform ??
      this.#prepare(authorizeRequest(policy.value, this.#client, new AuthorizedHead(head, this.#port.matchesPattern)))
    );
  }

  #prepare({ route, verdict, filters }: RequestVerdict): Prepared {
    const decider = verdict.isAllowed ? verdict.authorization : verdict.server;
    const key = JSON.stringify([route, verdict.isAllowed, decider, filters]);
    const known = this.#prepared.get(key);
    if (known !== undefined) return known;
    const policyLabels: Labels = {
      ...refLabels('srv', this.#port.policy.value.ref),
      ...(route === undefined ? {} : refLabels('route', route)),
      ...(verdict.isAllowed ? refLabels('authz', verdict.authorization) : {}),
    };
    const labels: Labels = { ...this.#port.targetLabels, ...this.#tlsLabels, ...policyLabels };
    const prepared: Prepared = {
      verdict,
      route,
      filters,
      isProbe: isProbe(verdict, this.#client),
      counter: this.#port.verdictMetrics(verdict.isAllowed ? 'httpAllow' : 'httpDeny', labels),
      application: new Application(this.#port, this.#port.requestMetrics(labels), policyLabels),
    };
    this.#prepared.set(key, prepared);
    // Once for each connection, policy and verdict: a client that goes on asking does not fill the log.
    if (!verdict.isAllowed) this.#port.logDenial(this.#client, `the request${ofRoute(route)}: ${verdict.reason}`);
    else if (verdict.isAudited) this.#port.logAudit(this.#client, `the request${ofRoute(route)}`);
    return prepared;
  }
}

/** @returns why something is denied, and the objects that decided */
function deniedBy(
  { server, reason }: Denial,
  route: ResourceRef | undefined,
  what: 'request' | 'tunnel of the request',
): { readonly error: ProxyError; readonly refs: readonly ResourceRef[] } {
  const code = route !== undefined ? 'unauthorized' : 'no-route';
  const error = new ProxyError(code, `${formatResourceRef(server)} denies the ${what}${ofRoute(route)}: ${reason}`);
  return { error, refs: route?.type === 'resource' ? [server, route] : [server] };
}

/** Which rules a request has matched, where an object gave them. */
function ofRoute(route: ResourceRef | undefined): string {
  return route?.type === 'resource' ? ` of ${formatResourceRef(route)}` : '';
}

/**
 * Whether a request is of the kubelet, which restarts pods that do not answer: it has no part in the mesh, and the authorization for
 * probes lets it in. What others ask for at the path of a probe is like any other request.
 */
function isProbe(verdict: Verdict, { tls }: Client): boolean {
  if (!verdict.isAllowed || tls.kind !== 'none') return false;
  return verdict.authorization.type === 'default' && verdict.authorization.name === 'probe';
}
