import type { AddressInfo } from 'node:net';
import { createServer, type Server as TlsServer, type TLSSocket } from 'node:tls';
import { Server, ServerCredentials, type ServiceDefinition, type UntypedServiceImplementation } from '@grpc/grpc-js';
import type { SendBacklog } from './send-backlog.ts';
import type { Outlet } from './serve-watch.ts';
import { STREAMS_MAX, StreamLimits } from './stream-limits.ts';

/** What a server shows to its clients, all PEM. */
export type ServerIdentity = {
  readonly key: string;
  readonly cert: string; // leaf first
  readonly ca: string; // trust anchors that client certificates are checked against
};

/** TLS handshakes of clients that say nothing are ended after this time. */
const HANDSHAKE_TIMEOUT_MS = 10_000;

/** Pings that find out about peers that are gone: how often, and how long an answer may take. */
const KEEPALIVE = { timeMs: 30_000, timeoutMs: 10_000 };

/** Connections without a call are ended after this time: a proxy that has something to ask comes back. */
const CONNECTION_IDLE_MS = 10 * 60_000;

/** How many connections there may be: one for each proxy, with room to spare. */
const CONNECTIONS_MAX = 5_000;

/** How often it is looked for clients that do not take their messages. */
const SWEEP_MS_MAX = 1_000;

/** Requests are a name, or a certificate request with a token. */
const MESSAGE_BYTES_MAX = 128 * 1024;

/**
 * A gRPC server with TLS 1.3 as proxies expect it: a client certificate is asked for and never required, because proxies
 * connect before they have one and renew when theirs may have expired; ALPN is answered only when it is offered.
 * TLS is terminated here because grpc-js turns clients away that offer no ALPN.
 */
export class GrpcServer implements Outlet {
  readonly #grpc: Server;
  readonly #injector: ReturnType<Server['createConnectionInjector']>;
  readonly #tls: TlsServer;
  readonly #sockets = new Map<string, TLSSocket>(); // by the name that calls know their client by
  readonly #limits: StreamLimits;
  readonly #sweep: NodeJS.Timeout;
  readonly #stopping = new AbortController();

  /** @param limits  of calls; shared by the servers of a process */
  constructor(identity: ServerIdentity, limits = new StreamLimits(), keepalive = KEEPALIVE) {
    this.#limits = limits;
    this.#sweep = setInterval(() => this.#endOverdue(), SWEEP_MS_MAX);
    this.#sweep.unref();
    this.#grpc = new Server({
      'grpc.keepalive_time_ms': keepalive.timeMs,
      'grpc.keepalive_timeout_ms': keepalive.timeoutMs,
      'grpc.max_connection_idle_ms': CONNECTION_IDLE_MS,
      'grpc.max_receive_message_length': MESSAGE_BYTES_MAX,
      'grpc.max_concurrent_streams': STREAMS_MAX, // beyond the limits, which say why
      interceptors: [limits.interceptor],
    });
    this.#injector = this.#grpc.createConnectionInjector(ServerCredentials.createInsecure());
    this.#tls = createServer({
      ...identity,
      requestCert: true,
      rejectUnauthorized: false,
      minVersion: 'TLSv1.3',
      ALPNProtocols: ['h2'],
      handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
    });
    this.#tls.maxConnections = CONNECTIONS_MAX;
    this.#tls.on('secureConnection', (socket) => this.#accept(socket));
    this.#tls.on('tlsClientError', (_error, socket) => socket.destroy());
  }

  /** Aborted when the server begins to stop: streams should then be ended. */
  get stopping(): AbortSignal {
    return this.#stopping.signal;
  }

  get backlog(): SendBacklog {
    return this.#limits.backlog;
  }

  addService(definition: ServiceDefinition, implementation: UntypedServiceImplementation): void {
    this.#grpc.addService(withSizes(definition, this.backlog), implementation);
  }

  /** For handshakes from now on. Connections that exist keep theirs. */
  setIdentity(identity: ServerIdentity): void {
    this.#tls.setSecureContext({ ...identity, minVersion: 'TLSv1.3' });
  }

  /** @returns the port it listens on. @throws the listen error */
  async listen(port: number, host?: string): Promise<number> {
    await new Promise<void>((resolve, reject) => {
      this.#tls.once('error', reject);
      this.#tls.listen(port, host, () => {
        this.#tls.off('error', reject);
        resolve();
      });
    });
    return (this.#tls.address() as AddressInfo).port;
  }

  /** Stops accepting, lets streams end, and closes what is left after `graceMs`. */
  async stop(graceMs: number): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#tls.close(() => resolve()));
    this.#stopping.abort();
    clearInterval(this.#sweep);
    this.#injector.drain(graceMs);
    const timer = setTimeout(() => {
      for (const socket of this.#sockets.values()) socket.destroy();
    }, graceMs);
    await closed;
    clearTimeout(timer);
    this.#injector.destroy();
    this.#grpc.forceShutdown();
  }

  #accept(socket: TLSSocket): void {
    const peer = `${socket.remoteAddress}:${socket.remotePort}`; // as grpc-js names it
    this.#sockets.set(peer, socket);
    socket.once('close', () => this.#sockets.delete(peer));
    socket.on('error', () => socket.destroy());
    socket.setNoDelay(true);
    // Node's HTTP/2 server refuses a TLS socket without this; most clients offer no ALPN.
    socket.alpnProtocol = 'h2';
    this.#injector.injectConnection(socket);
  }

  /** Nothing else helps: the status of a call would have to wait behind the message that is not taken. */
  #endOverdue(): void {
    for (const peer of this.backlog.overdue) {
      const socket = this.#sockets.get(peer);
      if (socket === undefined) continue; // of another server, or gone
      this.#limits.notTaken();
      socket.destroy();
    }
  }
}

/** The same service, whose messages have a known size when they are sent. */
function withSizes(definition: ServiceDefinition, backlog: SendBacklog): ServiceDefinition {
  return Object.fromEntries(
    Object.entries(definition).map(([name, method]) => {
      const responseSerialize = (message: object): Buffer => {
        const bytes = method.responseSerialize(message);
        backlog.encoded(message, bytes.length);
        return bytes;
      };
      return [name, { ...method, responseSerialize }];
    }),
  );
}
