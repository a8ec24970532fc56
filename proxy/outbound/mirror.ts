import type { Ratio } from '#model/filter.ts';
import type { ResourceRef } from '#model/resource-ref.ts';
import { Dispatch, type DispatchOptions } from '../balance/dispatch.ts';
import { ProxyError } from '../errors.ts';
import type { ResponseSink } from '../http/exchange.ts';
import type { RequestHead, ResponseHead } from '../http/head.ts';
import { ReplayBody } from '../http/replay.ts';
import type { TapExchange } from '../tap/hub.ts';
import type { Connection } from '../transport/connection.ts';
import type { Way } from './plan.ts';
import type { MirrorResult, RouteMetrics } from './route-metrics.ts';

/** Copies on their way at a time, of all requests of a proxy. Each holds up to 64 KiB of a body. */
const IN_FLIGHT_MAX = 256;
/** How long a copy may take from being sent to the end of its response. */
const TIMEOUT_MS = 30_000;

/** Where copies go, and how many. */
export type MirrorPlan = {
  readonly kind: 'mirror';
  readonly ref: ResourceRef;
  readonly ratio?: Ratio; // absent: every request
  readonly way: () => Way | ProxyError;
  readonly metrics: RouteMetrics;
};

/** The copies that are on their way. One per proxy. */
export class Mirrors {
  readonly #dispatch: Pick<DispatchOptions, 'failFastMs' | 'now'>;
  readonly #max: number;
  #inFlight = 0;

  constructor(dispatch: Pick<DispatchOptions, 'failFastMs' | 'now'>, max = IN_FLIGHT_MAX) {
    this.#dispatch = dispatch;
    this.#max = max;
  }

  /**
   * Begins a copy.
   *
   * @param head  as it goes to the mirror
   * @param body  what has arrived of it
   * @returns nothing when none is made: it is counted why
   */
  begin(
    plan: MirrorPlan,
    head: RequestHead,
    body: Buffer | undefined,
    isEnd: boolean,
    tap: (head: RequestHead) => TapExchange | undefined,
  ): MirroredRequest | undefined {
    // A connection that becomes a tunnel cannot be copied.
    const isTunnel = head.upgrade !== undefined || head.method === 'CONNECT';
    if (isTunnel || this.#inFlight >= this.#max) {
      plan.metrics.mirrored(plan.ref, isTunnel ? 'tunnel' : 'busy');
      return undefined;
    }
    this.#inFlight += 1;
    const options = { ...this.#dispatch, onDone: () => void (this.#inFlight -= 1) };
    const mirrored = new MirroredRequest(options, plan, head, tap);
    mirrored.add(body, isEnd, '');
    return mirrored;
  }
}

/**
 * A copy of one request. It is sent when its body is complete, after the request itself, and nothing that becomes of it
 * is told to anybody but the metrics.
 */
export class MirroredRequest implements ResponseSink {
  readonly #options: Pick<DispatchOptions, 'failFastMs' | 'now' | 'onDone'>;
  readonly #plan: MirrorPlan;
  readonly #head: RequestHead;
  readonly #tap: (head: RequestHead) => TapExchange | undefined;
  readonly #body = new ReplayBody(undefined, false);
  #dispatch: Dispatch | undefined;
  #timer: NodeJS.Timeout | undefined;
  #isOver = false;

  constructor(
    options: Pick<DispatchOptions, 'failFastMs' | 'now' | 'onDone'>,
    plan: MirrorPlan,
    head: RequestHead,
    tap: (head: RequestHead) => TapExchange | undefined,
  ) {
    this.#options = options;
    this.#plan = plan;
    this.#head = head;
    this.#tap = tap;
  }

  get plan(): MirrorPlan {
    return this.#plan;
  }

  /** More of the request that is copied. @param trailers  with its end: fields, each with its CRLF */
  add(body: Buffer | undefined, isEnd: boolean, trailers: string): void {
    if (this.#isOver || this.#body.isEnded) return;
    if (body !== undefined) this.#body.add(body);
    this.#body.isEnded = isEnd;
    if (!this.#body.isWhole) this.#end('too_large');
    else if (isEnd) setImmediate(() => this.#send(trailers));
  }

  /** No more of the request will come: half a copy is not sent. */
  stop(): void {
    if (!this.#body.isEnded) this.#end('incomplete');
  }

  respond(_head: ResponseHead | undefined, _body: Buffer | undefined, isEnd: boolean): boolean {
    if (isEnd) this.#end('answered');
    return true;
  }

  fail(): void {
    this.#end('failed');
  }

  inform(): void {}

  resumeRequest(): void {}

  switchProtocols(_head: ResponseHead, server: Connection): void {
    server.destroy();
    this.#end('failed');
  }

  #send(trailers: string): void {
    const way = this.#plan.way();
    if (way instanceof ProxyError) {
      this.#end('failed');
      return;
    }
    const { failFastMs, now } = this.#options;
    const options = { failFastMs, now, onError: () => {}, onDone: () => {}, mayRepeat: () => false };
    const request = {
      head: this.#head,
      fields: '',
      body: this.#body.content,
      isEnd: trailers === '',
      tap: this.#tap(this.#head),
    };
    this.#body.drop();
    this.#timer = setTimeout(() => {
      this.#end('timeout');
      this.#dispatch?.abort();
    }, TIMEOUT_MS);
    this.#dispatch = new Dispatch(options, way.destination, request, this);
    this.#dispatch.attempt();
    if (trailers !== '') this.#dispatch.send(undefined, true, trailers);
  }

  #end(result: MirrorResult): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearTimeout(this.#timer);
    this.#body.drop();
    this.#plan.metrics.mirrored(this.#plan.ref, result);
    this.#options.onDone();
  }
}
