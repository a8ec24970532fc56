import type { Backend, BackendTarget } from '#model/backend.ts';
import type { ResourceRef } from '#model/resource-ref.ts';
import type { FailureAccrual } from '#model/failure-accrual.ts';
import { DEFAULT_RETRY_BUDGET } from '#model/profile.ts';
import { formatResourceRef } from '#model/resource-ref.ts';
import { RetryBudget } from '../balance/retry-budget.ts';
import type { Cache, Lease } from '../discovery/cache.ts';
import { ProxyError } from '../errors.ts';
import type { Family, Labels, Series } from '../metrics/family.ts';
import { objectLabels } from '../metrics/labels.ts';
import type { OutboundContext } from './context.ts';
import type { OutboundEndpoint } from './endpoint.ts';
import type { Way } from './plan.ts';
import { SingleEndpoint } from './service.ts';
import type { WatchedService } from './watched-service.ts';

export type Candidate = {
  /** Something can answer there now. */
  readonly isAvailable: () => boolean;
  readonly way: () => Way | ProxyError;
  readonly weight: number;
};

/** What the endpoints of backends are counted for. */
export type BackendsParent = { readonly ref: ResourceRef; readonly protocol: 'http' | 'tcp' | 'tls' };

/** How many endpoints of a backend can be used, looked at from time to time. */
class BalancerGauges implements Disposable {
  readonly #family: Family;
  readonly #ready: Series;
  readonly #pending: Series;

  constructor(family: Family, labels: Labels) {
    this.#family = family;
    this.#ready = family.acquire({ endpoint_state: 'ready', ...labels });
    this.#pending = family.acquire({ endpoint_state: 'pending', ...labels });
  }

  set(endpoints: readonly OutboundEndpoint[], nowMs: number): void {
    const ready = endpoints.filter((endpoint) => endpoint.isReady(nowMs)).length;
    this.#ready.value = ready;
    this.#pending.value = endpoints.length - ready;
  }

  [Symbol.dispose](): void {
    for (const series of [this.#ready, this.#pending]) {
      this.#family.release(series, Date.now());
      if (series.users === 0) series.value = 0;
    }
  }
}

/** What the routes of one target send to: held while the routes are in use. */
export class Backends implements Disposable {
  readonly #services: Cache<WatchedService>;
  readonly #context: OutboundContext;
  readonly #accrual: FailureAccrual | undefined;
  readonly #fallback: (service: WatchedService) => Way['destination'];
  readonly #leases = new Map<string, Lease<WatchedService>>();
  readonly #singles: SingleEndpoint[] = [];
  readonly #parent: BackendsParent | undefined;
  readonly #gauges = new Map<WatchedService, BalancerGauges>();

  /**
   * @param fallback  what to use of a service, as long as discovery cannot say anything about it
   * @param parent    that endpoints are counted for; absent: they are not
   */
  constructor(
    services: Cache<WatchedService>,
    context: OutboundContext,
    accrual: FailureAccrual | undefined,
    fallback: (service: WatchedService) => Way['destination'],
    parent?: BackendsParent,
  ) {
    this.#parent = parent;
    this.#services = services;
    this.#context = context;
    this.#accrual = accrual;
    this.#fallback = fallback;
  }

  /** Discovery has said something about every service. */
  get isAnswered(): boolean {
    return [...this.#leases.values()].every((lease) => lease.value.isAnswered);
  }

  async answered(): Promise<void> {
    await Promise.all([...this.#leases.values()].map((lease) => lease.value.answered));
  }

  candidate(target: BackendTarget, ref: ResourceRef | undefined, filters: Way['filters'], weight: number): Candidate {
    if (target.kind === 'none') {
      const name = ref === undefined ? 'the backend' : formatResourceRef(ref);
      const error = new ProxyError('no-backend', `${name} does not exist or cannot be used`);
      // A failure filter of this way answers before anything is sent.
      const destination = new NoDestination(name);
      return {
        isAvailable: () => true,
        way: () => (filters.length > 0 ? { ref, filters, destination } : error),
        weight,
      };
    }
    if (target.kind === 'forward') {
      const destination = new SingleEndpoint(target.endpoint, this.#context);
      this.#singles.push(destination);
      return { isAvailable: () => true, way: () => ({ ref, filters, destination }), weight };
    }
    const lease = this.#acquire(target.authority);
    if (lease === undefined) {
      const error = new ProxyError('load-shed', `too many services are in use: no room for ${target.authority}`);
      return { isAvailable: () => false, way: () => error, weight };
    }
    const { value: watched } = lease;
    const { service } = watched;
    if (this.#accrual !== undefined) service.accrue(this, this.#accrual);
    if (ref !== undefined) this.#measure(watched, ref);
    return {
      isAvailable: () => service.endpoints.length > 0 && !service.isEjected,
      way: () => {
        if (service.isEjected) return ejected(service.name, service.endpoints.length);
        return { ref, filters, destination: this.#fallback(watched) };
      },
      weight,
    };
  }

  /**
   * Where copies of requests go: to the endpoints of the mirror or nowhere. Never to the address that the application asked for
   * instead, which would carry the request out twice; and that a mirror is there makes no breaker count its failures.
   */
  mirror({ target, ref }: Backend): () => Way | ProxyError {
    if (target.kind !== 'balancer') return this.candidate(target, ref, [], 1).way;
    const lease = this.#acquire(target.authority);
    if (lease === undefined) {
      const error = new ProxyError('load-shed', `too many services are in use: no room for ${target.authority}`);
      return () => error;
    }
    const { service } = lease.value;
    return () => ({ ref, filters: [], destination: service });
  }

  sweep(): void {
    for (const single of this.#singles) single.sweep();
    const nowMs = this.#context.now();
    for (const [{ service }, gauges] of this.#gauges) gauges.set(service.endpoints, nowMs);
  }

  [Symbol.dispose](): void {
    for (const gauges of this.#gauges.values()) gauges[Symbol.dispose]();
    for (const lease of this.#leases.values()) {
      lease.value.service.endAccrual(this);
      lease[Symbol.dispose]();
    }
    for (const single of this.#singles) single[Symbol.dispose]();
  }

  #measure(watched: WatchedService, ref: ResourceRef): void {
    const parent = this.#parent;
    if (parent === undefined || this.#gauges.has(watched)) return;
    const labels = { ...objectLabels('parent', parent.ref), ...objectLabels('backend', ref) };
    this.#gauges.set(watched, new BalancerGauges(this.#context.metrics.balancerEndpoints[parent.protocol], labels));
  }

  #acquire(name: string): Lease<WatchedService> | undefined {
    const known = this.#leases.get(name);
    if (known !== undefined) return known;
    const lease = this.#services.acquire(name);
    if (lease === undefined) return undefined;
    this.#leases.set(name, lease);
    return lease;
  }
}

function ejected(name: string, count: number): ProxyError {
  return new ProxyError(
    'endpoints-ejected',
    `${name} is in fail-fast: its ${count} endpoints have failed too often and wait for their next probe`,
  );
}

/** Where nothing is. */
class NoDestination {
  readonly name: string;
  readonly isDynamic = false;
  readonly endpoints = [];
  readonly repeats = new RetryBudget(DEFAULT_RETRY_BUDGET);

  constructor(name: string) {
    this.name = name;
  }

  pick(): undefined {
    return undefined;
  }

  onChange(): Disposable {
    return { [Symbol.dispose]: () => {} };
  }
}
