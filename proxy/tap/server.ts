import type { Socket } from 'node:net';
import type { Logger } from '#runtime/log.ts';
import { readFirstBytes } from '../accept/first-bytes.ts';
import { Listener } from '../accept/listener.ts';
import { acceptTls, TlsAcceptError } from '../accept/tls-accept.ts';
import { CLIENT_LINK } from '../http2/link-class.ts';
import { Session } from '../http2/session.ts';
import type { Credentials } from '../identity/credentials.ts';
import { Connection } from '../transport/connection.ts';
import { TapCall } from './call.ts';
import type { TapHub } from './hub.ts';

const CONNECTIONS_MAX = 16;
const SWEEP_MS = 1000;
/** How long a call may take to say what it wants. */
const REQUEST_MS = 10_000;
const TLS_RECORD_HANDSHAKE = 22;
const NO_BYTES = Buffer.alloc(0);

export type TapServerOptions = {
  readonly host: string;
  readonly port: number;
  /** The one identity that is served. */
  readonly client: string;
  readonly credentials: () => Credentials | undefined;
  readonly hub: TapHub;
  readonly log: Logger;
  readonly timeoutMs: number; // for the handshake
  readonly idleMs: number; // connections are few: one without a tap for so long is ended
};

/** `io.linkerd.proxy.tap.Tap` on the control port, for one client identity over mutual TLS. */
export class TapServer implements Disposable {
  readonly #options: TapServerOptions;
  readonly #sessions = new Map<Session, number>(); // with the time since which it has no streams
  readonly #waiting = new Set<TapCall>(); // for their requests
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
      else if (nowMs - idleSinceMs > this.#options.idleMs) session.closeIdle();
    }
    for (const call of this.#waiting) {
      if (nowMs - call.startedMs > REQUEST_MS) call.giveUp();
      if (!call.isWaiting) this.#waiting.delete(call);
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
        onStream: () => {
          const call = new TapCall(session, this.#options, identity, performance.now());
          this.#waiting.add(call);
          return call;
        },
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
