import type { Logger } from '#runtime/log.ts';
import type { Field } from '../http/field.ts';
import { MESH_LINK } from '../http2/link-class.ts';
import { Session } from '../http2/session.ts';
import type { Stream, StreamFailure, StreamHandler } from '../http2/stream.ts';
import type { Connection } from '../transport/connection.ts';
import { resolve, type ControlAddress } from './address.ts';
import { connectControl, type ControlConnectOptions } from './connect.ts';
import { frameMessage, MessageError, MessageReader } from './messages.ts';
import { ReconnectPace } from './reconnect-pace.ts';

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
export type AnswerHandler<Response> = { onMessage(message: Response): void; onEnd(error: GrpcError): void };

const MESSAGE_BYTES_MAX = 4 * 1024 * 1024;
/** How long a server may take to say that it speaks HTTP/2. */
const SETTINGS_TIMEOUT_MS = 5000;
const SWEEP_MS = 1000;

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
  readonly #sessions = new Set<Session>(); // also those that take no more calls, until they are closed
  #connecting: Promise<Session> | undefined;
  readonly #pace: ReconnectPace;
  #isDisposed = false;

  constructor(target: ControlAddress, options: GrpcClientOptions) {
    this.#target = target;
    this.#options = options;
    this.#pace = new ReconnectPace(() => performance.now(), options.random);
  }

  /** False from a failed connection attempt until a connection stands again. */
  get isReachable(): boolean {
    return this.#pace.failures === 0;
  }

  /** How long a watch waits before it asks again. @param failures  ends of its stream in a row, >= 1 */
  watchPauseMs(failures: number): number {
    return this.#pace.watchPauseMs(failures, this.#usable !== undefined);
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
  stream<Req, Rsp>(method: Method<Req, Rsp>, request: Req, handler: AnswerHandler<Rsp>): Disposable {
    let call: Call<Rsp> | undefined;
    let isCancelled = false;
    this.#connected().then(
      (session) => {
        if (isCancelled) return;
        call = new Call(session, `${this.#target.host}:${this.#target.port}`, method, handler);
        call.start(method.requestSerialize(request));
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
    for (const session of this.#sessions) session.connection.destroy();
  }

  get #service(): string {
    return this.#options.service ?? 'control plane';
  }

  get #usable(): Session | undefined {
    for (const session of this.#sessions) if (session.isUsable) return session;
    return undefined;
  }

  #connected(): Promise<Session> {
    const usable = this.#usable;
    if (usable !== undefined) return Promise.resolve(usable);
    this.#connecting ??= this.#connect().finally(() => {
      this.#connecting = undefined;
    });
    return this.#connecting;
  }

  async #connect(): Promise<Session> {
    const { host, port } = this.#target;
    await delay(this.#pace.connectPauseMs);
    if (this.#isDisposed) throw new GrpcError(STATUS.unavailable, 'the client is closed');
    try {
      const session = await this.#connectAny(shuffle(await resolve(host), this.#options.random));
      if (!this.isReachable) this.#options.log.info({ host, port }, `${this.#service} is reachable again`);
      this.#pace.connected();
      this.#options.onReachable?.(true);
      if (this.#isDisposed) session.connection.destroy();
      return session;
    } catch (error) {
      this.#pace.failed();
      if (this.#pace.failures === 1) {
        const { service, log } = this.#options;
        const consequence = service === undefined ? 'going on with what is known' : 'going on without';
        log.warn({ host, port, err: error }, `${this.#service} cannot be reached, ${consequence}`);
        this.#options.onReachable?.(false);
      }
      throw error;
    }
  }

  async #connectAny(addresses: readonly string[]): Promise<Session> {
    let failure: unknown = new Error(`${this.#target.host} has no address`);
    for (const address of addresses.slice(0, 3)) {
      try {
        return await this.#open(await connectControl(this.#target, address, this.#options));
      } catch (error) {
        failure = error;
      }
    }
    throw failure;
  }

  /** Resolves when the server has shown that it speaks HTTP/2. From then on a silent one is asked for a sign of life. */
  #open(connection: Connection): Promise<Session> {
    return new Promise((done, reject) => {
      const session: Session = new Session(
        connection,
        true,
        {
          onStream: () => undefined,
          onRoom: () => {
            clearTimeout(timer);
            done(session);
          },
          onGone: (reason = 'it ended the connection') => {
            // The server is leaving: new calls go over a new connection, running ones end by themselves.
            clearTimeout(timer);
            reject(new Error(`${this.#target.host} does not speak HTTP/2: ${reason}`));
          },
        },
        () => performance.now(),
        MESH_LINK,
      );
      const timer = setTimeout(
        () => connection.destroy(new Error(`no SETTINGS within ${SETTINGS_TIMEOUT_MS} ms`)),
        SETTINGS_TIMEOUT_MS,
      );
      const sweep = setInterval(() => {
        session.sweep(performance.now());
        const { size } = session.streams;
        if (size === 0 && this.#usable !== session) session.closeIdle(); // another one serves what comes
        if (!session.isClosed) return;
        clearInterval(sweep);
        this.#sessions.delete(session);
      }, SWEEP_MS);
      sweep.unref();
      this.#sessions.add(session);
      connection.readFast();
      connection.start(session);
    });
  }
}

