import { ProxyError, toProxyError } from '../errors.ts';
import type { Connection, ConnectionHandler } from '../transport/connection.ts';
import { BodyScanner } from './body.ts';
import { chunksOf } from './chunked.ts';
import type { ResponseSink, ServerExchange } from './exchange.ts';
import { parseResponseHead, type RequestHead, type ResponseHead } from './head.ts';
import { HEAD_BYTES_MAX } from './limits.ts';
import { withInterim } from './malformed.ts';

/** What a connection tells its pool. */
export interface ClientOwner {
  /** Request and response are complete and the connection can take another request. */
  onIdle(client: Http1Client): void;
  /** The connection will take no more requests. Called once. */
  onGone(client: Http1Client): void;
}

type State = 'idle' | 'head' | 'body' | 'closed';

/** An HTTP/1.1 connection to a server: one exchange at a time. */
export class Http1Client implements ConnectionHandler, ServerExchange {
  readonly connection: Connection;
  /** When the connection became idle; only the pool sets and reads it. */
  idleSinceMs = 0;
  /** What the server promised by `Keep-Alive: timeout=`. */
  keepAliveMs: number | undefined;
  /** Exchanges begun on this connection; the first on a fresh one is number 1. */
  exchanges = 0;
  readonly #owner: ClientOwner;
  readonly #body = new BodyScanner('server-malformed');
  #state: State = 'idle';
  #sink: ResponseSink | undefined;
  #method = '';
  #unread: Buffer | undefined;
  #isRequestDone = true;
  #isPersistent = true;
  #isGone = false;
  #isFraming = false; // the request body needs chunks
  #asksToSwitch = false;
  #interimBytes = 0; // of one exchange, whose client is sent them all

  constructor(connection: Connection, owner: ClientOwner) {
    this.connection = connection;
    this.#owner = owner;
    connection.readFast();
    connection.start(this);
  }

  get isUsable(): boolean {
    return this.#state === 'idle' && this.#isRequestDone && !this.#isGone && this.connection.isUsable;
  }

