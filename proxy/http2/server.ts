import { ProxyError, toProxyError } from '../errors.ts';
import { isGrpcMessage } from '../grpc/status.ts';
import { ChunkDecoder } from '../http/chunked.ts';
import type { OnRejected, RequestSink, ResponseSink, ServeRequest } from '../http/exchange.ts';
import type { RequestHead, ResponseHead } from '../http/head.ts';
import { afterPart, checkComplete, malformedRequest } from '../http/malformed.ts';
import { errorHead } from '../http/respond.ts';
import type { Connection } from '../transport/connection.ts';
import { ErrorCode } from './errors.ts';
import type { Field } from '../http/field.ts';
import { readRequestHead, readTrailers, writeResponseHead } from './head.ts';
import { CLIENT_LINK, MESH_LINK } from './link-class.ts';
import { Session, type ServedHandler } from './session.ts';
import type { Stream, StreamFailure } from './stream.ts';

/** One request of a client. */
class ServedStream implements ServedHandler, ResponseSink {
  readonly #session: Session;
  readonly #serve: ServeRequest;
  readonly #onRejected: OnRejected;
  readonly #isPeer: boolean;
  #isTunnel = false; // each direction ends by itself
  #stream: Stream | undefined;
  #sink: RequestSink | undefined;
  #request: RequestHead | undefined;
  #isServed = false; // `serve` has been called
  #left: number | undefined; // bytes of the request body still to come, if it said how many
  #chunks: ChunkDecoder | undefined; // of the response
  #hasSentHead = false;
  #isDone = false; // nothing more is sent

  constructor(session: Session, serve: ServeRequest, isPeer: boolean, onRejected: OnRejected) {
    this.#session = session;
    this.#serve = serve;
    this.#onRejected = onRejected;
    this.#isPeer = isPeer;
  }

  attach(stream: Stream): void {
    this.#stream = stream;
  }

