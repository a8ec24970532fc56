import { request } from 'node:http';
import type { Logger } from '#runtime/log.ts';
import { EDGE_METRICS } from './edges.ts';
import { parseExposition, type Sample } from './exposition.ts';
import type { Pod } from './pods.ts';
import { ROUTE_METRICS } from './routes.ts';
import { STAT_METRICS } from './stat.ts';
import type { MetricsStore } from './store.ts';

const START_METRIC = 'process_start_time_seconds';
const WANTED = new Set([...STAT_METRICS, ...EDGE_METRICS, ...ROUTE_METRICS, START_METRIC]);
const MAX_PAGE_BYTES = 8 * 1024 * 1024;
const MAX_SAMPLES = 20_000; // of one page
const MAX_CONCURRENT = 16;

export type ScrapeOptions = {
  readonly store: MetricsStore;
  readonly pods: () => readonly Pod[];
  readonly intervalMs: number;
  readonly now: () => number;
  readonly log: Logger;
  readonly onResult: (isSuccess: boolean) => void;
};

/** Why the last scrape of a pod failed, for views that would otherwise be empty without a word. */
export type ScrapeFailures = ReadonlyMap<string, string>;

/**
 * Scrapes every meshed pod once an interval, spread over it, until it is disposed. A proxy that does not answer costs its
 * own sample and nothing else.
 */
export class Scraper implements Disposable {
  readonly #options: ScrapeOptions;
  readonly #failures = new Map<string, string>();
  readonly #inFlight = new Set<string>();
  readonly #known = new Set<string>();
  #timer: NodeJS.Timeout | undefined;
  #roundCount = 0;

  constructor(options: ScrapeOptions) {
    this.#options = options;
  }

  get failures(): ScrapeFailures {
    return this.#failures;
  }

  /** Completed rounds; the first one makes the process ready. */
  get roundCount(): number {
    return this.#roundCount;
  }

  start(): void {
    void this.#round();
    this.#timer = setInterval(() => void this.#round(), this.#options.intervalMs);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  async #round(): Promise<void> {
    const targets = this.#options.pods().filter((pod) => pod.scrapeTarget !== undefined);
    this.#forgetGone(targets);
    const queue = targets.filter(({ key }) => !this.#inFlight.has(key));
    const worker = async (): Promise<void> => {
      for (let pod = queue.shift(); pod !== undefined; pod = queue.shift()) await this.#scrape(pod);
    };
    await Promise.all(Array.from({ length: MAX_CONCURRENT }, worker));
    this.#roundCount += 1;
  }

  #forgetGone(targets: readonly Pod[]): void {
    const present = new Set(targets.map(({ key }) => key));
    for (const key of this.#known) {
      if (present.has(key)) continue;
      this.#known.delete(key);
      this.#failures.delete(key);
      this.#options.store.forget(key);
    }
    for (const key of present) this.#known.add(key);
  }

  async #scrape(pod: Pod): Promise<void> {
    const { store, now, log, onResult } = this.#options;
    if (pod.scrapeTarget === undefined) return;
    this.#inFlight.add(pod.key);
    try {
      const text = await fetchPage(pod.scrapeTarget, this.#options.intervalMs);
      const { samples, malformedCount, droppedCount } = parseExposition(text, (name) => WANTED.has(name), MAX_SAMPLES);
      if (malformedCount + droppedCount > 0)
        log.warn({ pod: pod.key, malformedCount, droppedCount }, 'metrics page is incomplete');
      const nowMs = now();
      store.ingest(
        pod.key,
        nowMs,
        startMs(samples, nowMs),
        samples.filter(({ name }) => name !== START_METRIC),
      );
      this.#failures.delete(pod.key);
      onResult(true);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      if (this.#failures.get(pod.key) !== reason) log.warn({ pod: pod.key, reason }, 'cannot scrape the proxy');
      this.#failures.set(pod.key, reason);
      onResult(false);
    } finally {
      this.#inFlight.delete(pod.key);
    }
  }
}

function startMs(samples: readonly Sample[], nowMs: number): number {
  const start = samples.find(({ name }) => name === START_METRIC);
  return start === undefined ? nowMs : start.value * 1000;
}

/** @throws with a short reason: status, size or the connection's error */
function fetchPage(target: { readonly address: string; readonly port: number }, timeoutMs: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const sent = request(
      {
        host: target.address,
        port: target.port,
        path: '/metrics',
        timeout: timeoutMs,
        headers: { connection: 'close' },
      },
      (response) => {
        const chunks: Buffer[] = [];
        let bytes = 0;
        response.on('data', (chunk: Buffer) => {
          bytes += chunk.length;
          if (bytes > MAX_PAGE_BYTES)
            sent.destroy(new Error(`the metrics page is larger than ${MAX_PAGE_BYTES} bytes`));
          else chunks.push(chunk);
        });
        response.on('end', () => {
          if (response.statusCode === 200) resolve(Buffer.concat(chunks).toString());
          else reject(new Error(`status ${response.statusCode}`));
        });
        response.on('error', reject);
      },
    );
    sent.on('timeout', () => sent.destroy(new Error(`no answer within ${timeoutMs} ms`)));
    sent.on('error', reject);
    sent.end();
  });
}
