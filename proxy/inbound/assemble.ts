import type { Socket } from 'node:net';
import { formatSocketAddress } from '#model/address.ts';
import type { Client, Denial, Verdict } from '#model/authorization.ts';
import { authorizeConnection } from '#model/inbound.ts';
import { formatResourceRef } from '#model/resource-ref.ts';
import { parseClientHello } from '../accept/client-hello.ts';
import { detectProtocol, pauseMs } from '../accept/detect.ts';
import { awaitOpening, readFirstBytes, type OpenServer } from '../accept/first-bytes.ts';
import type { FindDestination } from '../accept/listener.ts';
import { acceptTls, TlsAcceptError, type AcceptedTls } from '../accept/tls-accept.ts';
import type { DispatchOptions } from '../balance/dispatch.ts';
import { Cache, type Lease } from '../discovery/cache.ts';
import { failedAtOnce, type Origin } from '../decisions/decision.ts';
import { ProxyError, toProxyError } from '../errors.ts';
import type { Gateway } from '../gateway/gateway.ts';
import { Http1Servers } from '../http/servers.ts';
import { Http2Servers } from '../http2/server.ts';
import type { ServerTimeouts } from '../http/server.ts';
import { NO_SINK, type OnRejected, type ServeRequest } from '../http/exchange.ts';
import type { Labels } from '../metrics/family.ts';
import { noTlsLabels, refLabels } from '../metrics/labels.ts';
import type { AccessLog } from './access-log.ts';
import type { SocketAddress } from '../tap/match.ts';
import type { TapOrigin } from '../tap/hub.ts';
import { remoteOf } from '../tap/origin.ts';
import { Connection } from '../transport/connection.ts';
import { splice } from '../transport/copy.ts';
import {
  decodeTransportHeader,
  TRANSPORT_ALPN,
  TransportHeaderError,
  type TransportHeader,
} from '../transport/transport-header.ts';
import type { InboundContext } from './context.ts';
import { InboundRequests } from './http.ts';
import { InboundPort } from './port.ts';
import { whileAllowed } from './while-allowed.ts';

const NO_BYTES = Buffer.alloc(0);
const PLAIN: Client['tls'] = { kind: 'none' };

export type InboundOptions = InboundContext & {
  readonly gateway: Gateway;
  readonly findDestination: FindDestination;
  /** Addresses of this pod; empty when they are not known. Connections for others are dropped. */
  readonly ownAddresses: ReadonlySet<string>;
  /** Whether a port is one of the proxy's own, which must not be forwarded to. */
  readonly isOwnPort: (port: number) => boolean;
  /** Port of the inbound listener: connections made to it directly carry a transport header. */
  readonly listenPort: () => number;
  readonly timeouts: ServerTimeouts;
  readonly silenceMs: number;
  readonly detectTimeoutMs: number; // for TLS and for the transport header
  readonly policyIdleMs: number;
  readonly portsMax: number;
  readonly portsKnown: readonly number[]; // watched from the start
  readonly inFlightMax: number; // requests
  readonly accessLog: AccessLog | undefined;
};

/** How a client came, for its connection and its requests. */
type Arrival = { readonly client: Client; readonly tlsLabels: Labels };

/** The inbound side, for what others send to this workload: TLS, policy, then on to the application. */
export class Inbound implements Disposable {
  readonly #options: InboundOptions;
  readonly #ports: Cache<InboundPort>;
  readonly #servers: Http1Servers;
  readonly #http2Servers: Http2Servers;
  readonly #dispatch: Omit<DispatchOptions, 'onError'>;
  readonly #kept: Lease<InboundPort>[] = [];
  #inFlight = 0;