  /** Only when idle. */
  start(head: RequestHead, fields: string, body: Buffer | undefined, isEnd: boolean, sink: ResponseSink): boolean {
    this.exchanges += 1;
    this.#sink = sink;
    this.#method = head.method;
    this.#state = 'head';
    this.#isRequestDone = isEnd;
    this.#isPersistent = head.isHttp11;
    this.#asksToSwitch = head.upgrade !== undefined;
    this.#isFraming = head.body === 'frames';
    this.#interimBytes = 0;
    if (!this.#isFraming) return this.connection.writeHead(`${head.lines}${fields}\r\n`, body);
    const coding = 'transfer-encoding: chunked\r\n';
    return this.connection.writeHead(`${head.lines}${fields}${coding}\r\n`, chunksOf(body, isEnd, ''));
  }

  send(body: Buffer | undefined, isEnd: boolean, trailers = ''): boolean {
    if (this.#isRequestDone || this.connection.isClosed) return true;
    const bytes = this.#isFraming ? chunksOf(body, isEnd, trailers) : body;
    const hasRoom = bytes === undefined || bytes.length === 0 ? true : this.connection.writeSoon(bytes);
    if (isEnd) {
      this.#isRequestDone = true;
      if (this.#state === 'idle') this.#release();
    }
    return hasRoom;
  }

  resumeResponse(): void {
    this.connection.resume();
  }

  /** Drops the exchange. Half of a message may be out, so the connection goes with it. */
  abort(): void {
    this.#sink = undefined;
    this.#close();
    this.connection.destroy();
  }

  onData(bytes: Buffer): void {
    const all = this.#unread === undefined ? bytes : Buffer.concat([this.#unread, bytes]);
    this.#unread = undefined;
    let at = 0;
    try {
      while (at < all.length && this.#state !== 'closed') {
        if (this.#state === 'body') at = this.#readBody(all, at);
        else if (this.#state === 'head') {
          const next = this.#readHead(all, at);
          if (next < 0) return;
          at = next;
        } else {
          // Bytes that nobody asked for: whatever they are, they must not become the answer to the next request.
          this.abort();
        }
      }
    } catch (error) {
      this.#fail(toProxyError(error, 'server-malformed'));
    }
  }

  onEnd(): void {
    if (this.#state === 'body' && this.#body.isUntilClose) {
      const sink = this.#sink;
      this.#sink = undefined;
      this.#state = 'idle';
      this.#isPersistent = false;
      this.#release();
      sink?.respond(undefined, undefined, true);
      return;
    }
    this.#fail(closedError('closed the connection', this.#state));
    this.connection.endAndClose();
  }

  onDrain(): void {
    this.#sink?.resumeRequest();
  }

  onClose(error: Error | undefined): void {
    this.#fail(closedError(error === undefined ? 'closed the connection' : `failed (${error.message})`, this.#state));
    this.#close();
  }

  /** @returns where to go on, or -1 when the head is not complete */
  #readHead(bytes: Buffer, start: number): number {
    const end = bytes.indexOf('\r\n\r\n', start, 'latin1');
    if (end < 0 || end - start > HEAD_BYTES_MAX) {
      if (bytes.length - start > HEAD_BYTES_MAX) {
        throw new ProxyError('server-malformed', `the response head has more than ${HEAD_BYTES_MAX} bytes`);
      }
      this.#unread = Buffer.from(bytes.subarray(start));
      return -1;
    }
    const head = parseResponseHead(bytes.toString('latin1', start, end + 2), this.#method);
    const bodyStart = end + 4;
    const sink = this.#sink;
    if (sink === undefined) return bodyStart;
    if (head.status === 101 || (this.#method === 'CONNECT' && head.status >= 200 && head.status < 300)) {
      if (head.status === 101 && head.upgrade === undefined)
        throw new ProxyError('server-malformed', 'status 101 without Upgrade');
      // Else what the client sends next, which is a request, would pass unseen.
      if (head.status === 101 && !this.#asksToSwitch)
        throw new ProxyError('server-malformed', 'the server switches protocols without being asked');
      this.#sink = undefined;
      this.#close();
      this.connection.pause();
      const tunnel = head.status === 101 ? head : withoutFraming(head);
      sink.switchProtocols(tunnel, this.connection, bytes.subarray(bodyStart));
      return bytes.length;
    }
    if (head.status < 200) {
      this.#interimBytes = withInterim(this.#interimBytes, bodyStart - start);
      sink.inform(head);
      return bodyStart;
    }
    if (!head.isPersistent) this.#isPersistent = false;
    this.keepAliveMs = head.keepAliveMs ?? this.keepAliveMs;
    this.#body.reset(head.body, head.bodyBytes);
    const bodyEnd = this.#body.scan(bytes, bodyStart);
    const body = bodyEnd > bodyStart ? bytes.subarray(bodyStart, bodyEnd) : undefined;
    const isEnd = this.#body.isDone;
    this.#state = 'body';
    if (isEnd) this.#finish(bytes.length > bodyEnd);
    if (!sink.respond(head, body, isEnd) && !isEnd) this.connection.pause();
    return bodyEnd;
  }

  #readBody(bytes: Buffer, start: number): number {
    const end = this.#body.scan(bytes, start);
    const isEnd = this.#body.isDone;
    const sink = this.#sink;
    if (isEnd) this.#finish(bytes.length > end);
    if (sink !== undefined && !sink.respond(undefined, bytes.subarray(start, end), isEnd) && !isEnd)
      this.connection.pause();
    return end;
  }

  /** The response is complete. Before the last part is passed on, so that the next request finds this connection. */
  #finish(hasSurplus: boolean): void {
    this.#state = 'idle';
    // Bytes behind the response: they must never be taken for the answer to a later request.
    if (hasSurplus) this.#isPersistent = false;
    if (!this.#isRequestDone) return; // the sink stays: it wants to hear when there is room again
    this.#release();
  }

  #release(): void {
    this.#sink = undefined;
    if (this.#isPersistent && !this.connection.isReadEnded) this.#owner.onIdle(this);
    else {
      this.#close();
      this.connection.endAndClose();
    }
  }

  #fail(error: ProxyError): void {
    const sink = this.#sink;
    this.#sink = undefined;
    this.#close();
    if (!this.connection.isClosed && error.code === 'server-malformed') this.connection.destroy();
    sink?.fail(error);
  }

  #close(): void {
    this.#state = 'closed';
    this.#unread = undefined;
    if (this.#isGone) return;
    this.#isGone = true;
    this.#owner.onGone(this);
  }
}

/** What a server says about a body in its answer to CONNECT does not count (RFC 9110 section 9.3.6), nor for anybody behind us. */
function withoutFraming(head: ResponseHead): ResponseHead {
  return { ...head, lines: head.lines.replace(/^(?:content-length|transfer-encoding):.*\r\n/gim, '') };
}

function closedError(what: string, state: State): ProxyError {
  const when = state === 'body' ? 'in the middle of its response' : 'before it answered';
  return new ProxyError('server-closed', `the server ${what} ${when}`);
}
