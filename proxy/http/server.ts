import { ProxyError, toProxyError } from '../errors.ts';
import type { Connection, ConnectionHandler } from '../transport/connection.ts';
import { splice } from '../transport/copy.ts';
import { BodyScanner } from './body.ts';
import { chunksOf } from './chunked.ts';
import { NO_SINK, type OnRejected, type RequestSink, type ResponseSink, type ServeRequest } from './exchange.ts';
import { parseRequestHead, type RequestHead, type ResponseHead } from './head.ts';
import { HEAD_BYTES_MAX } from './limits.ts';
import { malformedRequest } from './malformed.ts';
import { errorResponse } from './respond.ts';

export type ServerTimeouts = {
  readonly headMs: number; // from the first byte of a head to its last
  readonly idleMs: number; // between requests
  readonly lingerMs: number; // for what a client still sends after an early end
};

/** After an early end, at most this much of what the client still sends is read and dropped. */
const LINGER_BYTES_MAX = 1024 * 1024;

/** Instead of a time: the next sweep puts in its own. Saves a clock reading per request. */
const JUST_NOW = 0;

type State =
  | 'head' // between requests or inside a head
  | 'body'
  | 'response' // the request is complete, its response is not
  | 'flushing' // both are complete, but the socket is full: the next request waits until the client has read
  | 'lingering' // answered and ended, the client still sends
  | 'closed';

/** A client's HTTP/1.1 connection: requests one after another, pipelined ones kept until their turn. */
export class Http1Server implements ConnectionHandler, ResponseSink {
  readonly #connection: Connection;
  readonly #serve: ServeRequest;
  readonly #onRejected: OnRejected;
  readonly #timeouts: ServerTimeouts;
  readonly #body = new BodyScanner('client-malformed');
  #state: State = 'head';
  #sink: RequestSink = NO_SINK;
  #request: RequestHead | undefined;
  /** Bytes read and not used yet: part of a head, or pipelined requests. At most a head and one read. */
  #unread: Buffer | undefined;
  #isHeadPartial = false;
  #bodyEnd = 0; // in the bytes being consumed, of the body part that came with the head
  #hasSentHead = false;
  #isFraming = false; // the response body needs chunks
  #isResponseDone = true;
  #closeAfter = false;
  #isDraining = false;
  #isConsuming = false;
  #lingerBytes = 0;
  #sinceMs: number; // start of the present state, for the timeouts

  constructor(
    connection: Connection,
    serve: ServeRequest,
    onRejected: OnRejected,
    timeouts: ServerTimeouts,
    nowMs: number,
  ) {
    this.#connection = connection;
    this.#serve = serve;
    this.#onRejected = onRejected;
    this.#timeouts = timeouts;
    this.#sinceMs = nowMs;
  }