  constructor(options: InboundOptions) {
    this.#options = options;
    this.#servers = new Http1Servers(options.timeouts, options.now);
    this.#http2Servers = new Http2Servers(options.timeouts.idleMs, options.now);
    this.#ports = new Cache((key) => makePort(key, options), {
      idleMs: options.policyIdleMs,
      max: options.portsMax,
      now: options.now,
    });
    this.#dispatch = {
      failFastMs: 0,
      now: options.now,
      onDone: () => {
        this.#inFlight -= 1;
      },
    };
    for (const address of options.ownAddresses) {
      for (const port of options.portsKnown) {
        const lease = this.#ports.acquire(formatSocketAddress(address, port));
        if (lease !== undefined) this.#kept.push(lease);
      }
    }
  }

  /** Takes an accepted connection, still paused. */
  accept(socket: Socket): void {
    this.#accept(socket).catch((error: unknown) => {
      this.#options.log.error({ err: error }, 'inbound connection failed unexpectedly');
      socket.destroy();
    });
  }

  sweep(): void {
    this.#servers.sweep();
    this.#http2Servers.sweep();
    this.#ports.sweep((port) => port.sweep());
  }

  drain(): void {
    this.#servers.drain();
    this.#http2Servers.drain();
  }

  closeIdle(): void {
    this.#servers.closeIdle();
    this.#http2Servers.closeIdle();
  }

  [Symbol.dispose](): void {
    for (const lease of this.#kept) lease[Symbol.dispose]();
    this.#ports[Symbol.dispose]();
  }

  async #accept(socket: Socket): Promise<void> {
    const { findDestination, ownAddresses, listenPort, isOwnPort } = this.#options;
    const original = findDestination(socket);
    if (original === undefined || (ownAddresses.size > 0 && !ownAddresses.has(original.address))) {
      socket.destroy();
      return;
    }
    if (original.port === listenPort()) {
      await this.#acceptDirect(socket, original.address);
      return;
    }
    if (isOwnPort(original.port)) this.#refuse(socket, original, 'loop', `port ${original.port} is the proxy's own`);
    else await this.#withPort(socket, original.address, original.port, (port) => this.#acceptTransparent(socket, port));
  }

  /** Holds the port as long as the socket is open. */
  async #withPort(
    socket: Socket,
    address: string,
    portNumber: number,
    use: (port: InboundPort) => Promise<void>,
  ): Promise<void> {
    const lease = this.#ports.acquire(formatSocketAddress(address, portNumber));
    if (lease === undefined) {
      const target = { address, port: portNumber };
      this.#refuse(socket, target, 'load-shed', `more than ${this.#options.portsMax} ports are in use`);
      return;
    }
    if (socket.destroyed) lease[Symbol.dispose]();
    else socket.once('close', () => lease[Symbol.dispose]());
    await use(lease.value);
  }

  /** A peer proxy that dialled the inbound port itself: mutual TLS, then a header that names the port. */
  async #acceptDirect(socket: Socket, address: string): Promise<void> {
    const own = { address, port: this.#options.listenPort() };
    const tls = await this.#terminate(socket, [TRANSPORT_ALPN], own);
    if (tls === undefined) return;
    if (tls.clientIdentity === undefined || tls.alpn !== TRANSPORT_ALPN) {
      const lacks = tls.clientIdentity === undefined ? 'no client certificate' : `ALPN other than ${TRANSPORT_ALPN}`;
      this.#refuse(socket, own, 'unauthorized', `direct connection with ${lacks}`);
      return;
    }
    const connection = new Connection(tls.socket, undefined, socket);
    const first = await this.#readHeader(connection, own);
    if (first === undefined) {
      connection.reset();
      return;
    }
    const { header, rest } = first;
    if (header.name !== undefined && this.#options.gateway.serves(header.name)) {
      const arrival = meshArrival(socket, tls.clientIdentity);
      await this.#passOn({ ...header, name: header.name }, connection, address, arrival, rest);
      return;
    }
    if (header.name !== undefined || this.#options.isOwnPort(header.port)) {
      const reason =
        header.name !== undefined
          ? `this proxy is no gateway for ${header.name}`
          : `port ${header.port} is the proxy's own`;
      this.#options.log.warn({ peer: tls.clientIdentity }, `transport header refused: ${reason}`);
      const origin = originOf(connection, meshArrival(socket, tls.clientIdentity), targetOf(header, address));
      this.#options.decisions.connection(origin, header.name === undefined ? 'loop' : 'no-backend', reason);
      connection.reset();
      return;
    }
    const arrival = meshArrival(socket, tls.clientIdentity);
    await this.#withPort(socket, address, header.port, async (port) => {
      this.#register(connection, port, arrival);
      if (header.session !== undefined) this.#serveHttp(connection, port, arrival, rest, header.session);
      else await this.#tunnel(connection, port, arrival, rest, undefined);
    });
  }

  /**
   * As a gateway: to a Service of this cluster, for clients and requests that the policy of the inbound port lets in, as if this
   * proxy's application were what they want.
   */
  async #passOn(
    header: TransportHeader & { readonly name: string },
    connection: Connection,
    address: string,
    arrival: Arrival,
    rest: Buffer,
  ): Promise<void> {
    const { gateway, decisions, log, listenPort } = this.#options;
    const target = targetOf(header, address);
    await this.#withPort(connection.socket, address, listenPort(), async (port) => {
      this.#register(connection, port, arrival);
      const { tls } = arrival.client;
      try {
        const lease = await gateway.find(header.name, header.port);
        if (connection.isClosed) lease[Symbol.dispose]();
        else connection.socket.once('close', () => lease[Symbol.dispose]());
        const client = tls.kind === 'mesh' ? (tls.identity ?? 'unknown') : 'unknown';
        const open = (): Promise<Connection> => gateway.connect(lease.value);
        const onward = { target, serve: (options: DispatchOptions) => gateway.serve(lease.value, client, options) };
        if (header.session === undefined)
          await this.#tunnel(connection, port, arrival, rest, undefined, { target, open });
        else this.#serveHttp(connection, port, arrival, rest, header.session, onward);
      } catch (error) {
        const { code, message } = toProxyError(error, 'connect-failed');
        decisions.connection(originOf(connection, arrival, target), code, message);
        log.info({ client: arrival.client, name: header.name }, `gateway: ${message}`);
        connection.reset();
      }
    });
  }

  async #readHeader(
    connection: Connection,
    own: SocketAddress,
  ): Promise<{ header: TransportHeader; rest: Buffer } | undefined> {
    try {
      const first = await readFirstBytes(connection, NO_BYTES, isHeaderDecided, this.#options.detectTimeoutMs);
      if (first.kind !== 'bytes') return undefined;
      const decoded = decodeTransportHeader(first.bytes);
      return decoded && { header: decoded.header, rest: first.bytes.subarray(decoded.end) };
    } catch (error) {
      if (!(error instanceof TransportHeaderError)) throw error;
      this.#options.log.warn({ err: error }, 'transport header refused');
      const client = { address: remoteAddress(connection.socket), tls: PLAIN };
      const origin = originOf(connection, { client, tlsLabels: {} }, formatSocketAddress(own.address, own.port));
      this.#options.decisions.connection(origin, 'client-malformed', `transport header: ${error.message}`);
      return undefined;
    }
  }

  /** A connection that was redirected from an application port. */
  async #acceptTransparent(socket: Socket, port: InboundPort): Promise<void> {
    const plain: Arrival = {
      client: { address: remoteAddress(socket), tls: PLAIN },
      tlsLabels: noTlsLabels('no_tls_from_remote'),
    };
    const connection = new Connection(socket);
    if (port.policy.value.protocol.kind === 'opaque') {
      const skipped = { ...plain, tlsLabels: noTlsLabels('port_skipped') };
      this.#register(connection, port, skipped);
      await this.#tunnel(connection, port, skipped, NO_BYTES, undefined);
      return;
    }
    const opening = await awaitOpening(connection, NO_BYTES, {
      decides: (bytes) =>
        parseClientHello(bytes).kind !== 'incomplete' && (isHello(bytes) || detectProtocol(bytes) !== 'unknown'),
      // A ClientHello in pieces is no pause: it goes on.
      pauseMs: (bytes) => (parseClientHello(bytes).kind === 'incomplete' ? Number.POSITIVE_INFINITY : pauseMs(bytes)),
      silenceMs: this.#options.silenceMs,
      timeoutMs: this.#options.detectTimeoutMs,
      openServer: () => this.#openEarly(port, plain.client),
    });
    if (opening.kind === 'closed') return;
    const hello = parseClientHello(opening.bytes);
    if (
      opening.kind === 'client' &&
      hello.kind === 'hello' &&
      hello.serverName === this.#options.identity.toLowerCase()
    ) {
      await this.#acceptMesh(connection.release(opening.bytes), port);
      return;
    }
    const arrival = hello.kind === 'hello' ? { ...plain, tlsLabels: { tls: 'opaque' } } : plain;
    this.#register(connection, port, arrival);
    if (opening.kind === 'tunnel') await this.#tunnel(connection, port, arrival, opening.bytes, opening.server);
    else await this.#serveDetected(connection, port, arrival, opening.bytes);
  }

  /** Mesh TLS on the application port: the client certificate is optional, a bad one is not accepted. */
  async #acceptMesh(socket: Socket, port: InboundPort): Promise<void> {
    const tls = await this.#terminate(socket, [], port);
    if (tls === undefined) return;
    const connection = new Connection(tls.socket, undefined, socket);
    const arrival = meshArrival(socket, tls.clientIdentity);
    this.#register(connection, port, arrival);
    const { protocol } = port.policy.value;
    const opening = await awaitOpening(connection, NO_BYTES, {
      decides: (bytes) => detectProtocol(bytes) !== 'unknown',
      pauseMs,
      silenceMs: this.#options.silenceMs,
      timeoutMs: protocol.kind === 'detect' ? protocol.timeoutMs : this.#options.detectTimeoutMs,
      openServer: () => this.#openEarly(port, arrival.client),
    });
    if (opening.kind === 'closed') return;
    if (opening.kind === 'tunnel') await this.#tunnel(connection, port, arrival, opening.bytes, opening.server);
    else await this.#serveDetected(connection, port, arrival, opening.bytes);
  }

  async #serveDetected(connection: Connection, port: InboundPort, arrival: Arrival, early: Buffer): Promise<void> {
    const protocol = detectProtocol(early);
    if (protocol === 'http1' || protocol === 'http2') this.#serveHttp(connection, port, arrival, early, protocol);
    else await this.#tunnel(connection, port, arrival, early, undefined);
  }

  async #terminate(socket: Socket, alpn: readonly string[], target: SocketAddress): Promise<AcceptedTls | undefined> {
    const credentials = this.#options.credentials();
    if (credentials === undefined) {
      this.#refuse(socket, target, 'no-credentials', 'there is no valid certificate to serve TLS with');
      return undefined;
    }
    try {
      return await acceptTls(socket, credentials, alpn, this.#options.detectTimeoutMs);
    } catch (error) {
      if (!(error instanceof TlsAcceptError)) throw error;
      this.#options.decisions.connection(plainOrigin(socket, target), 'peer-identity', error.message);
      this.#options.log.warn({ peer: remoteAddress(socket) }, `TLS refused: ${error.message}`);
      return undefined;
    }
  }

  /** For clients that may use the port whatever they speak; others have to speak first. */
  async #openEarly(port: InboundPort, client: Client): Promise<Connection | undefined> {
    return authorizeConnection(port.policy.value, client).isAllowed ? port.connect() : undefined;
  }

  #register(connection: Connection, port: InboundPort, arrival: Arrival): void {
    const metrics = port.clientMetrics(arrival.tlsLabels);
    metrics.opened();
    connection.attribute(metrics);
    if (connection.isClosed) metrics.closed(connection.error);
    else connection.socket.once('close', () => metrics.closed(connection.error));
  }

  /** @param onward  where requests go instead of to the application */
  #serveHttp(
    connection: Connection,
    port: InboundPort,
    arrival: Arrival,
    early: Buffer,
    version: 'http1' | 'http2',
    onward?: { readonly target: string; readonly serve: (options: DispatchOptions) => ServeRequest },
  ): void {
    const { decisions, now } = this.#options;
    const target = onward?.target ?? formatSocketAddress(port.address, port.port);
    const options: DispatchOptions = {
      ...this.#dispatch,
      onError: (error, failed) => decisions.request(originOf(connection, arrival, target), error, failed),
      onErrorResponse: (proxyError, status, failed) =>
        decisions.response(originOf(connection, arrival, target), proxyError, status, failed),
    };
    const onRejected: OnRejected = (error, head) => options.onError(error, failedAtOnce(head, now()));
    const origin = (): TapOrigin => ({
      direction: 'inbound',
      source: remoteOf(connection.socket),
      sourceLabels: arrival.tlsLabels,
    });
    const { client, tlsLabels } = arrival;
    const tap = { hub: this.#options.tap, origin };
    const requests = new InboundRequests(port, client, tlsLabels, options, tap, onward?.serve(options));
    const { accessLog } = this.#options;
    const plain: ServeRequest = (head, body, isEnd, response) => {
      this.#inFlight += 1;
      if (this.#inFlight > this.#options.inFlightMax) {
        const error = new ProxyError('load-shed', `${this.#options.inFlightMax} requests are in flight already`);
        options.onError(error, failedAtOnce(head, now()));
        this.#dispatch.onDone();
        response.fail(error);
        return NO_SINK;
      }
      if (accessLog === undefined) return requests.serve(head, body, isEnd, response);
      const logged = accessLog.begin(head, arrival.client, remoteOf(connection.socket), response);
      return logged.watch(requests.serve(head, body, isEnd, logged));
    };
    const serve = this.#options.tracer?.trace('inbound', plain) ?? plain;
    const { tls } = arrival.client;
    const isPeer = tls.kind === 'mesh' && tls.identity !== undefined;
    if (version === 'http1') this.#servers.serve(connection, early, serve, onRejected);
    else this.#http2Servers.serve(connection, early, isPeer, serve, onRejected);
  }

  /**
   * Bytes to the application, for clients that the policy lets in; cut when it no longer does.
   *
   * @param onward  where they go instead
   */
  async #tunnel(
    client: Connection,
    port: InboundPort,
    arrival: Arrival,
    early: Buffer,
    opened: OpenServer | undefined,
    onward?: { readonly target: string; readonly open: () => Promise<Connection> },
  ): Promise<void> {
    const { decisions, log } = this.#options;
    const target = onward?.target ?? formatSocketAddress(port.address, port.port);
    const authorize = (): Verdict => authorizeConnection(port.policy.value, arrival.client);
    const labels = (): Labels => ({
      ...port.targetLabels,
      ...arrival.tlsLabels,
      ...refLabels('srv', port.policy.value.ref),
    });
    const deny = (denial: Denial, server: Connection | undefined): void => {
      const reason = `${formatResourceRef(denial.server)} denies the ${isOpen ? 'open ' : ''}connection: ${denial.reason}`;
      port.verdictMetrics(isOpen ? 'tcpTerminate' : 'tcpDeny', labels()).count();
      log.info({ client: arrival.client, port: port.port }, reason);
      decisions.connection(originOf(client, arrival, target), 'unauthorized', reason, [denial.server]);
      server?.reset();
      client.reset();
    };
    let isOpen = false;
    const verdict = authorize();
    if (!verdict.isAllowed) {
      deny(verdict, opened?.connection);
      return;
    }
    isOpen = true;
    if (verdict.isAudited) port.logAudit(arrival.client, 'the connection');
    port.verdictMetrics('tcpAllow', { ...labels(), ...refLabels('authz', verdict.authorization) }).count();
    try {
      const server = opened?.connection ?? (await (onward?.open() ?? port.connect()));
      const findDenial = (): Denial | undefined => {
        const now = authorize();
        return now.isAllowed ? undefined : now;
      };
      const late = findDenial(); // the policy may have changed while the application was connected to
      if (late !== undefined) {
        deny(late, server);
        return;
      }
      const changes = whileAllowed(port.policy, findDenial, (denial) => deny(denial, server));
      splice(client, server, [early, opened?.bytes], () => changes[Symbol.dispose]());
    } catch (error) {
      const { code, message } = toProxyError(error, 'connect-failed');
      decisions.connection(originOf(client, arrival, target), code, message);
      client.reset();
    }
  }

  #refuse(
    socket: Socket,
    target: SocketAddress,
    code: 'loop' | 'load-shed' | 'unauthorized' | 'no-credentials',
    reason: string,
  ): void {
    this.#options.decisions.connection(plainOrigin(socket, target), code, reason);
    this.#options.log.warn({ code, peer: remoteAddress(socket) }, `inbound connection refused: ${reason}`);
    socket.resetAndDestroy();
  }
}

