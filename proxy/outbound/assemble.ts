import type { Socket } from 'node:net';
import { formatSocketAddress } from '#model/address.ts';
import { detectProtocol, pauseMs } from '../accept/detect.ts';
import { parseClientHello } from '../accept/client-hello.ts';
import { awaitOpening, readFirstBytes, type OpenServer } from '../accept/first-bytes.ts';
import type { FindDestination } from '../accept/listener.ts';
import { Dispatch } from '../balance/dispatch.ts';
import { Cache, type Lease } from '../discovery/cache.ts';
import { failedAtOnce, type Origin } from '../decisions/decision.ts';
import { ProxyError, toProxyError } from '../errors.ts';
import { NO_SINK, type OnRejected, type ServeRequest } from '../http/exchange.ts';
import type { RequestHead } from '../http/head.ts';
import { Http1Servers } from '../http/servers.ts';
import { Http2Servers } from '../http2/server.ts';
import type { ServerTimeouts } from '../http/server.ts';
import type { SocketAddress } from '../tap/match.ts';
import { remoteOf } from '../tap/origin.ts';
import type { TapExchange, TapOrigin } from '../tap/hub.ts';
import { Connection } from '../transport/connection.ts';
import { splice } from '../transport/copy.ts';
import type { ConnectionPlan } from './connection-routes.ts';
import type { OutboundContext } from './context.ts';
import { Mirrors } from './mirror.ts';
import { Deadlines } from './deadlines.ts';
import type { Plan } from './plan.ts';
import { RoutedRequest, type RoutedRequestOptions } from './routed-request.ts';
import type { Discovery } from './discovery.ts';
import { Target } from './target.ts';
import { WatchedService } from './watched-service.ts';
import { connectOpaque } from './tcp.ts';

const NO_BYTES = Buffer.alloc(0);
export type OutboundOptions = OutboundContext & {
  readonly discovery: Discovery;
  readonly findDestination: FindDestination;
  /** Whether a destination is this proxy itself. */
  readonly isOwnListener: (address: string, port: number) => boolean;
  readonly timeouts: ServerTimeouts;
  readonly silenceMs: number; // of a client, before the server side is opened too
  readonly detectTimeoutMs: number; // for a client to make clear what it speaks
  readonly discoveryIdleMs: number;
  readonly targetsMax: number; // addresses and services known at a time
  readonly inFlightMax: number; // requests
};

const isHelloDecided = (bytes: Buffer): boolean => parseClientHello(bytes).kind !== 'incomplete';

/** The outbound side, for what the application sends: discovery, detection, then balancing per request or connection. */
export class Outbound implements Disposable {
  readonly #options: OutboundOptions;
  readonly #services: Cache<WatchedService>;
  readonly #targets: Cache<Target>;
  readonly #servers: Http1Servers;
  readonly #http2Servers: Http2Servers;
  readonly #dispatch: Omit<RoutedRequestOptions, 'onError'>;
  #inFlight = 0;

