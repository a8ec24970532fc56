import { formatSocketAddress } from '#model/address.ts';
import { ATTEMPTS_MAX } from '../decisions/decision-log.ts';
import type { FailedAttempt, FailedRequest } from '../decisions/decision.ts';
import { ProxyError, retryOfPeerError, type Retry } from '../errors.ts';
import { grpcStatus, grpcStatusOf } from '../grpc/status.ts';
import type { RequestSink, ResponseSink, ServerExchange } from '../http/exchange.ts';
import type { RequestHead, ResponseHead } from '../http/head.ts';
import { isIdempotent, ReplayBody } from '../http/replay.ts';
import type { EndpointMeta, TapExchange } from '../tap/hub.ts';
import type { Connection } from '../transport/connection.ts';
import type { Destination, ServerEndpoint } from './destination.ts';
import type { Waiter } from './pool.ts';

/** Attempts that may have reached an application; those that certainly did not are bounded by time only. */
const SENT_ATTEMPTS_MAX = 3;
/** How long connecting is tried anew when every endpoint has failed. */
const RETRY_WINDOW_MS = 1000;
const RETRY_PAUSE_MS = 50;

export type DispatchOptions = {
  readonly failFastMs: number; // how long a request waits for a destination to have an endpoint
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** Called when the proxy itself fails a request. */
  readonly onError: (error: ProxyError, failed: FailedRequest) => void;
  /** Called when a response is passed on that says why a peer proxy, or a filter, answers instead of the application. */
  readonly onErrorResponse?: (proxyError: string, status: number, failed: FailedRequest) => void;
  /** Whether a request that may have reached an application may be sent again now; absent: the destination decides. */
  readonly mayRepeat?: () => boolean | undefined;
  /** Called once per dispatch, when it needs no more of the proxy's capacity. */
  readonly onDone: () => void;
};

/**
 * One request on its way to a destination: picks an endpoint, sends, and tries again where that is safe. Sits between
 * the client's connection (whose `RequestSink` it is) and the server's (whose `ResponseSink` it is).
 */
export class Dispatch implements RequestSink, ResponseSink, Waiter {
  readonly #options: DispatchOptions;
  readonly #destination: Destination;
  readonly #head: RequestHead;
  readonly #fields: string;
  readonly #client: ResponseSink;
  readonly #tap: TapExchange | undefined;
  readonly #body: ReplayBody;
  readonly #startedMs: number;
  readonly #isRepeatable: boolean;
  #endpoint: ServerEndpoint | undefined;
  #lastEndpoint: ServerEndpoint | undefined; // also when it is over
  #server: ServerExchange | undefined;
  #trailers = ''; // of the request
  #sentMs = 0;
  #sentAttempts = 0;
  #avoid: Set<ServerEndpoint> | undefined;
  #lastError: ProxyError | undefined;
  #failedAttempts: FailedAttempt[] | undefined;
  #grpcStatus: number | undefined;
  #status = 0; // of the response that is passed on; 0 before
  #latencyMs = 0;
  #isResponseDone = false;
  #isOver = false;
  #waiting: Disposable | undefined;

