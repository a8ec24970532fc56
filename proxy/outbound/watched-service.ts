import { decodeEndpointUpdate } from '#api/decode/destination.ts';
import { DestinationService } from '#api/gen/destination.ts';
import type { CacheValue } from '../discovery/cache.ts';
import { watchStream } from '../discovery/watch-stream.ts';
import type { OutboundContext } from './context.ts';
import { Answer, readable, type Discovery } from './discovery.ts';
import { Service } from './service.ts';

/** A service port in the cache: its endpoints, and the stream that keeps them up to date. */
export class WatchedService implements CacheValue {
  readonly service: Service;
  readonly #context: OutboundContext;
  readonly #discovery: Discovery;
  readonly #answer: Answer;
  #stream: Disposable | undefined;

  /** @param name  `host:port` */
  constructor(name: string, context: OutboundContext, discovery: Discovery) {
    this.service = new Service(name, context);
    this.#context = context;
    this.#discovery = discovery;
    this.#answer = new Answer(discovery.patienceMs, discovery.client);
    this.#watch();
  }

  /** Resolves at the first answer since it was last woken, or when the patience is over. */
  get answered(): Promise<void> {
    return this.#answer.promise;
  }

  get isAnswered(): boolean {
    return this.#answer.isOver;
  }

  wake(): void {
    this.#answer.askedAgain();
    this.#watch();
  }

  #watch(): void {
    const { client, contextToken } = this.#discovery;
    const request = { scheme: '', path: this.service.name, contextToken };
    this.#stream = watchStream(client, DestinationService.get, request, {
      onMessage: (message, isFirst) => {
        const update = readable(() => decodeEndpointUpdate(message), this.service.name, this.#context.log);
        if (update !== undefined) this.service.apply(update, isFirst);
        this.#answer.arrived();
      },
      onInterrupted: () => this.#answer.interrupted(),
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
