import type { ProxyError } from '../errors.ts';
import type { Connection } from '../transport/connection.ts';
import type { RequestHead, ResponseHead } from './head.ts';

/**
 * The two ends of one request and its response. Bodies travel in the framing that the head names (chunked bodies with
 * their chunk lines), so that HTTP/1.1 passes through byte by byte; a side that frames differently unpacks them.
 */
export interface RequestSink {
  /**
   * More of the request.
   * @param body      undefined or empty when only the end is told
   * @param trailers  of a body of kind `frames`, with its end: fields, each with its CRLF
   * @returns false when the sender should pause until `ResponseSink.resumeRequest`
   */
  send(body: Buffer | undefined, isEnd: boolean, trailers?: string): boolean;
  /** The client's connection can take more of the response. */
  resumeResponse(): void;
  /** The client is gone. @param cause  why the proxy itself ends the exchange instead */
  abort(cause?: ProxyError): void;
}

/** Takes what nobody wants any more. */
export const NO_SINK: RequestSink = { send: () => true, resumeResponse() {}, abort() {} };

export interface ResponseSink {
  /** An interim response (1xx other than 101). */
  inform(head: ResponseHead): void;
  /**
   * The head (first call only) and more of the response.
   * @param trailers  of a body of kind `frames`, with its end: fields, each with its CRLF
   * @returns false when the sender should pause until `RequestSink.resumeResponse`
   */
  respond(head: ResponseHead | undefined, body: Buffer | undefined, isEnd: boolean, trailers?: string): boolean;
  /** No (complete) response will come. Nothing may be called afterwards. */
  fail(error: ProxyError): void;
  /** The server's connection can take more of the request. */
  resumeRequest(): void;
  /** The server agreed to another protocol (101) or a tunnel (CONNECT): `server` now belongs to the receiver. */
  switchProtocols(head: ResponseHead, server: Connection, early: Buffer): void;
}

/** A connection to a server, or a stream of one, for one exchange. */
export interface ServerExchange extends RequestSink {
  /** Exchanges begun on the connection with this one; the first on a fresh one is number 1. */
  readonly exchanges: number;
  /**
   * Sends a request.
   *
   * @param fields  further header fields, each with its CRLF
   * @returns false when the rest of the body should wait for `ResponseSink.resumeRequest`
   */
  start(head: RequestHead, fields: string, body: Buffer | undefined, isEnd: boolean, sink: ResponseSink): boolean;
}

/** A client has sent what is no request, or no whole one, and is answered with this error. */
export type OnRejected = (error: ProxyError, head: RequestHead | undefined) => void;

/** Accepts one request after another. The sink's `send` gets what of the body is not in `body`. */
export type ServeRequest = (
  request: RequestHead,
  body: Buffer | undefined,
  isEnd: boolean,
  response: ResponseSink,
) => RequestSink;
