import type { Ratio } from '#model/filter.ts';
import { formatResourceRef, type ResourceRef } from '#model/resource-ref.ts';
import { TIMER_MS_MAX } from '#runtime/clock.ts';
import { Dispatch, type DispatchOptions } from '../balance/dispatch.ts';
import type { FailedAttempt, FailedRequest } from '../decisions/decision.ts';
import { ATTEMPTS_MAX } from '../decisions/decision-log.ts';
import { ProxyError } from '../errors.ts';
import { grpcStatus, grpcStatusOf, isGrpcMessage } from '../grpc/status.ts';
import { NO_SINK, type RequestSink, type ResponseSink } from '../http/exchange.ts';
import { modifyFields, modifyRequest, redirectedPath, redirectLocation, rewriteHead } from '../http/head-edit.ts';
import type { RequestHead, ResponseHead } from '../http/head.ts';
import { ReplayBody } from '../http/replay.ts';
import { injectedGrpcHead, injectedHead, redirectHead } from '../http/respond.ts';
import type { TapExchange } from '../tap/hub.ts';
import type { Connection } from '../transport/connection.ts';
import { pauseMs } from './breaker.ts';
import { Deadline, type Deadlines } from './deadlines.ts';
import type { MirroredRequest, MirrorPlan, Mirrors } from './mirror.ts';
import type { Plan, PlanFilter, Way } from './plan.ts';
import type { Session } from './sessions.ts';

/** How long the rest of a response that is not wanted may take: a finished one keeps its connection. */
const DISCARD_MS = 1000;

/**
 * How long a gRPC response is held back for its status: a call that fails without a message has it right behind the
 * head, and can be retried as long as the head was not passed on.
 */
const GRPC_STATUS_WAIT_MS = 100;

export type RoutedRequestOptions = DispatchOptions & {
  readonly random: () => number;
  readonly mirrors: Mirrors;
  readonly deadlines: Deadlines;
};

/**
 * One request on a route: filters, choice of backend, retries and timeouts. Every attempt is a `Dispatch` of its own,
 * whose responses come to an `Attempt`.
 */
export class RoutedRequest extends Deadline implements RequestSink, DispatchOptions {
  readonly failFastMs: number;
  readonly now: () => number;
  readonly #options: DispatchOptions;
  readonly #random: () => number;
  readonly #mirrors: Mirrors;
  readonly #plan: Plan;
  readonly #client: ResponseSink;
  readonly #tap: (head: RequestHead) => TapExchange | undefined;
  readonly #body: ReplayBody;
  readonly #startedMs: number;
  readonly #deadlines: Deadlines;
  /** When the route's limits end. */
  #requestAtMs = Number.POSITIVE_INFINITY;
  #responseAtMs = Number.POSITIVE_INFINITY;
  #idleAtMs = Number.POSITIVE_INFINITY;
  #timer: NodeJS.Timeout | undefined; // of a delay or of the pause before a retry
  readonly #session: Session | undefined;
  #responseFilters: PlanFilter[] | undefined;
  #head: RequestHead;
  #dispatch: RequestSink = NO_SINK;
  #attempt: Attempt | undefined;
  #way: Way | undefined; // of the last attempt
  #failedAttempts: FailedAttempt[] | undefined;
  #mirrored: MirroredRequest[] | undefined;
  #delayMs = 0; // that filters ask for
  #isHeld = false; // by a delay: what comes waits here
  #trailers = ''; // that came meanwhile
  #retries = 0;
  #status = 0; // of the response that is passed on
  #grpcStatus: number | undefined; // of it
  #latencyMs = 0;
  #isResponseDone = false;
  #isOver = false;

  constructor(
    options: RoutedRequestOptions,
    plan: Plan,
    request: {
      readonly head: RequestHead;
      readonly body: Buffer | undefined;
      readonly isEnd: boolean;
      /** Each attempt is shown to taps on its own. */
      readonly tap: (head: RequestHead) => TapExchange | undefined;
    },
    client: ResponseSink,
  ) {
    super();
    this.#options = options;
    this.#deadlines = options.deadlines;
    this.failFastMs = options.failFastMs;
    this.now = options.now;
    this.#random = options.random;
    this.#mirrors = options.mirrors;
    this.#plan = plan;
    this.#head = request.head;
    this.#session = plan.sessions?.of(request.head);
    this.#tap = request.tap;
    this.#client = client;
    this.#body = new ReplayBody(request.body, request.isEnd);
    this.#startedMs = options.now();
  }

