import { grpcStatus, grpcStatusOf, isGrpcFailure, isGrpcMessage } from '../grpc/status.ts';
import type { ServeRequest } from '../http/exchange.ts';
import { detached } from '../http/field-text.ts';
import type { RequestHead } from '../http/head.ts';
import { ObservedExchange, type ExchangeEnd } from '../http/observed-exchange.ts';
import type { Span } from './span.ts';
import { sampledContext, withSender } from './trace-context.ts';

const TEXT_MAX = 256;

export type TracerOptions = {
  readonly add: (span: Span) => void;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  readonly random: () => number;
};

/**
 * Makes a span of each request whose trace is sampled, and puts it between the sender and the next one. A request without a
 * trace gets none: where traces begin is for applications to decide. Source: linkerd2-proxy `trace-context`, which makes two
 * spans on each side.
 */
export class Tracer {
  readonly #options: TracerOptions;

  constructor(options: TracerOptions) {
    this.#options = options;
  }

  /** The same service, traced. */
  trace(direction: 'inbound' | 'outbound', serve: ServeRequest): ServeRequest {
    const { add, now, random } = this.#options;
    return (head, body, isEnd, response) => {
      const context = sampledContext(head.lines);
      if (context === undefined) return serve(head, body, isEnd, response);
      const spanId = randomSpanId(random);
      const startedMs = now();
      const startMs = Date.now();
      const observed = new ObservedExchange(response, (end) => {
        const { traceId, parentId, state } = context;
        const error = errorOf(head, direction, end);
        add({
          traceId,
          spanId,
          parentId,
          state,
          kind: direction === 'inbound' ? 'server' : 'client',
          name: pathOf(head),
          startMs,
          endMs: startMs + now() - startedMs,
          attributes: {
            ...attributesOf(head, direction),
            ...outcomeOf(head, end),
            ...(error && { 'error.type': error.type }),
          },
          error: error?.message,
        });
      });
      const traced = { ...head, lines: withSender(head.lines, context, spanId) };
      return observed.watch(serve(traced, body, isEnd, observed));
    };
  }
}

/** Never zero, which stands for no span. */
function randomSpanId(random: () => number): string {
  const half = (least: number): string =>
    Math.floor(least + random() * (2 ** 32 - least))
      .toString(16)
      .padStart(8, '0');
  return half(1) + half(0);
}

/** Names are those of OpenTelemetry's conventions for HTTP. Queries and fields may hold secrets, and are not told. */
function attributesOf(head: RequestHead, direction: 'inbound' | 'outbound'): Readonly<Record<string, string | number>> {
  const { method, authority = '' } = head;
  const port = /:(\d+)$/.exec(authority)?.[1];
  return {
    direction,
    'http.request.method': detached(method, TEXT_MAX),
    'url.scheme': 'http',
    'url.path': pathOf(head),
    'server.address': detached(authority.replace(/:\d*$/, ''), TEXT_MAX),
    ...(port !== undefined && { 'server.port': Number(port) }),
    'network.protocol.version': head.isHttp2 ? '2' : head.isHttp11 ? '1.1' : '1.0',
  };
}

function pathOf({ target }: RequestHead): string {
  const path = target.replace(/^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i, '');
  const question = path.indexOf('?');
  return detached(question < 0 ? path : path.slice(0, question), TEXT_MAX) || '/';
}

function outcomeOf(head: RequestHead, end: ExchangeEnd): Readonly<Record<string, number>> {
  const grpc = statusOfCall(head, end);
  return { 'http.response.status_code': end.status, ...(grpc !== undefined && { 'rpc.grpc.status_code': grpc }) };
}

function statusOfCall(head: RequestHead, { head: response, trailers }: ExchangeEnd): number | undefined {
  if (response === undefined || !head.isHttp2 || !isGrpcMessage(head)) return undefined;
  return grpcStatus(trailers) ?? grpcStatusOf(response);
}

/** A client's mistake is no error of the server, but one of the client. */
function errorOf(
  head: RequestHead,
  direction: 'inbound' | 'outbound',
  end: ExchangeEnd,
): { readonly type: string; readonly message: string } | undefined {
  if (end.error !== undefined) return { type: end.error.code, message: end.error.message };
  const peer = end.head?.proxyError;
  if (peer !== undefined)
    return { type: detached(peer.split(':', 1)[0] ?? '', TEXT_MAX), message: detached(peer, TEXT_MAX) };
  if (end.status >= (direction === 'inbound' ? 500 : 400)) return { type: String(end.status), message: '' };
  const grpc = statusOfCall(head, end);
  return isGrpcFailure(grpc) ? { type: `grpc-${grpc}`, message: '' } : undefined;
}
