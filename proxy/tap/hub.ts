import { TapEvent_ProxyDirection, type TapEvent, type TapEvent_Http } from '#api/gen/tap.ts';
import { grpcStatus, grpcStatusOf } from '../grpc/status.ts';
import type { RequestHead, ResponseHead } from '../http/head.ts';
import type { Labels } from '../metrics/family.ts';
import type { Predicate, SocketAddress, Tapped } from './match.ts';
import { encodeDuration, encodeFields, encodeHeaders, encodeMethod, encodeScheme, encodeSocket } from './message.ts';

/** HTTP/2 error codes for requests that did not end in a response. Source: RFC 9113 section 7. */
const INTERNAL_ERROR = 2;
const CANCEL = 8;

/** Where a request went, as far as tap shows it. */
export type EndpointMeta = SocketAddress & { readonly labels: Labels };

/** Somebody who taps. */
export type TapOptions = {
  readonly matches: Predicate;
  readonly limit: number; // requests
  readonly hasHeaders: boolean;
  readonly emit: (event: TapEvent) => void;
  /** The limit is reached and the last request has ended. */
  readonly onDone: () => void;
};

/** Where a request came from. */
export type TapOrigin = {
  readonly direction: 'inbound' | 'outbound';
  readonly source: SocketAddress;
  readonly sourceLabels: Labels;
};

/** One open Observe call. */
class Tap {
  readonly options: TapOptions;
  readonly base: number;
  #taken = 0;
  #open = 0;

  constructor(base: number, options: TapOptions) {
    this.base = base;
    this.options = options;
  }