  get plan(): Plan {
    return this.#plan;
  }

  start(): void {
    const { metrics, budget, timeouts, filters } = this.#plan;
    metrics.request();
    budget?.deposit(this.#startedMs);
    const refused = this.#filter(filters);
    if (refused !== undefined && this.#delayMs === 0) {
      this.#answer(refused);
      return;
    }
    const { requestMs = 0 } = timeouts;
    if (requestMs > 0) this.#requestAtMs = this.#startedMs + requestMs;
    if (this.#body.isEnded) this.#awaitResponse(this.#startedMs);
    this.#tick(this.#startedMs);
    this.#setDeadline();
    if (this.#delayMs === 0) this.#tryOnce();
    else this.#hold(() => (refused === undefined ? this.#tryOnce() : this.#answer(refused)));
  }

  /** Of an attempt, whose errors and end are looked at here. */
  onError(_error: ProxyError, { attempts }: FailedRequest): void {
    for (const { endpoint, outcome } of attempts) this.#note(endpoint, outcome);
  }

  onDone(): void {}

  /** Whether an attempt may send again what may have reached an application; without retries its destination decides. */
  mayRepeat(): boolean | undefined {
    return this.#plan.retry?.budget.withdraw(this.now());
  }

  send(body: Buffer | undefined, isEnd: boolean, trailers = ''): boolean {
    if (this.#isOver) return true;
    // A body with trailers is sent once.
    if (trailers !== '' && !this.#isHeld) this.#body.drop();
    this.#tick();
    if (this.#mirrored !== undefined) for (const copy of this.#mirrored) copy.add(body, isEnd, trailers);
    if (this.#isHeld) this.#body.hold(body, isEnd);
    else if (body !== undefined) this.#body.add(body);
    this.#body.isEnded = isEnd;
    if (isEnd && this.#plan.timeouts.responseMs !== undefined) {
      this.#awaitResponse(this.#options.now());
      this.#setDeadline();
    }
    if (this.#isHeld) {
      this.#trailers = trailers;
      return false;
    }
    const hasRoom = this.#dispatch.send(body, isEnd, trailers);
    if (isEnd && this.#isResponseDone) this.#finish();
    return hasRoom;
  }

  resumeResponse(): void {
    this.#dispatch.resumeResponse();
  }

  abort(): void {
    if (this.#isOver) return;
    const dispatch = this.#dispatch;
    if (!this.#isResponseDone) this.#count(499, 'client-closed');
    this.#finish();
    dispatch.abort();
  }

  /**
   * Of an attempt: a response begins.
   *
   * @param grpc  status of gRPC, if it is known already
   * @returns whether another attempt is made instead
   */
  onHead({ status }: ResponseHead, grpc: number | undefined): boolean {
    const { retry, isFailure, budget, metrics } = this.#plan;
    if (retry?.isFailure(status, grpc) === true && this.#mayRetry()) {
      this.#note(this.#endpointName, grpc === undefined ? `status ${status}` : `grpc-status ${grpc}`);
      this.#retryLater();
      return true;
    }
    if (!isFailure(status, grpc)) {
      budget?.succeeded();
      if (this.#retries > 0) metrics.retry('successes');
    }
    this.#status = status;
    this.#grpcStatus = grpc;
    this.#latencyMs = this.#options.now() - this.#startedMs;
    this.#body.drop();
    return false;
  }

  onResponse(head: ResponseHead | undefined, body: Buffer | undefined, isEnd: boolean, trailers: string): boolean {
    this.#tick();
    let shown = head;
    if (head?.proxyError !== undefined) {
      this.#note(this.#endpointName, head.proxyError);
      this.#options.onErrorResponse?.(head.proxyError, head.status, this.#failed);
    }
    if (shown !== undefined) {
      for (const filter of this.#responseFilters ?? []) {
        if (filter.kind === 'response-headers') shown = { ...shown, lines: modifyFields(shown.lines, filter) };
      }
      if (this.#session !== undefined) shown = this.#withSession(this.#session, shown);
    }
    if (isEnd) {
      this.#isResponseDone = true;
      if (this.#head.isHttp2) this.#grpcStatus = grpcStatus(trailers) ?? this.#grpcStatus;
      this.#count(this.#status, '');
      if (this.#body.isEnded) this.#finish();
    }
    return this.#client.respond(shown, body, isEnd, trailers);
  }

  onFailure(error: ProxyError): void {
    if (this.#status === 0 && this.#isRetried(error) && this.#mayRetry()) {
      this.#retryLater();
      return;
    }
    this.#fail(error);
  }

  /** An attempt has not answered in time. @returns whether it is given up */
  onAttemptTimeout(): boolean {
    if (!this.#mayRetry()) return false;
    this.#note(this.#endpointName, 'attempt-timeout');
    this.#retryLater();
    return true;
  }

  onSwitch(head: ResponseHead, server: Connection, early: Buffer): void {
    this.#count(head.status, '');
    this.#finish();
    const shown = this.#session === undefined ? head : this.#withSession(this.#session, head);
    this.#client.switchProtocols(shown, server, early);
  }

  onInform(head: ResponseHead): void {
    this.#client.inform(head);
  }

  resumeRequest(): void {
    this.#client.resumeRequest();
  }

  /** The head of a gRPC response is worth holding back, since the status behind it may be retried. */
  awaitsGrpcStatus(head: ResponseHead): boolean {
    return this.#plan.retry !== undefined && this.#head.isHttp2 && isGrpcMessage(head);
  }

  #tryOnce(): void {
    // A session whose endpoint has failed goes on wherever the next attempt is answered.
    const own = this.#retries === 0 ? this.#session?.way() : undefined;
    const way = own ?? this.#plan.choose();
    if (way instanceof ProxyError) {
      this.#fail(way);
      return;
    }
    const original = this.#head;
    const answered = this.#filter(way.filters);
    const head = this.#head;
    this.#head = original;
    if (this.#delayMs > 0) {
      this.#hold(() => (answered === undefined ? this.#send(way, head) : this.#answer(answered)));
    } else if (answered !== undefined) this.#answer(answered);
    else this.#send(way, head);
  }

  #send(way: Way, head: RequestHead): void {
    this.#way = way;
    const { metrics, retry } = this.#plan;
    metrics.attempt(way.ref);
    const canRepeat = retry !== undefined && this.#retries < retry.maxRetries;
    const timeoutMs = canRepeat ? retry.timeoutMs : undefined;
    const attempt = new Attempt(this, way.ref, this.#options.now, head.isHttp2, timeoutMs);
    const trailers = this.#trailers;
    const isEnd = this.#body.isEnded && trailers === '';
    const request = { head, fields: '', body: this.#body.content, isEnd, tap: this.#tap(head) };
    const dispatch = new Dispatch(this, way.destination, request, attempt);
    attempt.dispatch = dispatch;
    this.#attempt = attempt;
    this.#dispatch = dispatch;
    this.#body.trim();
    if (retry === undefined || trailers !== '') this.#body.drop();
    dispatch.attempt();
    if (trailers !== '') dispatch.send(undefined, true, trailers);
  }

  /** Goes on after the delay that filters ask for. */
  #hold(next: () => void): void {
    this.#isHeld = true;
    this.#timer = setTimeout(() => {
      this.#isHeld = false;
      next();
    }, this.#delayMs);
    this.#delayMs = 0;
  }

  #mirror(plan: MirrorPlan): void {
    // Once, however many attempts are made.
    if (this.#mirrored?.some((copy) => copy.plan === plan) === true) return;
    const copy = this.#mirrors.begin(plan, this.#head, this.#body.content, this.#body.isEnded, this.#tap);
    if (copy !== undefined) (this.#mirrored ??= []).push(copy);
  }

  #isChosen(ratio: Ratio | undefined): boolean {
    return ratio === undefined || this.#random() * ratio.denominator < ratio.numerator;
  }

  #isRetried(error: ProxyError): boolean {
    const { retry } = this.#plan;
    if (retry === undefined || error.code === 'load-shed') return false;
    return error.code === 'no-endpoint' || error.retry !== 'never';
  }

  #mayRetry(): boolean {
    const { retry, metrics } = this.#plan;
    if (retry === undefined || this.#isOver || this.#isResponseDone || this.#status !== 0) return false;
    if (!this.#body.isEnded || !this.#body.isWhole || this.#head.bodyBytes > retry.maxRequestBytes) return false;
    if (this.#retries >= retry.maxRetries) {
      metrics.retry('limit_exceeded');
      return false;
    }
    if (!retry.budget.withdraw(this.#options.now())) {
      metrics.retry('overflow');
      return false;
    }
    metrics.retry('requests');
    return true;
  }

  #retryLater(): void {
    const backoff = this.#plan.retry?.backoff;
    const delayMs = backoff === undefined ? 0 : pauseMs(backoff, this.#retries, this.#random());
    this.#retries += 1;
    this.#dispatch = NO_SINK;
    this.#attempt = undefined;
    this.#timer = setTimeout(() => this.#tryOnce(), delayMs);
  }

  /** Changes the head. @returns what a filter answers instead of a backend */
  #filter(filters: readonly PlanFilter[]): ResponseHead | undefined {
    for (const filter of filters) {
      switch (filter.kind) {
        case 'request-headers':
          this.#head = modifyRequest(this.#head, filter);
          break;
        case 'response-headers':
          if (this.#responseFilters?.includes(filter) !== true) (this.#responseFilters ??= []).push(filter);
          break;
        case 'redirect': {
          const authority = this.#head.authority ?? '';
          const location = redirectLocation(filter, redirectedPath(this.#head), authority, this.#plan.prefix);
          return redirectHead(filter.status, location);
        }
        case 'rewrite':
          this.#head = rewriteHead(this.#head, filter, this.#plan.prefix);
          break;
        case 'mirror':
          if (this.#isChosen(filter.ratio)) this.#mirror(filter);
          break;
        case 'delay':
          if (this.#isChosen(filter.ratio)) this.#delayMs += filter.delayMs;
          break;
        case 'failure': {
          const { ratio, status, message } = filter;
          if (!this.#isChosen(ratio)) break;
          return injectedHead(status, message);
        }
        case 'grpc-failure': {
          if (!this.#isChosen(filter.ratio)) break;
          return injectedGrpcHead(filter.code, filter.message);
        }
      }
    }
    return undefined;
  }

  /** An answer of the route itself. */
  #answer(head: ResponseHead): void {
    this.#status = head.status;
    this.#grpcStatus = this.#head.isHttp2 ? grpcStatusOf(head) : undefined;
    this.#isResponseDone = true;
    if (head.proxyError !== undefined) {
      this.#options.onErrorResponse?.(head.proxyError, head.status, this.#failed);
    }
    this.#count(head.status, '');
    // What is still to come of the request is dropped, here or by a client who forgets us when it is answered.
    this.#dispatch = NO_SINK;
    const isOpen = !this.#body.isEnded;
    this.#finish();
    if (isOpen) this.#client.resumeRequest();
    this.#client.respond(head, undefined, true);
  }

  #fail(error: ProxyError): void {
    this.#options.onError(error, this.#failed);
    this.#count(error.status, error.code);
    this.#finish();
    this.#client.fail(error);
  }

  #count(status: number, error: string): void {
    const { metrics, isFailure } = this.#plan;
    const durationMs = this.#options.now() - this.#startedMs;
    const grpc = this.#grpcStatus;
    const hasFailed = error !== '' || isFailure(status, grpc);
    metrics.finished({ status, grpcStatus: grpc, error }, hasFailed, this.#latencyMs, durationMs);
  }

  /** The earliest of the limits has come. */
  override onDeadline(): void {
    if (this.#isOver) return;
    const nowMs = this.#options.now();
    const { requestMs, responseMs, idleMs } = this.#plan.timeouts;
    if (this.#isResponseDone) {
      // Only the rest of the request is still to come.
      this.#requestAtMs = Number.POSITIVE_INFINITY;
      this.#responseAtMs = Number.POSITIVE_INFINITY;
    }
    if (nowMs >= this.#requestAtMs) this.#timeOut('request-timeout', `no complete response within ${requestMs} ms`);
    else if (nowMs >= this.#responseAtMs)
      this.#timeOut('response-timeout', `no complete response within ${responseMs} ms`);
    else if (nowMs >= this.#idleAtMs) this.#timeOut('idle-timeout', `no byte in either direction within ${idleMs} ms`);
    else this.#setDeadline();
  }

  #timeOut(code: 'request-timeout' | 'response-timeout' | 'idle-timeout', message: string): void {
    const error = new ProxyError(code, message);
    if (this.#isResponseDone) {
      // It was counted, and only the rest of the request is still to come.
      this.#dispatch.abort(error);
      this.#finish();
      return;
    }
    this.#note(this.#endpointName, code);
    this.#attempt?.end(error);
    this.#dispatch.abort(error);
    this.#fail(error);
  }

  #setDeadline(): void {
    if (this.#isOver) return;
    const atMs = Math.min(this.#requestAtMs, this.#responseAtMs, this.#idleAtMs);
    if (atMs !== Number.POSITIVE_INFINITY) this.#deadlines.set(this, atMs);
  }

  /** The request is complete. */
  #awaitResponse(nowMs: number): void {
    const { responseMs = 0 } = this.#plan.timeouts;
    if (responseMs > 0) this.#responseAtMs = nowMs + responseMs;
  }

  get #failed(): FailedRequest {
    const refs = [this.#plan.ref, this.#way?.ref].filter((ref) => ref !== undefined);
    return { head: this.#head, startedMs: this.#startedMs, attempts: this.#failedAttempts ?? [], refs };
  }

  get #endpointName(): string | undefined {
    return this.#dispatch instanceof Dispatch ? this.#dispatch.endpointName : undefined;
  }

  /** A response that tells the client where its session is, unless it is the only endpoint that there can be. */
  #withSession(session: Session, head: ResponseHead): ResponseHead {
    const endpoint = this.#dispatch instanceof Dispatch ? this.#dispatch.endpoint : undefined;
    if (endpoint === undefined || this.#way?.destination.isDynamic !== true) return head;
    const hasFailed = head.proxyError !== undefined || this.#plan.isFailure(this.#status, this.#grpcStatus);
    return session.answered(head, endpoint, !hasFailed);
  }

  /** An attempt at an endpoint has failed. */
  #note(endpoint: string | undefined, outcome: string): void {
    if (endpoint === undefined || (this.#failedAttempts?.length ?? 0) >= ATTEMPTS_MAX) return;
    const ref = this.#way?.ref;
    (this.#failedAttempts ??= []).push({ endpoint, ...(ref && { backend: formatResourceRef(ref) }), outcome });
  }

  /** A byte has passed. */
  #tick(nowMs?: number): void {
    const { idleMs = 0 } = this.#plan.timeouts;
    // Later than what the list knows: it looks again then.
    if (idleMs > 0) this.#idleAtMs = (nowMs ?? this.#options.now()) + idleMs;
  }

  #finish(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearTimeout(this.#timer);
    this.#deadlines.giveUp(this);
    if (this.#mirrored !== undefined) for (const copy of this.#mirrored) copy.stop();
    this.#attempt?.end(undefined);
    this.#body.drop();
    this.#options.onDone();
  }
}

/** Takes the response of one attempt; one that is not passed on is read to its end, within bounds. */
class Attempt implements ResponseSink {
  dispatch: RequestSink | undefined;
  readonly #request: RoutedRequest;
  readonly #ref: ResourceRef | undefined;
  readonly #now: () => number;
  readonly #startedMs: number;
  readonly #isHttp2: boolean;
  #timer: NodeJS.Timeout | undefined;
  #status = 0;
  #grpcStatus: number | undefined;
  #held: ResponseHead | undefined; // a gRPC head, until it is known whether a status follows
  #isDiscarded = false;
  #isCounted = false;

  /** @param timeoutMs  until the response head */
  constructor(
    request: RoutedRequest,
    ref: ResourceRef | undefined,
    now: () => number,
    isHttp2: boolean,
    timeoutMs: number | undefined,
  ) {
    this.#isHttp2 = isHttp2;
    this.#request = request;
    this.#ref = ref;
    this.#now = now;
    this.#startedMs = now();
    if (timeoutMs === undefined) return;
    this.#timer = setTimeout(
      () => {
        if (this.#isDiscarded || !request.onAttemptTimeout()) return;
        this.#isDiscarded = true;
        const error = new ProxyError('attempt-timeout', `no response head within ${timeoutMs} ms`);
        this.#count(0, error.code);
        this.dispatch?.abort(error);
      },
      Math.min(timeoutMs, TIMER_MS_MAX),
    );
  }

  respond(head: ResponseHead | undefined, body: Buffer | undefined, isEnd: boolean, trailers = ''): boolean {
    const hasContent = isEnd || (body !== undefined && body.length > 0);
    if (head !== undefined) {
      clearTimeout(this.#timer);
      this.#status = head.status;
      if (!hasContent && !this.#isDiscarded && this.#request.awaitsGrpcStatus(head)) {
        this.#held = head;
        this.#timer = setTimeout(() => this.#passHeld(undefined, false, ''), GRPC_STATUS_WAIT_MS);
        return true;
      }
      return this.#pass(head, body, isEnd, trailers);
    }
    if (this.#held !== undefined) return this.#passHeld(body, isEnd, trailers);
    return this.#pass(undefined, body, isEnd, trailers);
  }

  #passHeld(body: Buffer | undefined, isEnd: boolean, trailers: string): boolean {
    clearTimeout(this.#timer);
    const head = this.#held;
    this.#held = undefined;
    return this.#pass(head, body, isEnd, trailers);
  }

  #pass(head: ResponseHead | undefined, body: Buffer | undefined, isEnd: boolean, trailers: string): boolean {
    if (this.#isHttp2 && head !== undefined) this.#grpcStatus = grpcStatusOf(head);
    if (this.#isHttp2 && isEnd) this.#grpcStatus = grpcStatus(trailers) ?? this.#grpcStatus;
    if (head !== undefined && !this.#isDiscarded && this.#request.onHead(head, this.#grpcStatus)) {
      this.#isDiscarded = true;
      if (!isEnd) this.#timer = setTimeout(() => this.dispatch?.abort(), DISCARD_MS);
    }
    if (isEnd) {
      clearTimeout(this.#timer);
      this.#count(this.#status, '');
    }
    return this.#isDiscarded || this.#request.onResponse(head, body, isEnd, trailers);
  }

  fail(error: ProxyError): void {
    this.end(error);
    if (!this.#isDiscarded) this.#request.onFailure(error);
  }

  /** Nothing more is to be expected. */
  end(error: ProxyError | undefined): void {
    clearTimeout(this.#timer);
    if (error !== undefined) this.#count(0, error.code);
  }

  inform(head: ResponseHead): void {
    if (!this.#isDiscarded) this.#request.onInform(head);
  }

  resumeRequest(): void {
    if (!this.#isDiscarded) this.#request.resumeRequest();
  }

  switchProtocols(head: ResponseHead, server: Connection, early: Buffer): void {
    clearTimeout(this.#timer);
    this.#count(head.status, '');
    this.#request.onSwitch(head, server, early);
  }

  #count(status: number, error: string): void {
    if (this.#isCounted) return;
    this.#isCounted = true;
    const ending = { status, grpcStatus: this.#grpcStatus, error };
    this.#request.plan.metrics.attemptFinished(this.#ref, ending, this.#now() - this.#startedMs);
  }
}
