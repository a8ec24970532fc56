import type { Endpoint, EndpointUpdate } from '#model/endpoint.ts';
import type { FailureAccrual } from '#model/failure-accrual.ts';
import { DEFAULT_RETRY_BUDGET } from '#model/profile.ts';
import type { Destination, ServerEndpoint } from '../balance/destination.ts';
import { pickOfTwo } from '../balance/p2c.ts';
import { RetryBudget } from '../balance/retry-budget.ts';
import type { OutboundContext } from './context.ts';
import { OutboundEndpoint } from './endpoint.ts';

/** The endpoints of one service port, kept in step with discovery. Unchanged endpoints keep connections and load. */
export class Service implements Destination<OutboundEndpoint>, Disposable {
  readonly name: string;
  readonly isDynamic = true;
  readonly repeats = new RetryBudget(DEFAULT_RETRY_BUDGET);
  /** Discovery has answered at least once. */
  isKnown = false;
  readonly #context: OutboundContext;
  readonly #authority: string;
  readonly #byAddress = new Map<string, { readonly state: OutboundEndpoint; readonly fingerprint: string }>();
  readonly #listeners = new Set<() => void>();
  /** By who asked for it; the last one counts. */
  readonly #accruals = new Map<object, FailureAccrual>();
  #accrual: FailureAccrual | undefined;
  #list: readonly OutboundEndpoint[] = [];

  /** @param name  `host:port`, as asked of discovery */
  constructor(name: string, context: OutboundContext) {
    this.name = name;
    this.#context = context;
    this.#authority = name.endsWith(':80') ? name.slice(0, -3) : name;
  }

  get endpoints(): readonly OutboundEndpoint[] {
    return this.#list;
  }

  /** @param isReset  this is the first step of a (re)connected stream: what it does not name is gone */
  apply(update: EndpointUpdate, isReset: boolean): void {
    switch (update.kind) {
      case 'add': {
        const named = new Set(update.endpoints.map(addressOf));
        if (isReset) for (const key of this.#byAddress.keys()) if (!named.has(key)) this.#delete(key);
        for (const endpoint of update.endpoints) this.#upsert(endpoint, update.labels);
        break;
      }
      case 'remove':
        for (const address of update.addresses) this.#delete(addressOf(address));
        break;
      case 'none':
        for (const key of this.#byAddress.keys()) this.#delete(key);
        break;
    }
    this.isKnown = true;
    this.#list = [...this.#byAddress.values()].map(({ state }) => state);
    const listeners = [...this.#listeners];
    this.#listeners.clear();
    for (const listener of listeners) listener();
  }

  pick(avoid: ReadonlySet<ServerEndpoint> | undefined): OutboundEndpoint | undefined {
    const nowMs = this.#context.now();
    // What is ejected gets nothing, even when nothing else is left.
    const list = this.#accrual === undefined ? this.#list : this.#list.filter((e) => !e.isEjected(nowMs));
    return pickOfTwo(list, avoid, nowMs, this.#context.random);
  }

  /** There are endpoints, and all of them have failed too often. */
  get isEjected(): boolean {
    if (this.#accrual === undefined || this.#list.length === 0) return false;
    const nowMs = this.#context.now();
    return this.#list.every((endpoint) => endpoint.isEjected(nowMs));
  }

  /** Failures of the endpoints count by this rule until `endAccrual`. */
  accrue(owner: object, accrual: FailureAccrual): void {
    this.#accruals.set(owner, accrual);
    this.#applyAccrual();
  }

  endAccrual(owner: object): void {
    if (this.#accruals.delete(owner)) this.#applyAccrual();
  }

  onChange(listener: () => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  sweep(): void {
    for (const endpoint of this.#list) endpoint.pool.sweep();
  }

  [Symbol.dispose](): void {
    for (const key of this.#byAddress.keys()) this.#delete(key);
    this.#list = [];
  }

  #applyAccrual(): void {
    this.#accrual = [...this.#accruals.values()].at(-1);
    for (const endpoint of this.#list) endpoint.accrue(this.#accrual);
  }

  #upsert(endpoint: Endpoint, labels: Readonly<Record<string, string>>): void {
    const key = addressOf(endpoint);
    const fingerprint = JSON.stringify([endpoint, labels]);
    if (this.#byAddress.get(key)?.fingerprint === fingerprint) return;
    this.#delete(key);
    const state = new OutboundEndpoint(endpoint, labels, this.#authority, this.#context);
    state.accrue(this.#accrual);
    this.#byAddress.set(key, { state, fingerprint });
  }

  /** Requests in progress at the endpoint finish; its idle connections close. */
  #delete(key: string): void {
    const known = this.#byAddress.get(key);
    if (known === undefined) return;
    this.#byAddress.delete(key);
    known.state[Symbol.dispose]();
  }
}

/** A target that is one address: a pod, or anything that discovery knows nothing about. */
export class SingleEndpoint implements Destination<OutboundEndpoint>, Disposable {
  readonly name: string;
  readonly isDynamic = false;
  readonly repeats = new RetryBudget(DEFAULT_RETRY_BUDGET);
  readonly endpoints: readonly OutboundEndpoint[];
  readonly #endpoint: OutboundEndpoint;

  constructor(endpoint: Endpoint, context: OutboundContext) {
    this.#endpoint = new OutboundEndpoint(endpoint, {}, undefined, context);
    this.endpoints = [this.#endpoint];
    this.name = addressOf(endpoint);
  }

  pick(avoid: ReadonlySet<ServerEndpoint> | undefined): OutboundEndpoint | undefined {
    return avoid?.has(this.#endpoint) === true ? undefined : this.#endpoint;
  }

  onChange(): Disposable {
    return { [Symbol.dispose]: () => {} };
  }

  sweep(): void {
    this.#endpoint.pool.sweep();
  }

  [Symbol.dispose](): void {
    this.#endpoint[Symbol.dispose]();
  }
}

function addressOf(endpoint: { readonly address: string; readonly port: number }): string {
  return endpoint.address.includes(':')
    ? `[${endpoint.address}]:${endpoint.port}`
    : `${endpoint.address}:${endpoint.port}`;
}