  onFields(fields: readonly Field[], isEnd: boolean): void {
    if (this.#isDone) return;
    try {
      if (this.#request !== undefined) {
        if (!isEnd) throw malformedRequest('trailers before the end');
        this.#pass(undefined, true, readTrailers(fields, 'client'));
        return;
      }
      const { head, contentLength } = readRequestHead(fields, isEnd, this.#isPeer);
      this.#request = head;
      this.#left = contentLength;
      if (isEnd) this.#pass(undefined, true, '');
    } catch (error) {
      this.#reject(error);
    }
  }

  onData(bytes: Buffer, isEnd: boolean): boolean {
    if (this.#isDone) return true;
    try {
      this.#left = afterPart(this.#left, bytes.length, malformedRequest);
      return this.#pass(bytes, isEnd, '');
    } catch (error) {
      this.#reject(error);
      return true;
    }
  }

  onBatchEnd(): void {
    if (this.#request !== undefined && !this.#isServed && !this.#isDone) this.#pass(undefined, false, '');
  }

  onDrain(): void {
    this.#sink?.resumeResponse();
  }

  onReset(_failure: StreamFailure): void {
    const sink = this.#sink;
    this.#sink = undefined;
    if (this.#isDone) return;
    this.#isDone = true;
    sink?.abort();
  }

  inform(head: ResponseHead): void {
    if (this.#isDone || this.#stream === undefined) return;
    writeResponseHead(this.#session.beginHead(), head, this.#isCarried);
    this.#session.sendHead(this.#stream, false);
  }

  respond(head: ResponseHead | undefined, body: Buffer | undefined, isEnd: boolean, trailers = ''): boolean {
    const stream = this.#stream;
    if (this.#isDone || stream === undefined) return true;
    const isEmpty = body === undefined || body.length === 0;
    if (head !== undefined) {
      this.#hasSentHead = true;
      this.#isTunnel = this.#request?.method === 'CONNECT' && head.status >= 200 && head.status < 300;
      if (head.body === 'chunked') this.#chunks = new ChunkDecoder();
      const isHeadOnly = isEnd && isEmpty && trailers === '';
      if (isHeadOnly) this.#isDone = !this.#isTunnel;
      writeResponseHead(this.#session.beginHead(), head, this.#isCarried);
      this.#session.sendHead(stream, isHeadOnly);
      if (isHeadOnly) {
        this.#dropRequest(stream);
        return true;
      }
    }
    if (isEmpty && !isEnd) return true;
    const content = body !== undefined && this.#chunks !== undefined ? this.#chunks.decode(body) : body;
    const hasRoom = stream.sendData(content, isEnd, this.#chunks?.trailers ?? trailers);
    if (isEnd) {
      this.#isDone = !this.#isTunnel;
      this.#dropRequest(stream);
    }
    return hasRoom;
  }

  fail(error: ProxyError): void {
    const stream = this.#stream;
    if (this.#isDone || stream === undefined) return;
    if (this.#hasSentHead) {
      // Part of a response is out: only an abort tells the client that the rest is missing.
      this.#isDone = true;
      this.#sink = undefined;
      stream.reset(ErrorCode.INTERNAL_ERROR);
      return;
    }
    this.#sink = undefined;
    this.respond(errorHead(error, this.#isGrpc), undefined, true);
  }

  resumeRequest(): void {
    this.#stream?.resume();
  }

  switchProtocols(_head: ResponseHead, server: Connection): void {
    server.destroy(); // was not asked for: requests over HTTP/2 carry no Upgrade
    this.fail(new ProxyError('server-malformed', 'the server switches protocols without being asked'));
  }

  get #isCarried(): boolean {
    return this.#request?.isHttp2 === false;
  }

  get #isGrpc(): boolean {
    return this.#request?.isHttp2 === true && isGrpcMessage(this.#request);
  }

  /** @returns false when the client should wait */
  #pass(bytes: Buffer | undefined, isEnd: boolean, trailers: string): boolean {
    const request = this.#request;
    if (request === undefined) return true;
    if (isEnd) checkComplete(this.#left, malformedRequest);
    if (this.#isServed) return this.#sink?.send(bytes, isEnd, trailers) ?? true;
    this.#isServed = true;
    // Trailers right behind a head: the head goes first.
    const isEndNow = isEnd && trailers === '';
    const sink = this.#serve(request, bytes, isEndNow, this);
    // A refusal answers before it returns.
    if (!this.#isDone) this.#sink = sink;
    return isEnd && !isEndNow ? (this.#sink?.send(undefined, true, trailers) ?? true) : true;
  }

  /** The response is complete; what still comes of the request is not wanted (RFC 9113 section 8.1). */
  #dropRequest(stream: Stream): void {
    if (stream.isRemoteDone || this.#isTunnel) return;
    this.#sink?.abort();
    this.#sink = undefined;
    stream.endWhenSent();
  }

  /** The request is malformed: it is answered, and the stream ends as RFC 9113 section 8.1.1 says. */
  #reject(error: unknown): void {
    const stream = this.#stream;
    const sink = this.#sink;
    this.#sink = undefined;
    sink?.abort();
    if (this.#isDone || stream === undefined) return;
    this.#isDone = true;
    const problem = toProxyError(error, 'client-malformed');
    this.#onRejected(problem, this.#request);
    const head = errorHead(problem, false);
    if (!this.#hasSentHead) {
      writeResponseHead(this.#session.beginHead(), head, this.#isCarried);
      this.#session.sendHead(stream, false);
    }
    stream.reset(ErrorCode.PROTOCOL_ERROR);
    this.#session.blame(problem.code === 'head-too-large');
  }
}

/** The HTTP/2 connections of one side of the proxy. */
export class Http2Servers {
  readonly #servers = new Set<Session>();
  readonly #idleMs: number;
  readonly #idleSince = new WeakMap<Session, number>();
  readonly #now: () => number;
  #isDraining = false;

  constructor(idleMs: number, now: () => number) {
    this.#idleMs = idleMs;
    this.#now = now;
  }

  /**
   * @param early   bytes that were read from the connection before
   * @param isPeer  the client is a proxy of the mesh, which may carry HTTP/1
   * @param onRejected  told of what never became a request
   */
  serve(connection: Connection, early: Buffer, isPeer: boolean, serve: ServeRequest, onRejected: OnRejected): void {
    if (connection.isClosed) return;
    const session: Session = new Session(
      connection,
      false,
      {
        onStream: () => new ServedStream(session, serve, isPeer, onRejected),
        takesProtocols: true,
        onRoom() {},
        onGone() {},
      },
      this.#now,
      isPeer ? MESH_LINK : CLIENT_LINK,
    );
    this.#servers.add(session);
    if (this.#isDraining) session.drain();
    connection.readFast();
    connection.start(session);
    if (early.length > 0) session.onData(early);
    if (connection.isReadEnded) session.onEnd();
  }

  sweep(): void {
    const nowMs = this.#now();
    for (const session of this.#servers) {
      if (session.isClosed) {
        this.#servers.delete(session);
        continue;
      }
      session.sweep(nowMs);
      if (session.streams.size > 0) this.#idleSince.delete(session);
      else {
        const sinceMs = this.#idleSince.get(session);
        if (sinceMs === undefined) this.#idleSince.set(session, nowMs);
        else if (nowMs - sinceMs > this.#idleMs) session.closeIdle();
      }
    }
  }

  /** Asks every client to go elsewhere; what is under way finishes. */
  drain(): void {
    this.#isDraining = true;
    for (const session of this.#servers) session.drain();
  }

  closeIdle(): void {
    for (const session of this.#servers) session.closeIdle();
  }
}
