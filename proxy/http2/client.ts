import { ProxyError, toProxyError } from '../errors.ts';
import { ChunkDecoder } from '../http/chunked.ts';
import type { ResponseSink, ServerExchange } from '../http/exchange.ts';
import type { RequestHead, ResponseHead } from '../http/head.ts';
import { afterPart, checkComplete, malformedResponse, withInterim } from '../http/malformed.ts';
import { ErrorCode } from './errors.ts';
import type { Field } from '../http/field.ts';
import { readResponseHead, readTrailers, writeRequestHead } from './head.ts';
import type { Session } from './session.ts';
import type { Stream, StreamFailure, StreamHandler } from './stream.ts';

/** One request over a session to a server: the stream is opened by `start`. */
export class Http2Exchange implements ServerExchange, StreamHandler {
  readonly exchanges: number;
  readonly #session: Session;
  #stream: Stream | undefined;
  #sink: ResponseSink | undefined;
  #method = '';
  #chunks: ChunkDecoder | undefined; // of the request
  #head: ResponseHead | undefined; // waits for the first part of the body
  #hasHead = false;
  #interimBytes = 0;
  #left: number | undefined; // bytes of the response body still to come, if it said how many

  /** @param session  which is usable */
  constructor(session: Session) {
    this.#session = session;
    this.exchanges = session.opened + 1;
  }

  start(head: RequestHead, fields: string, body: Buffer | undefined, isEnd: boolean, sink: ResponseSink): boolean {
    this.#sink = sink;
    this.#method = head.method;
    if (head.protocol !== undefined && !this.#session.takesProtocols) {
      this.#sink = undefined;
      sink.fail(notTaken(head.protocol));
      return false;
    }
    if (head.body === 'chunked') this.#chunks = new ChunkDecoder();
    const isWhole = isEnd && (body === undefined || body.length === 0);
    writeRequestHead(this.#session.beginHead(), head, fields);
    this.#stream = this.#session.open(this, isWhole);
    return isWhole || this.send(body, isEnd);
  }

  send(body: Buffer | undefined, isEnd: boolean, trailers?: string): boolean {
    const stream = this.#stream;
    if (stream === undefined) return true;
    if (body === undefined && !isEnd) return true;
    const chunks = this.#chunks;
    if (chunks === undefined) return stream.sendData(body, isEnd, trailers);
    const content = body === undefined ? undefined : chunks.decode(body);
    return stream.sendData(content, isEnd, chunks.trailers);
  }

  resumeResponse(): void {
    this.#stream?.resume();
  }

  abort(): void {
    this.#sink = undefined;
    this.#stream?.reset(ErrorCode.CANCEL);
  }

  onFields(fields: readonly Field[], isEnd: boolean): void {
    const sink = this.#sink;
    if (sink === undefined) return;
    try {
      if (this.#hasHead) {
        if (!isEnd) throw malformedResponse('trailers before the end');
        const trailers = readTrailers(fields, 'server');
        checkComplete(this.#left, malformedResponse);
        this.#end(undefined, trailers);
        return;
      }
      const { head, contentLength } = readResponseHead(fields, isEnd, this.#method);
      if (head.status < 200) {
        if (isEnd) throw malformedResponse('it ends with an interim head');
        this.#interimBytes = withInterim(this.#interimBytes, head.lines.length);
        sink.inform(head);
        return;
      }
      this.#hasHead = true;
      this.#left = contentLength;
      this.#head = head;
      if (!isEnd) return;
      checkComplete(this.#left, malformedResponse);
      this.#end(undefined, '');
    } catch (error) {
      this.#fail(error);
    }
  }

  onData(bytes: Buffer, isEnd: boolean): boolean {
    const sink = this.#sink;
    if (sink === undefined) return true;
    try {
      if (!this.#hasHead) throw malformedResponse('DATA before the head');
      this.#left = afterPart(this.#left, bytes.length, malformedResponse);
      if (isEnd) checkComplete(this.#left, malformedResponse);
    } catch (error) {
      this.#fail(error);
      return true;
    }
    if (isEnd) {
      this.#end(bytes, '');
      return true;
    }
    const head = this.#head;
    this.#head = undefined;
    return sink.respond(head, bytes, false);
  }

  onBatchEnd(): void {
    const head = this.#head;
    if (head === undefined) return;
    this.#head = undefined;
    this.#sink?.respond(head, undefined, false);
  }

  onDrain(): void {
    this.#sink?.resumeRequest();
  }

  onReset(failure: StreamFailure): void {
    const sink = this.#sink;
    this.#sink = undefined;
    if (sink === undefined) return;
    // A complete response needs no whole request: NO_ERROR only says that the rest is not wanted.
    sink.fail(
      failure.isUnprocessed
        ? new ProxyError('server-closed', `the server refused the request: ${failure.message}`, { retry: 'safe' })
        : new ProxyError(
            'server-closed',
            `${failure.message} ${this.#hasHead ? 'in the middle of its response' : 'before it answered'}`,
          ),
    );
  }

  #end(bytes: Buffer | undefined, trailers: string): void {
    const sink = this.#sink;
    const head = this.#head;
    this.#head = undefined;
    // The sink stays while the request goes on: it wants to hear when there is room again.
    if (this.#stream?.isLocalDone === true) this.#sink = undefined;
    sink?.respond(head, bytes, true, trailers);
  }

  #fail(error: unknown): void {
    const sink = this.#sink;
    this.#sink = undefined;
    this.#stream?.reset(ErrorCode.PROTOCOL_ERROR);
    sink?.fail(toProxyError(error, 'server-malformed'));
  }
}

function notTaken(protocol: string): ProxyError {
  const why = 'the endpoint does not announce extended CONNECT (RFC 8441)';
  return new ProxyError(
    'protocol-unsupported',
    `${protocol} over HTTP/2: ${why}; over HTTP/1.1 the client may use Upgrade`,
  );
}