function makePort(key: string, options: InboundOptions): InboundPort {
  const colon = key.lastIndexOf(':');
  return new InboundPort(key.slice(0, colon).replace(/^\[|\]$/g, ''), Number(key.slice(colon + 1)), options);
}

function meshArrival(socket: Socket, identity: string | undefined): Arrival {
  return {
    client: { address: remoteAddress(socket), tls: { kind: 'mesh', ...(identity === undefined ? {} : { identity }) } },
    tlsLabels: { tls: 'true', ...(identity === undefined ? {} : { client_id: identity }) },
  };
}

function plainOrigin(socket: Socket, { address, port }: SocketAddress): Origin {
  const remote = remoteOf(socket);
  return {
    direction: 'inbound',
    client: formatSocketAddress(remote.address, remote.port),
    target: formatSocketAddress(address, port),
  };
}

/** @param target  address:port, or the name that a gateway is asked for */
function originOf({ socket }: Connection, { client }: Arrival, target: string): Origin {
  const identity = client.tls.kind === 'mesh' ? client.tls.identity : undefined;
  return {
    direction: 'inbound',
    client: formatSocketAddress(client.address, remoteOf(socket).port),
    ...(identity !== undefined && { identity }),
    target,
  };
}

function targetOf({ name, port }: TransportHeader, address: string): string {
  return name === undefined ? formatSocketAddress(address, port) : `${name}:${port}`;
}

function remoteAddress(socket: Socket): string {
  const { remoteAddress: address = '' } = socket;
  return address.startsWith('::ffff:') ? address.slice(7) : address;
}

/** Whether these bytes are a whole transport header, or cannot become one. */
function isHeaderDecided(bytes: Buffer): boolean {
  try {
    return decodeTransportHeader(bytes) !== undefined;
  } catch (error) {
    if (error instanceof TransportHeaderError) return true;
    throw error;
  }
}

function isHello(bytes: Buffer): boolean {
  return parseClientHello(bytes).kind === 'hello';
}
