import { constants, type ClientHttp2Session, type ClientHttp2Stream, type IncomingHttpHeaders } from 'node:http2';
import type { Logger } from '#runtime/log.ts';
import { resolve, type ControlAddress } from './address.ts';
import { backoffMs } from './backoff.ts';
import { connectControl, type ControlConnectOptions } from './control-connection.ts';

/** gRPC status codes that this proxy acts on. Source: grpc `doc/statuscodes.md`. */
export const STATUS = {
  ok: 0,
  unknown: 2,
  invalidArgument: 3,
  deadlineExceeded: 4,
  failedPrecondition: 9,
  internal: 13,
  unavailable: 14,
} as const;

/** How a call ended without success. */
export class GrpcError extends Error {
  override readonly name = 'GrpcError';
  readonly status: number;

  constructor(status: number, message: string, options?: ErrorOptions) {
    super(message, options);
    this.status = status;
  }
}

/** One method of a generated service definition. */
export type Method<Request, Response> = {
  readonly path: string;
  readonly requestSerialize: (request: Request) => Buffer;
  readonly responseDeserialize: (bytes: Buffer) => Response;
};

/** What a stream of answers calls. `onEnd` is the last call. */
export type StreamHandler<Response> = { onMessage(message: Response): void; onEnd(error: GrpcError): void };

const MESSAGE_BYTES_MAX = 4 * 1024 * 1024;
const PING_INTERVAL_MS = 10_000;
const PING_TIMEOUT_MS = 5000;

export type GrpcClientOptions = ControlConnectOptions & {
  readonly log: Logger;
  readonly random: () => number;
  readonly service?: string; // for people; absent: the control plane
  /** Tells whether the service can be reached, at every change. */
  readonly onReachable?: (isReachable: boolean) => void;
};

/**
 * Calls one control-plane service. Keeps one connection, watched by pings; opens another, to whatever the name resolves
 * to then, when it is lost, with a pause that grows. Calls made meanwhile fail as unavailable when the attempt fails.
 */
export class GrpcClient implements Disposable {
  readonly #target: ControlAddress;
  readonly #options: GrpcClientOptions;
  #session: ClientHttp2Session | undefined;
  #connecting: Promise<ClientHttp2Session> | undefined;
  #failures = 0;
  #notBeforeMs = 0;
  #isDisposed = false;

  constructor(target: ControlAddress, options: GrpcClientOptions) {
    this.#target = target;
    this.#options = options;
  }

  /** False from a failed connection attempt until a connection stands again. */
  get isReachable(): boolean {
    return this.#failures === 0;
  }

  /** @throws GrpcError */
  unary<Req, Rsp>(method: Method<Req, Rsp>, request: Req, timeoutMs: number): Promise<Rsp> {
    return new Promise((resolvePromise, reject) => {
      let answer: Rsp | undefined;
      const call = this.stream(method, request, {
        onMessage: (message) => {
          answer = message;
        },
        onEnd: (error) => {
          clearTimeout(timer);
          if (answer === undefined || error.status !== STATUS.ok) reject(error);
          else resolvePromise(answer);
        },
      });
      const timer = setTimeout(() => {
        call[Symbol.dispose]();
        reject(new GrpcError(STATUS.deadlineExceeded, `${method.path}: no answer within ${timeoutMs} ms`));
      }, timeoutMs);
    });
  }