  constructor(options: OutboundOptions) {
    this.#options = options;
    const bounds = { idleMs: options.discoveryIdleMs, max: options.targetsMax, now: options.now };
    this.#services = new Cache((name) => new WatchedService(name, options, options.discovery), bounds);
    this.#targets = new Cache((key) => this.#makeTarget(key), bounds);
    this.#servers = new Http1Servers(options.timeouts, options.now);
    this.#http2Servers = new Http2Servers(options.timeouts.idleMs, options.now);
    this.#dispatch = {
      failFastMs: options.failFastMs,
      now: options.now,
      random: options.random,
      mirrors: new Mirrors(options),
      deadlines: new Deadlines(options.now),
      onDone: () => {
        this.#inFlight -= 1;
      },
    };
  }

  /** Takes an accepted connection, still paused. */
  accept(socket: Socket): void {
    this.#accept(socket).catch((error: unknown) => {
      this.#options.log.error({ err: error }, 'outbound connection failed unexpectedly');
      socket.destroy();
    });
  }

  sweep(): void {
    this.#servers.sweep();
    this.#http2Servers.sweep();
    this.#services.sweep((watched) => watched.service.sweep());
    this.#targets.sweep((target) => target.sweep());
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
    this.#targets[Symbol.dispose]();
    this.#services[Symbol.dispose]();
  }

  #makeTarget(key: string): Target {
    const colon = key.lastIndexOf(':');
    const address = key.slice(0, colon).replace(/^\[|\]$/g, '');
    return new Target(address, Number(key.slice(colon + 1)), this.#options, this.#options.discovery, this.#services);
  }

  async #accept(socket: Socket): Promise<void> {
    const original = this.#options.findDestination(socket);
    if (original === undefined) {
      socket.destroy();
      return;
    }
    const { address, port } = original;
    if (this.#options.isOwnListener(address, port)) {
      this.#refuse(socket, original, 'loop', 'a connection to the outbound listener itself');
      return;
    }
    const lease = this.#targets.acquire(formatSocketAddress(address, port));
    if (lease === undefined) {
      this.#refuse(socket, original, 'load-shed', `more than ${this.#options.targetsMax} destinations are in use`);
      return;
    }
    const { clients } = lease.value;
    clients.opened();
    const connection = new Connection(socket, clients);
    socket.once('close', () => {
      clients.closed(connection.error);
      lease[Symbol.dispose]();
    });
    await lease.value.settled();
    await this.#serve(connection, lease);
  }

  async #serve(connection: Connection, lease: Lease<Target>): Promise<void> {
    const target = lease.value;
    if (target.isOpaque) {
      await this.#tunnel(connection, target, NO_BYTES, undefined);
      return;
    }
    if (target.isByServerName) {
      const first = await readFirstBytes(connection, NO_BYTES, isHelloDecided, this.#options.detectTimeoutMs);
      if (first.kind === 'closed') return;
      const hello = parseClientHello(first.bytes);
      const serverName = hello.kind === 'hello' ? hello.serverName : undefined;
      await this.#tunnel(connection, target, first.bytes, undefined, serverName);
      return;
    }
    const opening = await awaitOpening(connection, NO_BYTES, {
      decides: (bytes) => detectProtocol(bytes) !== 'unknown',
      pauseMs,
      silenceMs: this.#options.silenceMs,
      timeoutMs: this.#options.detectTimeoutMs,
      openServer: async () => this.#connect(target.routeConnection(undefined)),
    });
    if (opening.kind === 'closed') return;
    if (opening.kind === 'tunnel') await this.#tunnel(connection, target, opening.bytes, opening.server);
    else if (detectProtocol(opening.bytes) === 'http1') this.#serveHttp(connection, target, opening.bytes, 'http1');
    else if (detectProtocol(opening.bytes) === 'http2') this.#serveHttp(connection, target, opening.bytes, 'http2');
    else await this.#tunnel(connection, target, opening.bytes, undefined);
  }

  #serveHttp(connection: Connection, target: Target, early: Buffer, version: 'http1' | 'http2'): void {
    const { decisions } = this.#options;
    const { socket } = connection;
    const options: RoutedRequestOptions = {
      ...this.#dispatch,
      onError: (error, failed) => decisions.request(originOf(socket, target), error, failed),
      onErrorResponse: (proxyError, status, failed) =>
        decisions.response(originOf(socket, target), proxyError, status, failed),
    };
    const onRejected: OnRejected = (error, head) => options.onError(error, failedAtOnce(head, this.#options.now()));
    const plain = this.#serveRequest(target, socket, options);
    const serve = this.#options.tracer?.trace('outbound', plain) ?? plain;
    if (version === 'http1') this.#servers.serve(connection, early, serve, onRejected);
    else this.#http2Servers.serve(connection, early, false, serve, onRejected);
  }

  #serveRequest(target: Target, socket: Socket, options: RoutedRequestOptions): ServeRequest {
    const origin = (): TapOrigin => ({ direction: 'outbound', source: remoteOf(socket), sourceLabels: {} });
    const tap = (head: RequestHead): TapExchange | undefined => this.#options.tap.begin(head, origin);
    return (head, body, isEnd, response) => {
      if (this.#inFlight >= this.#options.inFlightMax) {
        const error = new ProxyError('load-shed', `${this.#options.inFlightMax} requests are in flight already`);
        options.onError(error, failedAtOnce(head, options.now()));
        response.fail(error);
        return NO_SINK;
      }
      let plan: Plan | undefined;
      try {
        plan = target.route(head);
      } catch (cause) {
        const error = toProxyError(cause, 'policy-invalid');
        options.onError(error, failedAtOnce(head, options.now()));
        response.fail(error);
        return NO_SINK;
      }
      this.#inFlight += 1;
      if (plan !== undefined) {
        const routed = new RoutedRequest(options, plan, { head, body, isEnd, tap }, response);
        routed.start();
        return routed;
      }
      const request = { head, fields: '', body, isEnd, tap: tap(head) };
      const dispatch = new Dispatch(options, target.destination, request, response);
      dispatch.attempt();
      return dispatch;
    };
  }

  /** @throws ProxyError */
  async #connect({ choose, metrics }: ConnectionPlan): Promise<Connection> {
    metrics?.opened();
    try {
      const server = await connectOpaque(choose(), this.#options);
      server.socket.once('close', () => metrics?.closed(''));
      return server;
    } catch (error) {
      metrics?.closed(toProxyError(error, 'connect-failed').code);
      throw error;
    }
  }

  async #tunnel(
    client: Connection,
    target: Target,
    early: Buffer,
    opened: OpenServer | undefined,
    serverName?: string,
  ): Promise<void> {
    if (opened !== undefined) {
      splice(client, opened.connection, [early, opened.bytes], () => {});
      return;
    }
    let plan: ConnectionPlan | undefined;
    try {
      plan = target.routeConnection(serverName);
      const server = await this.#connect(plan);
      splice(client, server, [early, undefined], () => {});
    } catch (error) {
      const { code, message } = toProxyError(error, 'connect-failed');
      this.#options.decisions.connection(originOf(client.socket, target), code, message, plan?.refs);
      client.reset();
    }
  }

  #refuse(socket: Socket, target: SocketAddress, code: 'loop' | 'load-shed', reason: string): void {
    this.#options.decisions.connection(originOf(socket, target), code, reason);
    this.#options.log.warn({ code }, `outbound connection refused: ${reason}`);
    socket.destroy();
  }
}

function originOf(socket: Socket, target: SocketAddress): Origin {
  const { address, port } = remoteOf(socket);
  return {
    direction: 'outbound',
    client: formatSocketAddress(address, port),
    target: formatSocketAddress(target.address, target.port),
  };
}
