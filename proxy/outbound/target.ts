import { decodeProfile } from '#api/decode/destination.ts';
import { DestinationService } from '#api/gen/destination.ts';
import { formatSocketAddress } from '#model/address.ts';
import type { Endpoint } from '#model/endpoint.ts';
import type { Profile } from '#model/profile.ts';
import type { Destination } from '../balance/destination.ts';
import type { Cache, CacheValue, Lease } from '../discovery/cache.ts';
import { watchStream } from '../discovery/watch-stream.ts';
import { noTlsLabels, targetLabels } from '../metrics/labels.ts';
import { TransportMetrics } from '../metrics/transport.ts';
import type { ConnectionPlan } from './connection-routes.ts';
import type { OutboundContext } from './context.ts';
import { Answer, readable, type Discovery } from './discovery.ts';
import type { OutboundEndpoint } from './endpoint.ts';
import type { RequestHead } from '../http/head.ts';
import type { Plan } from './plan.ts';
import { SingleEndpoint } from './service.ts';
import { TargetRoutes } from './target-routes.ts';
import type { WatchedService } from './watched-service.ts';

/**
 * An address that applications connect to, with what discovery says about it. Connections and requests ask `destination`
 * each time, so that they follow changes.
 */
export class Target implements CacheValue {
  readonly address: string;
  readonly port: number;
  /** Of the connections that applications make to this address. */
  readonly clients: TransportMetrics;
  readonly #context: OutboundContext;
  readonly #discovery: Discovery;
  readonly #services: Cache<WatchedService>;
  #plain: SingleEndpoint | undefined;
  readonly #answer: Answer;
  #profile: Profile | undefined;
  #service: Lease<WatchedService> | undefined;
  #single: { readonly fingerprint: string; readonly endpoint: SingleEndpoint } | undefined;
  #stream: Disposable | undefined;
  #isSettled = false;
  readonly #unrouted: ConnectionPlan = { choose: () => this.destination, metrics: undefined, refs: [] };
  readonly #routes: TargetRoutes;

  constructor(
    address: string,
    port: number,
    context: OutboundContext,
    discovery: Discovery,
    services: Cache<WatchedService>,
  ) {
    this.address = address;
    this.port = port;
    this.#context = context;
    this.#discovery = discovery;
    this.#services = services;
    const labels = { direction: 'outbound', peer: 'src', ...targetLabels(address, port), ...noTlsLabels('loopback') };
    this.clients = new TransportMetrics(context.metrics, labels);
    this.#answer = new Answer(discovery.patienceMs, discovery.client);
    this.#routes = new TargetRoutes(address, port, context, discovery, services, (watched) =>
      this.#isBeyondReach(watched) ? this.#asAsked : watched.service,
    );
    this.#watch();
  }

  /**
   * What happens to a request.
   *
   * @returns nothing when no routes are known: it goes to `destination`
   * @throws ProxyError  `no-route`, or `policy-invalid`
   */
  route(head: RequestHead): Plan | undefined {
    return this.#routes.find(head);
  }

  /** The connection is to be forwarded as raw bytes. */
  get isOpaque(): boolean {
    return this.#profile?.isOpaque === true || this.#routes.isOpaque;
  }

  /** Waits, within bounds, until it is known where connections go. Undefined when it is known already. */
  settled(): Promise<void> | undefined {
    return this.#isSettled ? undefined : this.#settle();
  }

  /**
   * Where to send now. What discovery could not tell in time is forwarded to the address the application asked for: a
   * control plane that is away stops nobody, and whether plain text is enough is for the server side to decide.
   */
  get destination(): Destination<OutboundEndpoint> {
    const service = this.#service?.value.service;
    if (service !== undefined) {
      return this.#isBeyondReach(this.#service?.value) ? this.#asAsked : service;
    }
    return this.#single?.endpoint ?? this.#asAsked;
  }

  /** Where connections go depends on the server name of their ClientHello. */
  get isByServerName(): boolean {
    return this.#routes.connections?.isByServerName === true;
  }

  /**
   * What happens to a connection that is not HTTP, or not looked into.
   *
   * @param serverName  of TLS, where that counts
   * @throws ProxyError  `no-route`
   */
  routeConnection(serverName: string | undefined): ConnectionPlan {
    return this.#routes.connections?.find(serverName) ?? this.#unrouted;
  }

  /** Nothing is known about the service, and nothing can be learnt at the moment. */
  #isBeyondReach(watched: WatchedService | undefined): boolean {
    return watched?.service.isKnown === false && !this.#discovery.client.isReachable;
  }

  wake(): void {
    this.#answer.askedAgain();
    this.#isSettled = false;
    this.#watch();
    if (this.#profile?.fullyQualifiedName !== undefined) this.#follow(this.#profile.fullyQualifiedName);
    this.#routes.wake();
  }

  #watch(): void {
    const { client, contextToken } = this.#discovery;
    const request = { scheme: '', path: formatSocketAddress(this.address, this.port), contextToken };
    this.#stream = watchStream(client, DestinationService.getProfile, request, {
      onMessage: (message) => {
        const profile = readable(() => decodeProfile(message), request.path, this.#context.log);
        if (profile !== undefined) this.#apply(profile);
        this.#answer.arrived();
      },
      onInterrupted: () => this.#answer.interrupted(),
      onRefused: () => {
        // Nothing is known about the address and nothing will be: it is forwarded to.
        this.#apply({ isOpaque: false });
        this.#answer.arrived();
      },
    });
  }

  rest(): void {
    this.#stream?.[Symbol.dispose]();
    this.#stream = undefined;
    this.#service?.[Symbol.dispose]();
    this.#routes.rest();
    this.#service = undefined; // rests in its cache with what it knows, and is found there by `wake`
  }

  sweep(): void {
    this.#plain?.sweep();
    this.#single?.endpoint.sweep();
    this.#routes.sweep();
  }

  [Symbol.dispose](): void {
    this.rest();
    this.#routes[Symbol.dispose]();
    this.#answer.arrived();
    this.#single?.endpoint[Symbol.dispose]();
    this.#plain?.[Symbol.dispose]();
    this.clients[Symbol.dispose]();
  }

  /** The address itself, in plain text. */
  get #asAsked(): SingleEndpoint {
    const { address, port } = this;
    this.#plain ??= new SingleEndpoint({ address, port, weight: 1, labels: {} }, this.#context);
    return this.#plain;
  }

  async #settle(): Promise<void> {
    const { promise } = this.#answer;
    await promise;
    await this.#routes.settled();
    await this.#service?.value.answered;
    if (this.#answer.promise === promise) this.#isSettled = true;
  }

  #apply(profile: Profile): void {
    this.#profile = profile;
    this.#routes.setProfile(profile);
    if (profile.fullyQualifiedName === undefined) {
      this.#service?.[Symbol.dispose]();
      this.#service = undefined;
    } else this.#follow(profile.fullyQualifiedName);
    this.#setSingle(profile.endpoint);
  }

  #follow(host: string): void {
    const name = `${host}:${this.port}`;
    if (this.#service?.value.service.name === name) return;
    this.#service?.[Symbol.dispose]();
    this.#service = this.#services.acquire(name);
  }

  #setSingle(endpoint: Endpoint | undefined): void {
    const fingerprint = JSON.stringify(endpoint);
    if (this.#single?.fingerprint === fingerprint) return;
    this.#single?.endpoint[Symbol.dispose]();
    this.#single =
      endpoint === undefined ? undefined : { fingerprint, endpoint: new SingleEndpoint(endpoint, this.#context) };
  }
}
