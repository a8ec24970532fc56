import { quantile } from '../../proxy/bench/measure.ts';
import { TOPICS, type Change, type Topic } from './changes.ts';
import type { ClusterSize } from './cluster.ts';
import { homeOf, targetsOf, type Arrival } from './proxies.ts';

/** Milliseconds from a write until a stream has the news. */
export type Latency = { readonly count: number; readonly p50: number; readonly p99: number; readonly max: number };
export type Latencies = Readonly<Record<Topic | 'all', Latency>> & { readonly lost: number };

/**
 * Who has to hear of which change, and when they did. A stream that is told of a later change of the same thing has heard of the
 * earlier ones: it may skip states.
 */
export class LatencyBook {
  readonly #watchers = new Map<string, readonly number[]>(); // proxies, by topic and Service
  readonly #waiting = new Map<string, Change[]>(); // by topic, Service and proxy; oldest first
  readonly #samples: Record<Topic, number[]> = { endpoints: [], outbound: [], inbound: [] };
  #pending = 0;

  constructor(setup: { readonly size: ClusterSize; readonly proxies: number; readonly targets: number }) {
    const watchers = new Map<string, number[]>();
    const add = (topic: Topic, service: number, proxy: number): void => {
      const key = `${topic} ${service}`;
      watchers.set(key, [...(watchers.get(key) ?? []), proxy]);
    };
    for (let proxy = 0; proxy < setup.proxies; proxy += 1) {
      for (const service of new Set(targetsOf(proxy, setup))) {
        add('endpoints', service, proxy);
        add('outbound', service, proxy);
      }
      add('inbound', homeOf(proxy, setup.size), proxy);
    }
    this.#watchers = watchers;
  }

  /** News that somebody still has to hear. */
  get pending(): number {
    return this.#pending;
  }

  written(change: Change): void {
    for (const proxy of this.#watchers.get(`${change.topic} ${change.service}`) ?? []) {
      const key = `${change.topic} ${change.service} ${proxy}`;
      this.#waiting.set(key, [...(this.#waiting.get(key) ?? []), change]);
      this.#pending += 1;
    }
  }

  arrived({ topic, service, proxy, marker, atMs }: Arrival): void {
    const key = `${topic} ${service} ${proxy}`;
    const waiting = this.#waiting.get(key) ?? [];
    const heard = waiting.filter((change) => change.marker <= marker);
    if (heard.length === 0) return;
    for (const change of heard) this.#samples[topic].push(atMs - change.atMs);
    this.#pending -= heard.length;
    this.#waiting.set(key, waiting.slice(heard.length));
  }

  summary(): Latencies {
    const all = TOPICS.flatMap((topic) => this.#samples[topic]);
    return {
      endpoints: summarize(this.#samples.endpoints),
      outbound: summarize(this.#samples.outbound),
      inbound: summarize(this.#samples.inbound),
      all: summarize(all),
      lost: this.#pending,
    };
  }
}

function summarize(samples: readonly number[]): Latency {
  const sorted = samples.toSorted((a, b) => a - b);
  return {
    count: sorted.length,
    p50: quantile(sorted, 0.5),
    p99: quantile(sorted, 0.99),
    max: sorted.at(-1) ?? NaN,
  };
}