  get isIdle(): boolean {
    if (this.#state === 'flushing') return this.#unread === undefined;
    return this.#state === 'head' && !this.#isHeadPartial;
  }

  get isClosed(): boolean {
    return this.#state === 'closed';
  }

  onData(bytes: Buffer): void {
    if (this.#state === 'lingering') {
      this.#lingerBytes += bytes.length;
      if (this.#lingerBytes > LINGER_BYTES_MAX) this.#connection.destroy();
      return;
    }
    const all = this.#unread === undefined ? bytes : Buffer.concat([this.#unread, bytes]);
    this.#unread = undefined;
    this.#consume(all);
  }

  onEnd(): void {
    this.#closeAfter = true;
    if (this.#state === 'head' || this.#state === 'lingering' || this.isIdle) this.#connection.endAndClose();
    else if (this.#state === 'body') this.#connection.destroy(); // the request stops in the middle
  }

  onDrain(): void {
    if (this.#state === 'flushing') this.#awaitRequest();
    else this.#sink.resumeResponse();
  }

  onClose(): void {
    this.#state = 'closed';
    const sink = this.#sink;
    this.#sink = NO_SINK;
    this.#unread = undefined;
    sink.abort();
  }

  /** Closes what has taken too long. Called about once a second. */
  sweep(nowMs: number): void {
    if (this.#sinceMs === JUST_NOW) this.#sinceMs = nowMs;
    const elapsedMs = nowMs - this.#sinceMs;
    if (this.#state === 'head') {
      if (!this.#isHeadPartial) {
        if (elapsedMs > this.#timeouts.idleMs) this.#connection.endAndClose();
      } else if (elapsedMs > this.#timeouts.headMs) {
        this.#reject(new ProxyError('head-timeout', `no complete request head within ${this.#timeouts.headMs} ms`));
      }
    } else if (this.#state === 'flushing') {
      if (elapsedMs > this.#timeouts.idleMs) this.#connection.destroy();
    } else if (this.#state === 'lingering' || (this.#state === 'body' && this.#isResponseDone)) {
      if (elapsedMs > this.#timeouts.lingerMs) this.#connection.destroy();
    }
  }

  /** Answers what is running, then closes; idle connections are closed by `closeIdle`. */
  drain(): void {
    this.#isDraining = true;
  }

  closeIdle(): void {
    if (this.isIdle) this.#connection.endAndClose();
  }

  #consume(bytes: Buffer): void {
    this.#isConsuming = true;
    let at = 0;
    try {
      while (at < bytes.length) {
        if (this.#state === 'body') at = this.#consumeBody(bytes, at);
        else if (this.#state === 'head') {
          const next = this.#consumeHead(bytes, at);
          if (next < 0) break;
          at = next;
        } else {
          if (this.#state === 'response' || this.#state === 'flushing') {
            this.#unread = Buffer.from(bytes.subarray(at));
            this.#connection.pause();
          }
          break;
        }
      }
    } catch (error) {
      this.#reject(toProxyError(error, 'client-malformed'));
    } finally {
      this.#isConsuming = false;
    }
  }

  /** @returns where to go on, or -1 when the head is not complete */
  #consumeHead(bytes: Buffer, start: number): number {
    let from = start;
    // One empty line before a request is ignored (RFC 9112 section 2.2).
    if (bytes[from] === 13 && bytes[from + 1] === 10) from += 2;
    if (from === bytes.length) return from;
    const end = bytes.indexOf('\r\n\r\n', from, 'latin1');
    if (end < 0) {
      if (bytes.length - from > HEAD_BYTES_MAX) throw tooLarge();
      const lf = bytes.indexOf(10, from);
      if (lf >= 0 && bytes[lf - 1] !== 13) {
        throw malformedRequest('a line that does not end in CRLF');
      }
      if (!this.#isHeadPartial) this.#sinceMs = JUST_NOW;
      this.#isHeadPartial = true;
      this.#unread = Buffer.from(bytes.subarray(from));
      return -1;
    }
    if (end - from > HEAD_BYTES_MAX) throw tooLarge();
    const request = parseRequestHead(bytes.toString('latin1', from, end + 2));
    this.#begin(request, bytes, end + 4);
    return this.#bodyEnd;
  }

  #begin(request: RequestHead, bytes: Buffer, start: number): void {
    this.#body.reset(request.body, request.bodyBytes);
    this.#bodyEnd = this.#body.scan(bytes, start);
    this.#request = request;
    this.#hasSentHead = false;
    this.#isResponseDone = false;
    this.#isHeadPartial = false;
    if (!request.isPersistent) this.#closeAfter = true;
    const isEnd = this.#body.isDone;
    this.#state = isEnd ? 'response' : 'body';
    const body = this.#bodyEnd > start ? bytes.subarray(start, this.#bodyEnd) : undefined;
    const sink = this.#serve(request, body, isEnd, this);
    // A refusal answers before it returns.
    if (!this.#isResponseDone) this.#sink = sink;
  }

  #consumeBody(bytes: Buffer, start: number): number {
    const end = this.#body.scan(bytes, start);
    const isEnd = this.#body.isDone;
    if (isEnd) this.#state = 'response';
    if (this.#isResponseDone) this.#sinceMs = JUST_NOW;
    if (!this.#sink.send(bytes.subarray(start, end), isEnd)) this.#connection.pause();
    if (isEnd && this.#isResponseDone) this.#next();
    return end;
  }

  inform(head: ResponseHead): void {
    if (this.#request?.isHttp11 === true) this.#connection.write(`${head.lines}\r\n`);
  }

  respond(head: ResponseHead | undefined, body: Buffer | undefined, isEnd: boolean, trailers = ''): boolean {
    let hasRoom = true;
    if (head === undefined) {
      const bytes = this.#isFraming ? chunksOf(body, isEnd, trailers) : body;
      if (bytes !== undefined && bytes.length > 0) hasRoom = this.#connection.writeSoon(bytes);
    } else {
      this.#hasSentHead = true;
      this.#isFraming = head.body === 'frames' && this.#request?.isHttp11 === true;
      const isUntilClose = head.body === 'frames' && !this.#isFraming;
      // A server that closes before it has read the whole request will not read the rest.
      if (head.body === 'close' || isUntilClose || this.#isDraining || (this.#state === 'body' && !head.isPersistent))
        this.#closeAfter = true;
      const proxyError = head.proxyError === undefined ? '' : `l5d-proxy-error: ${head.proxyError}\r\n`;
      const close = this.#closeAfter ? 'connection: close\r\n' : '';
      const coding = this.#isFraming ? 'transfer-encoding: chunked\r\n' : '';
      const bytes = this.#isFraming ? chunksOf(body, isEnd, trailers) : body;
      hasRoom = this.#connection.writeHead(`${head.lines}${proxyError}${coding}${close}\r\n`, bytes);
    }
    if (isEnd) this.#finishResponse();
    return hasRoom;
  }

  fail(error: ProxyError): void {
    if (this.#isResponseDone || this.#state === 'closed') return;
    if (this.#hasSentHead) {
      // Part of a response is out: only an abort tells the client that the rest is missing.
      this.#sink = NO_SINK;
      this.#connection.reset();
      return;
    }
    if (this.#state === 'body' || this.#isDraining) this.#closeAfter = true;
    this.#connection.write(errorResponse(error, this.#closeAfter));
    this.#sink = NO_SINK;
    if (this.#state === 'body') this.#linger();
    else this.#finishResponse();
  }

  resumeRequest(): void {
    if (this.#state === 'body') this.#connection.resume();
  }

  switchProtocols(head: ResponseHead, server: Connection, early: Buffer): void {
    const unread = this.#unread;
    this.#unread = undefined;
    this.#sink = NO_SINK;
    this.#state = 'closed'; // for this object; the connection lives on as a tunnel
    this.#connection.write(`${head.lines}\r\n`);
    splice(this.#connection, server, [unread, early], () => {});
  }

  #finishResponse(): void {
    this.#isResponseDone = true;
    if (this.#state === 'response') this.#next();
    else if (this.#state === 'body' && this.#closeAfter) this.#linger();
  }

  /** Response and request are complete: on to the next request, or the end. */
  #next(): void {
    this.#sink = NO_SINK;
    this.#request = undefined;
    if (this.#closeAfter) {
      this.#linger();
      return;
    }
    // A client that sends requests and reads no response must not fill the memory with what waits for it.
    if (this.#connection.needsDrain) {
      this.#state = 'flushing';
      this.#sinceMs = JUST_NOW;
    } else this.#awaitRequest();
  }

  #awaitRequest(): void {
    this.#state = 'head';
    this.#sinceMs = JUST_NOW;
    this.#connection.resume();
    const unread = this.#unread;
    if (unread !== undefined && !this.#isConsuming) {
      this.#unread = undefined;
      this.#consume(unread);
    }
  }

  #reject(error: ProxyError): void {
    if (this.#state === 'closed' || this.#state === 'lingering') return;
    this.#onRejected(error, this.#request);
    const sink = this.#sink;
    this.#sink = NO_SINK;
    sink.abort();
    this.#unread = undefined;
    if (this.#hasSentHead && !this.#isResponseDone) {
      this.#connection.reset();
      return;
    }
    if (!this.#isResponseDone || this.#state === 'head') this.#connection.write(errorResponse(error, true));
    this.#linger();
  }

  /**
   * Ends this side and drops what the client still sends for a while: closing at once would reset the connection and
   * could destroy the response before the client has read it.
   */
  #linger(): void {
    this.#state = 'lingering';
    this.#isResponseDone = true;
    this.#sinceMs = JUST_NOW;
    this.#unread = undefined;
    // Whoever waits for the rest of the request waits for nothing.
    const sink = this.#sink;
    this.#sink = NO_SINK;
    sink.abort();
    if (this.#connection.isReadEnded) this.#connection.endAndClose();
    else {
      this.#connection.end();
      this.#connection.resume();
    }
  }
}

function tooLarge(): ProxyError {
  return new ProxyError('head-too-large', `the request head has more than ${HEAD_BYTES_MAX} bytes`);
}
