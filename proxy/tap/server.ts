import type { Socket } from 'node:net';
import type { ObserveRequest } from '#api/gen/tap.ts';
import { DecodeError } from '#api/decode/decode-error.ts';
import { TapService } from '#api/gen/tap.ts';
import type { Logger } from '#runtime/log.ts';
import { readFirstBytes } from '../accept/first-bytes.ts';
import { Listener } from '../accept/listener.ts';
import { acceptTls, TlsAcceptError } from '../accept/tls-accept.ts';
import { frameMessage, MessageError, MessageReader } from '../grpc/messages.ts';
import { ErrorCode } from '../http2/errors.ts';
import type { Field } from '../http/field.ts';
import { CLIENT_LINK } from '../http2/link-class.ts';
import { Session, type ServedHandler } from '../http2/session.ts';
import type { Stream } from '../http2/stream.ts';
import type { Credentials } from '../identity/credentials.ts';
import { Connection } from '../transport/connection.ts';
import type { TapHub } from './hub.ts';
import { compileMatch, MatchError, type Predicate } from './match.ts';

const CONNECTIONS_MAX = 16;
const STREAMS_MAX = 16; // of one connection
const REQUEST_BYTES_MAX = 64 * 1024;
/** Events that wait for the observer to read; more are dropped and counted. Source: linkerd2-proxy. */
const EVENTS_PENDING_MAX = 400;
const LIMIT_MAX = 1_000_000;
const SWEEP_MS = 1000;
/** Connections are few: one without a tap is ended. */
const IDLE_MS = 30_000;
const TLS_RECORD_HANDSHAKE = 22;
const NO_BYTES = Buffer.alloc(0);

/** gRPC status codes of refusals. Source: grpc `doc/statuscodes.md`. */
const INVALID_ARGUMENT = 3;
const RESOURCE_EXHAUSTED = 8;
const UNIMPLEMENTED = 12;
const UNAUTHENTICATED = 16;

export type TapServerOptions = {
  readonly host: string;
  readonly port: number;
  /** The one identity that is served. */
  readonly client: string;
  readonly credentials: () => Credentials | undefined;
  readonly hub: TapHub;
  readonly log: Logger;
  readonly timeoutMs: number; // for the handshake
};

/** `io.linkerd.proxy.tap.Tap` on the control port, for one client identity over mutual TLS. */
export class TapServer implements Disposable {
  readonly #options: TapServerOptions;
  readonly #sessions = new Map<Session, number>(); // with the time since which it has no streams
  #sweep: NodeJS.Timeout | undefined;
  #listener: Listener | undefined;

  constructor(options: TapServerOptions) {
    this.#options = options;
  }

  get port(): number {
    return this.#listener?.port ?? this.#options.port;
  }

  /** @throws the listen error */
  async listen(): Promise<void> {
    const { host, port, log } = this.#options;
    this.#listener = await Listener.listen({
      host,
      port,
      connectionsMax: CONNECTIONS_MAX,
      onConnection: (socket) =>
        void this.#accept(socket).catch((error: unknown) => {
          log.warn({ err: error }, 'tap: a connection failed');
          socket.destroy();
        }),
    });
    this.#sweep = setInterval(() => this.#sweepAll(performance.now()), SWEEP_MS);
    this.#sweep.unref();
  }

  [Symbol.dispose](): void {
    clearInterval(this.#sweep);
    for (const session of this.#sessions.keys()) session.connection.destroy();
    this.#listener?.[Symbol.dispose]();
  }

  #sweepAll(nowMs: number): void {
    for (const [session, idleSinceMs] of this.#sessions) {
      session.sweep(nowMs);
      if (session.isClosed) this.#sessions.delete(session);
      else if (session.streams.size > 0) this.#sessions.set(session, nowMs);
      else if (nowMs - idleSinceMs > IDLE_MS) session.connection.destroy();
    }
  }

  async #accept(socket: Socket): Promise<void> {
    const { timeoutMs, credentials: current, log } = this.#options;
    const connection = new Connection(socket);
    const first = await readFirstBytes(connection, NO_BYTES, (bytes) => bytes.length > 0, timeoutMs);
    if (first.kind !== 'bytes') {
      socket.destroy();
      return;
    }
    if (first.bytes[0] !== TLS_RECORD_HANDSHAKE) {
      this.#serve(connection, first.bytes, undefined);
      return;
    }
    const raw = connection.release(first.bytes);
    const credentials = current();
    if (credentials === undefined) {
      socket.destroy();
      return;
    }
    try {
      const tls = await acceptTls(raw, credentials, ['h2'], timeoutMs);
      this.#serve(new Connection(tls.socket, undefined, raw), NO_BYTES, tls.clientIdentity);
    } catch (error) {
      if (!(error instanceof TlsAcceptError)) throw error;
      log.warn(`tap: TLS refused: ${error.message}`);
    }
  }

  #serve(connection: Connection, early: Buffer, identity: string | undefined): void {
    const session: Session = new Session(
      connection,
      false,
      {
        onStream: () => new TapCall(session, this.#options, identity),
        onRoom() {},
        onGone() {},
      },
      () => performance.now(),
      CLIENT_LINK,
    );
    this.#sessions.set(session, performance.now());
    connection.readFast();
    connection.start(session);
    if (early.length > 0) session.onData(early);
  }
}

