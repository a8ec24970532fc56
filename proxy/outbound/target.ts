import { DecodeError } from '#api/decode/decode-error.ts';
import { decodeEndpointUpdate, decodeProfile } from '#api/decode/destination.ts';
import { DestinationService } from '#api/gen/destination.ts';
import { formatSocketAddress } from '#model/address.ts';
import type { Endpoint } from '#model/endpoint.ts';
import type { Profile } from '#model/profile.ts';
import type { Logger } from '#runtime/log.ts';
import type { Destination } from '../balance/destination.ts';
import type { Cache, CacheValue, Lease } from '../discovery/cache.ts';
import type { GrpcClient } from '../discovery/grpc-client.ts';
import { watchStream } from '../discovery/watch-stream.ts';
import { noTlsLabels, targetLabels } from '../metrics/labels.ts';
import { TransportMetrics } from '../metrics/transport.ts';
import type { OutboundContext } from './context.ts';
import type { OutboundEndpoint } from './endpoint.ts';
import { Service, SingleEndpoint } from './service.ts';

/** How discovery is asked. */
export type Discovery = {
  readonly client: GrpcClient;
  readonly contextToken: string;
  /** How long a connection waits for a first answer before it is forwarded as it is. */
  readonly patienceMs: number;
};

/** What the message says; nothing, and a line in the log, when it makes no sense: then the last good answer stays. */
function readable<T>(decode: () => T, target: string, log: Logger): T | undefined {
  try {
    return decode();
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    log.warn({ target, err: error }, 'discovery sent an answer that cannot be used');
    return undefined;
  }
}

/** Waits until something has happened or the patience is over. */
class FirstAnswer {
  readonly promise: Promise<void>;
  #resolve: () => void = () => {};
  readonly #timer: NodeJS.Timeout;

  constructor(patienceMs: number) {
    this.promise = new Promise((resolve) => {
      this.#resolve = resolve;
    });
    this.#timer = setTimeout(this.#resolve, patienceMs);
  }

  arrived(): void {
    clearTimeout(this.#timer);
    this.#resolve();
  }
}

/** A service port in the cache: its endpoints, and the stream that keeps them up to date. */
export class WatchedService implements CacheValue {
  readonly service: Service;
  readonly #context: OutboundContext;
  readonly #discovery: Discovery;
  readonly #answer: FirstAnswer;
  #stream: Disposable | undefined;

  /** @param name  `host:port` */
  constructor(name: string, context: OutboundContext, discovery: Discovery) {
    this.service = new Service(name, context);
    this.#context = context;
    this.#discovery = discovery;
    this.#answer = new FirstAnswer(discovery.patienceMs);
    this.wake();
  }

  /** Resolves at the first answer, or when the patience is over. */
  get answered(): Promise<void> {
    return this.#answer.promise;
  }

  wake(): void {
    const { client, contextToken } = this.#discovery;
    const request = { scheme: '', path: this.service.name, contextToken };
    this.#stream = watchStream(client, DestinationService.get, request, this.#context.random, {
      onMessage: (message, isFirst) => {
        const update = readable(() => decodeEndpointUpdate(message), this.service.name, this.#context.log);
        if (update !== undefined) this.service.apply(update, isFirst);
        this.#answer.arrived();
      },
      onRefused: (error) => {
        this.#context.log.warn({ service: this.service.name, err: error }, 'discovery refuses to resolve a service');
        this.#answer.arrived();
      },
    });
  }

  rest(): void {
    this.#stream?.[Symbol.dispose]();
    this.#stream = undefined;
  }

  [Symbol.dispose](): void {
    this.rest();
    this.#answer.arrived();
    this.service[Symbol.dispose]();
  }
}

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
  readonly #answer: FirstAnswer;
  #profile: Profile | undefined;
  #service: Lease<WatchedService> | undefined;
  #single: { readonly fingerprint: string; readonly endpoint: SingleEndpoint } | undefined;
  #stream: Disposable | undefined;
  #isSettled = false;

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
    this.#answer = new FirstAnswer(discovery.patienceMs);
    this.wake();
  }

  /** The connection is to be forwarded as raw bytes. */
  get isOpaque(): boolean {
    return this.#profile?.isOpaque === true;
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
      const isUnknown = !service.isKnown && !this.#discovery.client.isReachable;
      return isUnknown ? this.#asAsked : service;
    }
    return this.#single?.endpoint ?? this.#asAsked;
  }

  wake(): void {
    const { client, contextToken } = this.#discovery;
    const request = { scheme: '', path: formatSocketAddress(this.address, this.port), contextToken };
    this.#stream = watchStream(client, DestinationService.getProfile, request, this.#context.random, {
      onMessage: (message) => {
        const profile = readable(() => decodeProfile(message), request.path, this.#context.log);
        if (profile !== undefined) this.#apply(profile);
        this.#answer.arrived();
      },
      onRefused: () => {
        // Nothing is known about the address and nothing will be: it is forwarded to.
        this.#apply({ isOpaque: false });
        this.#answer.arrived();
      },
    });
    if (this.#profile?.fullyQualifiedName !== undefined) this.#follow(this.#profile.fullyQualifiedName);
  }

  rest(): void {
    this.#stream?.[Symbol.dispose]();
    this.#stream = undefined;
    this.#service?.[Symbol.dispose]();
    this.#service = undefined; // rests in its cache with what it knows, and is found there by `wake`
  }

  sweep(): void {
    this.#plain?.sweep();
    this.#single?.endpoint.sweep();
  }

  [Symbol.dispose](): void {
    this.rest();
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
    await this.#answer.promise;
    await this.#service?.value.answered;
    this.#isSettled = true;
  }

  #apply(profile: Profile): void {
    this.#profile = profile;
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
