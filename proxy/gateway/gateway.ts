import { Dispatch, type DispatchOptions } from '../balance/dispatch.ts';
import { Cache, type Lease } from '../discovery/cache.ts';
import { failedAtOnce } from '../decisions/decision.ts';
import { ProxyError } from '../errors.ts';
import { NO_SINK, type RequestSink, type ResponseSink, type ServeRequest } from '../http/exchange.ts';
import type { RequestHead } from '../http/head.ts';
import { fieldValues } from '../http/matched-head.ts';
import type { OutboundContext } from '../outbound/context.ts';
import type { Discovery } from '../outbound/discovery.ts';
import { WatchedService } from '../outbound/watched-service.ts';
import { connectOpaque } from '../outbound/tcp.ts';
import type { Connection } from '../transport/connection.ts';
import { withAuthority } from './authority.ts';

export type GatewayOptions = {
  readonly outbound: OutboundContext;
  readonly discovery: Discovery;
  /** Names that this proxy passes connections on to; none: it is no gateway. */
  readonly suffixes: readonly string[]; // lower case, without dots at the ends
  readonly identity: string; // of this workload
  readonly discoveryIdleMs: number;
  readonly targetsMax: number;
};

/**
 * The gateway to the Services of this cluster: what peers of other clusters send for a name goes out again over the
 * outbound side, with this proxy's own identity. Source: linkerd2-proxy `app/gateway`.
 */
export class Gateway implements Disposable {
  readonly #options: GatewayOptions;
  readonly #services: Cache<WatchedService>;

  constructor(options: GatewayOptions) {
    this.#options = options;
    const { outbound, discovery } = options;
    this.#services = new Cache((name) => new WatchedService(name, outbound, discovery), {
      idleMs: options.discoveryIdleMs,
      max: options.targetsMax,
      now: outbound.now,
    });
  }

  /** Whether this proxy is a gateway for a name. */
  serves(name: string): boolean {
    const plain = name.toLowerCase().replace(/\.$/, '');
    return this.#options.suffixes.some((suffix) => plain.endsWith(`.${suffix}`));
  }

  /**
   * The Service that a transport header names. Dispose of it when the connection is over.
   *
   * @throws ProxyError  `load-shed` when too many are in use
   */
  async find(name: string, port: number): Promise<Lease<WatchedService>> {
    const lease = this.#services.acquire(`${name.toLowerCase().replace(/\.$/, '')}:${port}`);
    if (lease === undefined)
      throw new ProxyError('load-shed', `more than ${this.#options.targetsMax} destinations are in use`);
    await lease.value.answered;
    return lease;
  }

  /**
   * @param client   identity of the peer, as its certificate names it
   * @param options  of the requests, which are let in already
   */
  serve(service: WatchedService, client: string, options: DispatchOptions): ServeRequest {
    const { tracer, failFastMs, now } = this.#options.outbound;
    const refuse = (error: ProxyError, head: RequestHead, response: ResponseSink): RequestSink => {
      options.onError(error, failedAtOnce(head, now()));
      options.onDone();
      response.fail(error);
      return NO_SINK;
    };
    const { identity } = this.#options;
    const { name } = service.service;
    const authority = name.endsWith(':80') ? name.slice(0, -3) : name;
    const fields = `forwarded: by=${identity};for=${client};host="${authority}";proto=https\r\n`;
    const send: ServeRequest = (head, body, isEnd, response) => {
      const problem = this.#loopProblem(head);
      if (problem !== undefined) return refuse(problem, head, response);
      const dispatch = new Dispatch(
        { ...options, failFastMs },
        service.service,
        { head, fields, body, isEnd },
        response,
      );
      dispatch.attempt();
      return dispatch;
    };
    const traced = tracer?.trace('outbound', send) ?? send;
    return (head, body, isEnd, response) => traced(withAuthority(head, authority), body, isEnd, response);
  }

  /**
   * Bytes for a Service.
   *
   * @throws ProxyError
   */
  connect(service: WatchedService): Promise<Connection> {
    return connectOpaque(service.service, this.#options.outbound);
  }

  sweep(): void {
    this.#services.sweep((watched) => watched.service.sweep());
  }

  [Symbol.dispose](): void {
    this.#services[Symbol.dispose]();
  }

  #loopProblem(head: RequestHead): ProxyError | undefined {
    const { identity } = this.#options;
    const isLoop = fieldValues(head.lines, 'forwarded').some((value) =>
      value.split(/[,;]/).some((part) => part.trim().toLowerCase() === `by=${identity}`),
    );
    if (!isLoop) return undefined;
    return new ProxyError(
      'loop',
      `the request has passed this gateway (${identity}) before: two clusters mirror each other's mirrors`,
    );
  }
}