/** One call of `Observe`: refused, or a tap until its limit is reached or the observer goes. */
class TapCall implements ServedHandler {
  readonly #session: Session;
  readonly #options: TapServerOptions;
  readonly #identity: string | undefined;
  readonly #reader = new MessageReader(REQUEST_BYTES_MAX);
  #stream: Stream | undefined;
  #tap: Disposable | undefined;
  #isAnswered = false;
  #hasRoom = true;
  readonly #pending: Buffer[] = [];
  #isDone = false; // nothing comes after what is pending
  #dropped = 0;

  constructor(session: Session, options: TapServerOptions, identity: string | undefined) {
    this.#session = session;
    this.#options = options;
    this.#identity = identity;
  }

  attach(stream: Stream): void {
    this.#stream = stream;
  }

  onFields(fields: readonly Field[]): void {
    if (this.#isAnswered) return; // trailers
    const { client, log } = this.#options;
    const path = fields.find(({ name }) => name === ':path')?.value;
    if (this.#session.streams.size > STREAMS_MAX) {
      this.#refuse(RESOURCE_EXHAUSTED, `a connection may have ${STREAMS_MAX} taps`);
    } else if (path !== TapService.observe.path) {
      this.#refuse(UNIMPLEMENTED, `there is no ${path ?? 'method'} here`);
    } else if (this.#identity !== client) {
      const name = this.#identity ?? 'no identity';
      log.warn({ client: name }, 'tap refused: the client is not the tap service');
      this.#refuse(UNAUTHENTICATED, `Unauthorized client: ${name} may not tap this workload`);
    }
  }

  onData(bytes: Buffer): boolean {
    if (this.#isAnswered) return true;
    try {
      const [message] = this.#reader.read(bytes);
      if (message !== undefined) this.#observe(message);
    } catch (error) {
      if (!(error instanceof MessageError)) throw error;
      this.#refuse(INVALID_ARGUMENT, `the request is ${error.message}`);
    }
    return true;
  }

  onDrain(): void {
    this.#hasRoom = true;
    while (this.#hasRoom && this.#pending.length > 0) this.#send(this.#pending.shift());
    if (this.#isDone && this.#pending.length === 0) this.#end();
  }

  onReset(): void {
    this.#stop();
  }

  onBatchEnd(): void {}

  #observe(message: Buffer): void {
    let request: ObserveRequest;
    let matches: Predicate;
    try {
      request = TapService.observe.requestDeserialize(message);
      if (request.limit < 1 || request.limit > LIMIT_MAX) throw new MatchError(`limit must be 1 to ${LIMIT_MAX}`);
      matches = compileMatch(request.match);
    } catch (error) {
      const isExplained = error instanceof MatchError || error instanceof DecodeError;
      this.#refuse(INVALID_ARGUMENT, isExplained ? error.message : 'the request cannot be read');
      return;
    }
    this.#answer('', false);
    this.#tap = this.#options.hub.observe({
      matches,
      limit: request.limit,
      hasHeaders: request.extract?.extract?.value.extract?.$case === 'headers',
      emit: (event) => this.#emit(frameMessage(TapService.observe.responseSerialize(event))),
      onDone: () => {
        this.#isDone = true;
        this.#stop();
        if (this.#pending.length === 0) this.#end();
      },
    });
  }

  #emit(event: Buffer): void {
    if (this.#hasRoom) this.#send(event);
    else if (this.#pending.length < EVENTS_PENDING_MAX) this.#pending.push(event);
    else this.#dropped += 1;
  }

  #send(event: Buffer | undefined): void {
    this.#hasRoom = this.#stream?.sendData(event, false) ?? true;
  }

  #end(): void {
    this.#stream?.sendData(undefined, true, 'grpc-status: 0\r\n');
  }

  #stop(): void {
    this.#tap?.[Symbol.dispose]();
    this.#tap = undefined;
    if (this.#dropped > 0)
      this.#options.log.warn({ dropped: this.#dropped }, 'tap: events dropped, the observer read too slowly');
    this.#dropped = 0;
  }

  #refuse(status: number, message: string): void {
    if (this.#isAnswered) return;
    this.#answer(`grpc-status: ${status}\r\ngrpc-message: ${encodeURIComponent(message)}\r\n`, true);
    if (this.#stream?.isClosed === false) this.#stream.reset(ErrorCode.NO_ERROR); // the rest of the request is not wanted
  }

  /** @param fields  further ones, each with its CRLF */
  #answer(fields: string, isEnd: boolean): void {
    this.#isAnswered = true;
    const stream = this.#stream;
    if (stream === undefined) return;
    const encoder = this.#session.beginHead();
    encoder.field(':status', '200');
    encoder.field('content-type', 'application/grpc');
    encoder.lines(fields);
    this.#session.sendHead(stream, isEnd);
  }
}
