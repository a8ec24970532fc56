import { constants, performServerHandshake, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import { duplexPair, pipeline } from 'node:stream';
import type { ObserveRequest } from '#api/gen/tap.ts';
import { DecodeError } from '#api/decode/decode-error.ts';
import { TapService } from '#api/gen/tap.ts';
import type { Logger } from '#runtime/log.ts';
import { readFirstBytes } from '../accept/first-bytes.ts';
import { Listener } from '../accept/listener.ts';
import { acceptTls, TlsAcceptError } from '../accept/tls-accept.ts';
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
const TLS_RECORD_HANDSHAKE = 22;
const NO_BYTES = Buffer.alloc(0);

/** gRPC status codes of refusals. Source: grpc `doc/statuscodes.md`. */
const INVALID_ARGUMENT = 3;
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
  readonly #sessions = new Set<ServerHttp2Session>();
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
  }

  [Symbol.dispose](): void {
    for (const session of this.#sessions) session.destroy();
    this.#listener?.[Symbol.dispose]();
  }

  async #accept(socket: Socket): Promise<void> {
    const { timeoutMs, credentials: current, log } = this.#options;
    const connection = new Connection(socket);
    const first = await readFirstBytes(connection, NO_BYTES, (bytes) => bytes.length > 0, timeoutMs);
    if (first.kind !== 'bytes') {
      socket.destroy();
      return;
    }
    const raw = connection.release(first.bytes);
    if (first.bytes[0] !== TLS_RECORD_HANDSHAKE) {
      this.#serve(raw, undefined);
      return;
    }
    const credentials = current();
    if (credentials === undefined) {
      socket.destroy();
      return;
    }
    try {
      const tls = await acceptTls(raw, credentials, ['h2'], timeoutMs);
      this.#serve(tls.socket, tls.clientIdentity);
    } catch (error) {
      if (!(error instanceof TlsAcceptError)) throw error;
      log.warn(`tap: TLS refused: ${error.message}`);
    }
  }

  #serve(socket: Socket, identity: string | undefined): void {
    // Through a pair of streams: what a TLS socket has read before the session takes its handle over would be lost.
    const [near, far] = duplexPair();
    pipeline(socket, near, socket, () => {
      far.destroy();
      socket.destroy();
    });
    const session = performServerHandshake(far, { settings: { maxConcurrentStreams: STREAMS_MAX } });
    this.#sessions.add(session);
    session.on('error', (error: Error) => this.#options.log.debug({ err: error }, 'tap: session error'));
    session.once('close', () => {
      this.#sessions.delete(session);
      socket.destroy();
    });
    session.on('stream', (stream, headers) => this.#call(stream, headers[':path'], identity));
  }

  #call(stream: ServerHttp2Stream, path: string | undefined, identity: string | undefined): void {
    const { client, log } = this.#options;
    stream.on('error', () => {}); // a stream that fails is closed; 'close' is what is acted on
    if (path !== TapService.observe.path) {
      refuse(stream, UNIMPLEMENTED, `there is no ${path ?? 'method'} here`);
      return;
    }
    if (identity !== client) {
      log.warn({ client: identity ?? 'none' }, 'tap refused: the client is not the tap service');
      refuse(stream, UNAUTHENTICATED, `Unauthorized client: ${identity ?? 'no identity'} may not tap this workload`);
      return;
    }
    let bytes: Buffer = NO_BYTES;
    let isRead = false;
    stream.on('data', (more: Buffer) => {
      if (isRead) return;
      bytes = Buffer.concat([bytes, more]);
      const length = bytes.length < 5 ? 0 : bytes.readUInt32BE(1);
      if (length > REQUEST_BYTES_MAX || bytes[0] === 1) {
        isRead = true;
        refuse(stream, INVALID_ARGUMENT, `the request is compressed or larger than ${REQUEST_BYTES_MAX} bytes`);
      } else if (bytes.length >= 5 && bytes.length >= 5 + length) {
        isRead = true;
        this.#observe(stream, bytes.subarray(5, 5 + length));
      }
    });
  }

  #observe(stream: ServerHttp2Stream, message: Buffer): void {
    let request: ObserveRequest;
    let matches: Predicate;
    try {
      request = TapService.observe.requestDeserialize(message);
      if (request.limit < 1 || request.limit > LIMIT_MAX) throw new MatchError(`limit must be 1 to ${LIMIT_MAX}`);
      matches = compileMatch(request.match);
    } catch (error) {
      const isExplained = error instanceof MatchError || error instanceof DecodeError;
      refuse(stream, INVALID_ARGUMENT, isExplained ? error.message : 'the request cannot be read');
      return;
    }
    let pending = 0;
    let dropped = 0;
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
    stream.on('wantTrailers', () => {
      if (!stream.closed) stream.sendTrailers({ 'grpc-status': '0' });
    });
    const tap = this.#options.hub.observe({
      matches,
      limit: request.limit,
      hasHeaders: request.extract?.extract?.value.extract?.$case === 'headers',
      emit(event) {
        if (stream.destroyed || stream.writableEnded) return;
        if (pending >= EVENTS_PENDING_MAX) {
          dropped += 1;
          return;
        }
        pending += 1;
        stream.write(frame(TapService.observe.responseSerialize(event)), () => {
          pending -= 1;
        });
      },
      onDone: () => {
        tap[Symbol.dispose]();
        stream.end();
      },
    });
    stream.once('close', () => {
      tap[Symbol.dispose]();
      if (dropped > 0) this.#options.log.warn({ dropped }, 'tap: events dropped, the observer read too slowly');
    });
  }
}

function frame(message: Buffer): Buffer {
  const framed = Buffer.alloc(5 + message.length);
  framed.writeUInt32BE(message.length, 1);
  message.copy(framed, 5);
  return framed;
}

function refuse(stream: ServerHttp2Stream, status: number, message: string): void {
  if (stream.destroyed || stream.headersSent) return;
  stream.respond(
    {
      ':status': 200,
      'content-type': 'application/grpc',
      'grpc-status': String(status),
      'grpc-message': encodeURIComponent(message),
    },
    { endStream: true },
  );
  stream.close(constants.NGHTTP2_NO_ERROR);
}