  /** Sends one request and hears its answers until the stream ends or the result is disposed of. */
  stream<Req, Rsp>(method: Method<Req, Rsp>, request: Req, handler: StreamHandler<Rsp>): Disposable {
    let call: Call<Rsp> | undefined;
    let isCancelled = false;
    this.#connected().then(
      (session) => {
        if (isCancelled) return;
        call = new Call(session, method, handler);
        call.send(method.requestSerialize(request));
      },
      (error: unknown) => {
        if (isCancelled) return;
        handler.onEnd(
          new GrpcError(STATUS.unavailable, error instanceof Error ? error.message : String(error), { cause: error }),
        );
      },
    );
    return {
      [Symbol.dispose]: () => {
        isCancelled = true;
        call?.cancel();
      },
    };
  }

  /** Closes the connection; running calls end. */
  [Symbol.dispose](): void {
    this.#isDisposed = true;
    this.#session?.destroy();
  }

  get #service(): string {
    return this.#options.service ?? 'control plane';
  }

  #connected(): Promise<ClientHttp2Session> {
    const session = this.#session;
    if (session !== undefined && !session.closed && !session.destroyed) return Promise.resolve(session);
    this.#connecting ??= this.#connect().finally(() => {
      this.#connecting = undefined;
    });
    return this.#connecting;
  }

  async #connect(): Promise<ClientHttp2Session> {
    const { host, port } = this.#target;
    await delay(this.#notBeforeMs - performance.now());
    if (this.#isDisposed) throw new GrpcError(STATUS.unavailable, 'the client is closed');
    try {
      const session = await this.#connectAny(shuffle(await resolve(host), this.#options.random));
      if (this.#failures > 0) this.#options.log.info({ host, port }, `${this.#service} is reachable again`);
      this.#failures = 0;
      this.#notBeforeMs = 0;
      this.#options.onReachable?.(true);
      this.#keep(session);
      return session;
    } catch (error) {
      this.#failures += 1;
      this.#notBeforeMs = performance.now() + backoffMs(this.#failures, this.#options.random());
      if (this.#failures === 1) {
        const { service, log } = this.#options;
        const consequence = service === undefined ? 'going on with what is known' : 'going on without';
        log.warn({ host, port, err: error }, `${this.#service} cannot be reached, ${consequence}`);
        this.#options.onReachable?.(false);
      }
      throw error;
    }
  }

  async #connectAny(addresses: readonly string[]): Promise<ClientHttp2Session> {
    let failure: unknown = new Error(`${this.#target.host} has no address`);
    for (const address of addresses.slice(0, 3)) {
      try {
        return await connectControl(this.#target, address, this.#options);
      } catch (error) {
        failure = error;
      }
    }
    throw failure;
  }

  #keep(session: ClientHttp2Session): void {
    this.#session = session;
    const ping = setInterval(() => {
      const timer = setTimeout(() => session.destroy(), PING_TIMEOUT_MS);
      timer.unref();
      const isSent = !session.destroyed && session.ping(() => clearTimeout(timer));
      if (!isSent) clearTimeout(timer);
    }, PING_INTERVAL_MS);
    ping.unref();
    session.once('close', () => {
      clearInterval(ping);
      if (this.#session === session) this.#session = undefined;
    });
    session.once('goaway', () => {
      // The server is leaving: new calls go over a new connection, running ones end by themselves.
      if (this.#session === session) this.#session = undefined;
    });
    if (this.#isDisposed) session.destroy();
  }
}

/** One call: framing of gRPC messages over an HTTP/2 stream. Source: grpc `doc/PROTOCOL-HTTP2.md`. */
class Call<Rsp> {
  readonly #stream: ClientHttp2Stream;
  readonly #path: string;
  readonly #handler: StreamHandler<Rsp>;
  readonly #decode: (bytes: Buffer) => Rsp;
  #unread: Buffer = Buffer.alloc(0);
  #trailers: IncomingHttpHeaders = {};
  #httpStatus = 0;
  #isOver = false;
  #failure: GrpcError | undefined;

  constructor(session: ClientHttp2Session, method: Method<never, Rsp>, handler: StreamHandler<Rsp>) {
    this.#handler = handler;
    this.#path = method.path;
    this.#decode = method.responseDeserialize;
    this.#stream = session.request({
      ':method': 'POST',
      ':path': method.path,
      'content-type': 'application/grpc',
      te: 'trailers',
      'user-agent': 'tulle-proxy',
    });
    this.#stream.on('response', (headers) => {
      this.#httpStatus = headers[':status'] ?? 0;
      if (headers['grpc-status'] !== undefined) this.#trailers = headers; // trailers only
    });
    this.#stream.on('trailers', (trailers) => {
      this.#trailers = trailers;
    });
    this.#stream.on('data', (bytes: Buffer) => this.#read(bytes));
    this.#stream.on('error', (error) => {
      this.#failure ??= new GrpcError(STATUS.unavailable, error.message, { cause: error });
    });
    this.#stream.on('close', () => this.#over());
  }

  send(message: Buffer): void {
    const frame = Buffer.alloc(5 + message.length);
    frame.writeUInt32BE(message.length, 1);
    message.copy(frame, 5);
    this.#stream.end(frame);
  }

  cancel(): void {
    this.#isOver = true;
    this.#stream.close(constants.NGHTTP2_CANCEL);
  }

  #read(bytes: Buffer): void {
    this.#unread = this.#unread.length === 0 ? bytes : Buffer.concat([this.#unread, bytes]);
    while (!this.#isOver && this.#unread.length >= 5) {
      const length = this.#unread.readUInt32BE(1);
      if (this.#unread[0] !== 0) return this.#abort('a compressed message');
      if (length > MESSAGE_BYTES_MAX) return this.#abort(`a message of ${length} bytes`);
      if (this.#unread.length < 5 + length) return;
      const message = this.#unread.subarray(5, 5 + length);
      this.#unread = this.#unread.subarray(5 + length);
      let decoded: Rsp;
      try {
        decoded = this.#decode(message);
      } catch (error) {
        return this.#abort(`a message that cannot be read (${String(error)})`);
      }
      this.#handler.onMessage(decoded);
    }
  }

  #abort(what: string): void {
    this.#failure ??= new GrpcError(STATUS.internal, `${this.#path}: the server sent ${what}`);
    this.#stream.close(constants.NGHTTP2_CANCEL);
  }

  #over(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#handler.onEnd(this.#failure ?? this.#statusError());
  }

  #statusError(): GrpcError {
    const status = this.#trailers['grpc-status'];
    if (typeof status === 'string' && /^\d{1,2}$/.test(status)) {
      const message = this.#trailers['grpc-message'];
      return new GrpcError(Number(status), `${this.#path}: ${decodeMessage(message)}`);
    }
    const httpStatus =
      this.#httpStatus === 0 ? 'the connection was lost' : `HTTP status ${this.#httpStatus} without grpc-status`;
    return new GrpcError(STATUS.unavailable, `${this.#path}: ${httpStatus}`);
  }
}

function decodeMessage(message: string | readonly string[] | undefined): string {
  if (typeof message !== 'string') return '';
  try {
    return decodeURIComponent(message);
  } catch {
    return message;
  }
}

function shuffle(addresses: readonly string[], random: () => number): readonly string[] {
  return addresses
    .map((address) => ({ address, order: random() }))
    .sort((a, b) => a.order - b.order)
    .map(({ address }) => address);
}

function delay(ms: number): Promise<void> {
  return ms <= 0 ? Promise.resolve() : new Promise((resolvePromise) => void setTimeout(resolvePromise, ms));
}