/** One call: framing of gRPC messages over an HTTP/2 stream. Source: grpc `doc/PROTOCOL-HTTP2.md`. */
class Call<Rsp> implements StreamHandler {
  readonly #session: Session;
  readonly #authority: string;
  readonly #path: string;
  readonly #handler: AnswerHandler<Rsp>;
  readonly #decode: (bytes: Buffer) => Rsp;
  readonly #reader = new MessageReader(MESSAGE_BYTES_MAX);
  #stream: Stream | undefined;
  /** Of the response: its HTTP status, then what says how the call ended. */
  #httpStatus: string | undefined;
  #status: string | undefined;
  #message = '';
  #isOver = false;

  constructor(session: Session, authority: string, method: Method<never, Rsp>, handler: AnswerHandler<Rsp>) {
    this.#session = session;
    this.#authority = authority;
    this.#handler = handler;
    this.#path = method.path;
    this.#decode = method.responseDeserialize;
  }

  start(message: Buffer): void {
    if (!this.#session.isUsable) {
      this.#end(new GrpcError(STATUS.unavailable, `${this.#path}: the connection takes no more calls`));
      return;
    }
    const encoder = this.#session.beginHead();
    encoder.field(':method', 'POST');
    encoder.field(':scheme', 'http');
    encoder.field(':authority', this.#authority);
    encoder.field(':path', this.#path);
    encoder.field('content-type', 'application/grpc');
    encoder.field('te', 'trailers');
    encoder.field('user-agent', 'tulle-proxy');
    this.#stream = this.#session.open(this, false);
    this.#stream.sendData(frameMessage(message), true);
  }

  cancel(): void {
    this.#isOver = true;
    this.#stream?.reset();
  }

  onFields(fields: readonly Field[], isEnd: boolean): void {
    for (const { name, value } of fields) {
      if (name === ':status') this.#httpStatus = value;
      else if (name === 'grpc-status') this.#status = value;
      else if (name === 'grpc-message') this.#message = decodeMessage(value);
    }
    if (isEnd) this.#end(this.#statusError());
  }

  onData(bytes: Buffer, isEnd: boolean): boolean {
    try {
      for (const message of this.#reader.read(bytes)) {
        if (this.#isOver) break; // the handler cancels
        this.#handler.onMessage(this.#read(message));
      }
    } catch (error) {
      if (!(error instanceof MessageError)) throw error;
      this.#stream?.reset();
      this.#end(new GrpcError(STATUS.internal, `${this.#path}: the server sent ${error.message}`, { cause: error }));
    }
    if (isEnd) this.#end(this.#statusError());
    return true;
  }

  onDrain(): void {}

  onBatchEnd(): void {}

  onReset({ message }: StreamFailure): void {
    this.#end(new GrpcError(STATUS.unavailable, `${this.#path}: ${message}`));
  }

  /** @throws MessageError */
  #read(message: Buffer): Rsp {
    try {
      return this.#decode(message);
    } catch (error) {
      throw new MessageError(`a message that cannot be read (${String(error)})`, { cause: error });
    }
  }

  #end(error: GrpcError): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#handler.onEnd(error);
  }

  #statusError(): GrpcError {
    if (this.#status !== undefined && /^\d{1,2}$/.test(this.#status))
      return new GrpcError(Number(this.#status), `${this.#path}: ${this.#message}`);
    const what = `HTTP status ${this.#httpStatus ?? 'missing'} without grpc-status`;
    return new GrpcError(STATUS.unavailable, `${this.#path}: ${what}`);
  }
}

/** Source: grpc `doc/PROTOCOL-HTTP2.md`, `Percent-Encoded`. */
function decodeMessage(message: string): string {
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