  /** @returns the number of the request, 0 when no more are wanted */
  take(request: Tapped): number {
    if (this.#taken >= this.options.limit || !this.options.matches(request)) return 0;
    this.#taken += 1;
    this.#open += 1;
    return this.#taken;
  }

  ended(): void {
    this.#open -= 1;
    if (this.#open === 0 && this.#taken >= this.options.limit) this.options.onDone();
  }
}

/** Everybody who taps this proxy now. While nobody does, a request costs one comparison. */
export class TapHub {
  readonly #taps = new Set<Tap>();
  readonly #now: () => number;
  #bases = 0;

  /** @param now  monotonic milliseconds */
  constructor(now: () => number) {
    this.#now = now;
  }

  get isActive(): boolean {
    return this.#taps.size > 0;
  }

  /** @returns to dispose of when the observer goes */
  observe(options: TapOptions): Disposable {
    this.#bases = (this.#bases + 1) >>> 0;
    const tap = new Tap(this.#bases, options);
    this.#taps.add(tap);
    return { [Symbol.dispose]: () => void this.#taps.delete(tap) };
  }

  /** A request begins. Undefined, without asking for the origin, while nobody taps. */
  begin(head: RequestHead, origin: () => TapOrigin): TapExchange | undefined {
    if (this.#taps.size === 0) return undefined;
    return new TapExchange(head, origin(), this.#taps, this.#now);
  }
}

type Watcher = { readonly tap: Tap; readonly id: { readonly base: number; readonly stream: bigint } };

/** One request and its response under observation; each attempt at an endpoint is told of on its own. */
export class TapExchange {
  readonly #head: RequestHead;
  readonly #origin: TapOrigin;
  readonly #taps: ReadonlySet<Tap>;
  readonly #now: () => number;
  #watchers: readonly Watcher[] = [];
  #endpoint: EndpointMeta | undefined;
  #startedMs = 0;
  #respondedMs: number | undefined;
  #bytes = 0;
  #grpcStatus: number | undefined; // of a response that is a head only

  constructor(head: RequestHead, origin: TapOrigin, taps: ReadonlySet<Tap>, now: () => number) {
    this.#head = head;
    this.#origin = origin;
    this.#taps = taps;
    this.#now = now;
  }

  /** The request is sent to an endpoint. */
  sent(endpoint: EndpointMeta | undefined): void {
    if (endpoint === undefined) return;
    const { method, authority = '', target, lines } = this.#head;
    const tapped: Tapped = {
      source: this.#origin.source,
      destination: endpoint,
      destinationLabels: endpoint.labels,
      routeLabels: {},
      method,
      scheme: 'http',
      authority,
      path: pathOf(target),
    };
    this.#endpoint = endpoint;
    this.#startedMs = this.#now();
    this.#respondedMs = undefined;
    this.#bytes = 0;
    this.#grpcStatus = undefined;
    this.#watchers = [...this.#taps].flatMap((tap) => {
      const stream = tap.take(tapped);
      return stream === 0 ? [] : [{ tap, id: { base: tap.base, stream: BigInt(stream) } }];
    });
    this.#emit(({ tap, id }) => ({
      $case: 'requestInit',
      value: {
        id,
        method: encodeMethod(method),
        scheme: encodeScheme('http'),
        authority,
        path: tapped.path,
        headers: tap.options.hasHeaders ? encodeHeaders(lines) : undefined,
      },
    }));
  }

  /** The head of the response (once) and what came of its body. */
  received(head: ResponseHead | undefined, body: Buffer | undefined): void {
    if (this.#watchers.length === 0) return;
    if (head !== undefined) {
      const respondedMs = this.#now();
      this.#respondedMs = respondedMs;
      if (this.#head.isHttp2) this.#grpcStatus = grpcStatusOf(head);
      // Why a proxy failed the request is told to everybody: there is no other place in an event for it.
      const why = head.proxyError === undefined ? '' : `l5d-proxy-error: ${head.proxyError}\r\n`;
      this.#emit(({ tap, id }) => ({
        $case: 'responseInit',
        value: {
          id,
          sinceRequestInit: encodeDuration(respondedMs - this.#startedMs),
          httpStatus: head.status,
          headers: tap.options.hasHeaders
            ? encodeHeaders(head.lines + why)
            : why === ''
              ? undefined
              : encodeFields(why),
        },
      }));
    }
    this.#bytes += body?.length ?? 0;
  }

  /**
   * @param end       how the attempt ended: with its response, by the client, or by an error
   * @param trailers  of a complete response of HTTP/2: fields, each with its CRLF
   */
  ended(end: 'complete' | 'cancelled' | 'failed', trailers = ''): void {
    if (this.#watchers.length === 0) return;
    const status = this.#head.isHttp2 ? (grpcStatus(trailers) ?? this.#grpcStatus) : undefined;
    const nowMs = this.#now();
    this.#emit(({ tap, id }) => ({
      $case: 'responseEnd',
      value: {
        id,
        sinceRequestInit: encodeDuration(nowMs - this.#startedMs),
        sinceResponseInit: this.#respondedMs === undefined ? undefined : encodeDuration(nowMs - this.#respondedMs),
        responseBytes: BigInt(this.#bytes),
        eos:
          end === 'complete'
            ? status === undefined
              ? undefined
              : { end: { $case: 'grpcStatusCode', value: status } }
            : { end: { $case: 'resetErrorCode', value: end === 'cancelled' ? CANCEL : INTERNAL_ERROR } },
        trailers: tap.options.hasHeaders && trailers !== '' ? encodeFields(trailers) : undefined,
      },
    }));
    const watchers = this.#watchers;
    this.#watchers = [];
    for (const { tap } of watchers) tap.ended();
  }

  #emit(event: (watcher: Watcher) => NonNullable<TapEvent_Http['event']>): void {
    const { direction, source, sourceLabels } = this.#origin;
    const endpoint = this.#endpoint;
    if (endpoint === undefined) return;
    for (const watcher of this.#watchers) {
      watcher.tap.options.emit({
        source: encodeSocket(source),
        destination: encodeSocket(endpoint),
        sourceMeta: { labels: { ...sourceLabels } },
        destinationMeta: { labels: { ...endpoint.labels } },
        routeMeta: undefined,
        proxyDirection: direction === 'inbound' ? TapEvent_ProxyDirection.INBOUND : TapEvent_ProxyDirection.OUTBOUND,
        event: { $case: 'http', value: { event: event(watcher) } },
      });
    }
  }
}

/** Path of a target in any form, without its query. */
function pathOf(target: string): string {
  const path = target.startsWith('/') ? target : (/^[^:]*:\/\/[^/?#]*([^?#]*)/.exec(target)?.[1] ?? target);
  const question = path.indexOf('?');
  return question < 0 ? path : path.slice(0, question);
}