  /** @param fields  added to the request, each with its CRLF */
  constructor(
    options: DispatchOptions,
    destination: Destination,
    request: {
      readonly head: RequestHead;
      readonly fields: string;
      readonly body: Buffer | undefined;
      readonly isEnd: boolean;
      readonly tap?: TapExchange | undefined;
    },
    client: ResponseSink,
  ) {
    this.#options = options;
    this.#destination = destination;
    this.#head = request.head;
    this.#fields = request.fields;
    this.#client = client;
    this.#tap = request.tap;
    this.#body = new ReplayBody(request.body, request.isEnd);
    this.#isRepeatable = isIdempotent(request.head.method);
    this.#startedMs = options.now();
    destination.repeats.deposit(this.#startedMs);
  }

  /** Begins the first attempt, or another one. */
  attempt(): void {
    const endpoint = this.#destination.pick(this.#avoid);
    if (endpoint === undefined) {
      this.#awaitEndpoint();
      return;
    }
    const required = this.#head.requiredIdentity;
    if (required !== undefined && endpoint.verifiedIdentity !== required) {
      const actual = endpoint.verifiedIdentity ?? 'none';
      this.#giveUp(new ProxyError('identity-required', `identity ${required} is required, the endpoint has ${actual}`));
      return;
    }
    this.#endpoint = endpoint;
    this.#lastEndpoint = endpoint;
    endpoint.begin();
    // A second attempt goes over a fresh connection: what ended one idle connection may have ended them all.
    const server = this.#sentAttempts === 0 ? endpoint.pool.take(this.#head, this.#isRepeatable) : undefined;
    if (server === undefined) endpoint.pool.wait(this.#head, this);
    else this.onClient(server);
  }

  onClient(server: ServerExchange): void {
    this.#server = server;
    this.#sentMs = this.#options.now();
    this.#sentAttempts += 1;
    this.#endpoint?.requests.request();
    this.#tap?.sent(this.#endpoint?.meta);
    const body = this.#body;
    const hasRoom = server.start(this.#head, this.#fields, body.content, body.isEnded && this.#trailers === '', this);
    if (body.isEnded && this.#trailers !== '') server.send(undefined, true, this.#trailers);
    body.trim();
    if (hasRoom && !body.isEnded) this.#client.resumeRequest();
  }

  onError(error: ProxyError): void {
    this.#failAttempt(error);
  }

  send(body: Buffer | undefined, isEnd: boolean, trailers = ''): boolean {
    if (this.#isOver) return true;
    this.#trailers = trailers;
    if (this.#server === undefined) {
      this.#body.hold(body, isEnd);
      return false;
    }
    if (body !== undefined) this.#body.add(body);
    this.#body.isEnded = isEnd;
    const hasRoom = this.#server.send(body, isEnd, trailers);
    if (isEnd && this.#isResponseDone) this.#finish();
    return hasRoom;
  }

  /** @param cause  why the proxy itself ends the request; absent: the client is gone */
  abort(cause?: ProxyError): void {
    if (this.#isOver) return;
    const endpoint = this.#endpoint;
    const server = this.#server;
    if (server === undefined) endpoint?.pool.giveUp(this);
    else if (!this.#isResponseDone) {
      endpoint?.requests.failure(cause?.status ?? 499, cause?.code ?? 'client-closed');
      this.#tap?.ended('cancelled');
    }
    this.#finish();
    server?.abort();
  }

  inform(head: ResponseHead): void {
    // No proxy gives its reason before its answer: this is an application that forges one.
    this.#client.inform(head.proxyError === undefined ? head : { ...head, proxyError: undefined });
  }

  respond(head: ResponseHead | undefined, body: Buffer | undefined, isEnd: boolean, trailers = ''): boolean {
    if (this.#isOver) return true;
    // Errors of another proxy are believed only from a peer whose identity is verified.
    const isBelieved = head?.proxyError === undefined || this.#endpoint?.verifiedIdentity !== undefined;
    const shown = isBelieved ? head : { ...head, proxyError: undefined };
    this.#tap?.received(shown, body);
    if (head !== undefined) {
      if (shown?.proxyError !== undefined) {
        if (this.#triesElsewhere(head, isEnd)) return true;
        this.#note(shown.proxyError);
        this.#options.onErrorResponse?.(shown.proxyError, head.status, this.#failed);
      } else this.#destination.repeats.succeeded();
      this.#status = head.status;
      if (this.#head.isHttp2) this.#grpcStatus = grpcStatusOf(head);
      const nowMs = this.#options.now();
      this.#latencyMs = nowMs - this.#sentMs;
      this.#endpoint?.observe(this.#latencyMs, nowMs);
      this.#body.drop();
    }
    if (isEnd) {
      this.#isResponseDone = true;
      this.#endpoint?.requests.response(this.#status, this.#latencyMs, grpcStatus(trailers) ?? this.#grpcStatus);
      this.#tap?.ended('complete', trailers);
      if (this.#body.isEnded) this.#finish();
    }
    return this.#client.respond(shown, body, isEnd, trailers);
  }

  fail(error: ProxyError): void {
    if (this.#isOver) return;
    if (this.#isResponseDone) {
      // The server has answered and does not want the rest of the request: the client may send it, to nobody.
      this.#finish();
      this.#client.resumeRequest();
      return;
    }
    this.#tap?.ended('failed');
    this.#endpoint?.requests.failure(this.#status === 0 ? error.status : this.#status, error.code);
    this.#failAttempt(error);
  }

  resumeRequest(): void {
    this.#client.resumeRequest();
  }

  resumeResponse(): void {
    this.#server?.resumeResponse();
  }

  switchProtocols(head: ResponseHead, server: Connection, early: Buffer): void {
    this.#endpoint?.requests.response(head.status, this.#options.now() - this.#sentMs);
    this.#tap?.received(head, undefined);
    this.#tap?.ended('complete');
    this.#finish();
    this.#client.switchProtocols(head, server, early);
  }

  /** @param isRepeated  it is decided already that there is another attempt */
  #failAttempt(error: ProxyError, isRepeated = false): void {
    const endpoint = this.#endpoint;
    const wasReused = this.#server !== undefined && this.#server.exchanges > 1;
    this.#note(`${error.code}: ${error.message}`);
    this.#release();
    if (endpoint !== undefined && error.retry === 'safe') endpoint.markUnreachable(this.#options.now());
    if (this.#status !== 0 || !(isRepeated || this.#mayRepeat(error.retry))) {
      this.#giveUp(error);
      return;
    }
    this.#lastError = error;
    // A connection that had been idle says nothing about the endpoint.
    if (endpoint !== undefined && !wasReused) (this.#avoid ??= new Set()).add(endpoint);
    this.attempt();
  }

  #mayRepeat(retry: Retry): boolean {
    if (!this.#body.isWhole) return false;
    if (retry === 'safe') return true;
    if (retry !== 'idempotent' || !this.#isRepeatable || this.#sentAttempts >= SENT_ATTEMPTS_MAX) return false;
    return this.#options.mayRepeat?.() ?? this.#destination.repeats.withdraw(this.#options.now());
  }

  /** A peer proxy says that it could not deliver the request: then another endpoint may. */
  #triesElsewhere(head: ResponseHead, isEnd: boolean): boolean {
    const retry = retryOfPeerError(head.proxyError ?? '');
    if (retry === 'never' || !this.#mayRepeat(retry)) return false;
    this.#endpoint?.requests.response(head.status, this.#options.now() - this.#sentMs);
    this.#tap?.ended('complete');
    // While the rest of the request is open, what becomes of it must not be taken for the outcome of the next attempt.
    if (!isEnd || !this.#body.isEnded) this.#server?.abort();
    // The connection is fine, the application behind it is not: another endpoint is needed.
    this.#server = undefined;
    this.#failAttempt(new ProxyError('connect-failed', `at the endpoint: ${head.proxyError}`, { retry }), true);
    return true;
  }

  /** No endpoint is left to try: wait for a change, or a moment, within bounds. */
  #awaitEndpoint(): void {
    const { endpoints, isDynamic, name } = this.#destination;
    const windowMs = endpoints.length === 0 ? this.#options.failFastMs : RETRY_WINDOW_MS;
    const leftMs = this.#startedMs + windowMs - this.#options.now();
    if (leftMs <= 0 || !isDynamic) {
      this.#giveUp(this.#lastError ?? new ProxyError('no-endpoint', `${name} has had no endpoint for ${windowMs} ms`));
      return;
    }
    this.#avoid = undefined;
    const wake = (): void => {
      this.#stopWaiting();
      this.attempt();
    };
    const timer = setTimeout(wake, endpoints.length === 0 ? leftMs : Math.min(leftMs, RETRY_PAUSE_MS));
    const change = this.#destination.onChange(wake);
    this.#waiting = {
      [Symbol.dispose]: () => {
        clearTimeout(timer);
        change[Symbol.dispose]();
      },
    };
  }

  #stopWaiting(): void {
    this.#waiting?.[Symbol.dispose]();
    this.#waiting = undefined;
  }

  /** The endpoint of the last attempt. */
  get endpoint(): EndpointMeta | undefined {
    return this.#lastEndpoint?.meta;
  }

  get endpointName(): string | undefined {
    return this.endpoint && formatSocketAddress(this.endpoint.address, this.endpoint.port);
  }

  get #failed(): FailedRequest {
    return { head: this.#head, startedMs: this.#startedMs, attempts: this.#failedAttempts ?? [], refs: [] };
  }

  #note(outcome: string): void {
    const endpoint = this.endpointName;
    if (endpoint === undefined || (this.#failedAttempts?.length ?? 0) >= ATTEMPTS_MAX) return;
    (this.#failedAttempts ??= []).push({ endpoint, outcome });
  }

  #giveUp(error: ProxyError): void {
    this.#options.onError(error, this.#failed);
    this.#finish();
    this.#client.fail(error);
  }

  #release(): void {
    this.#endpoint?.end();
    this.#endpoint = undefined;
    this.#server = undefined;
  }

  #finish(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#stopWaiting();
    this.#body.drop();
    this.#release();
    this.#options.onDone();
  }
}
