import type { Sample } from './exposition.ts';

export type StoreLimits = {
  readonly retentionMs: number; // how far back a window may reach
  readonly maxSeriesPerPod: number;
  readonly maxSeries: number;
};

/** What one series says about a window. */
export type SeriesView = {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly increase: number; // for counters: growth within the window
  readonly last: number; // for gauges: the newest value
};

type Series = {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly zeroMs: number; // no earlier than this it counted from zero; -Infinity: not known
  readonly timesMs: number[];
  readonly values: number[];
};

type PodState = { readonly series: Map<string, Series>; readonly scrapesMs: number[]; readonly startMs: number };

/**
 * The scraped samples of all proxies, for as long as windows reach back. Bounded in pods x series x time; what is over a
 * limit is counted, so that a view can say that it is incomplete.
 */
export class MetricsStore {
  readonly #limits: StoreLimits;
  readonly #pods = new Map<string, PodState>();
  #seriesCount = 0;
  #droppedCount = 0;

  constructor(limits: StoreLimits) {
    this.#limits = limits;
  }

  get seriesCount(): number {
    return this.#seriesCount;
  }

  /** Samples that were not kept because of a limit, since the start. */
  get droppedCount(): number {
    return this.#droppedCount;
  }

  /**
   * Takes in one scrape.
   *
   * @param startMs  when the proxy's process started (`process_start_time_seconds`), in wall-clock milliseconds
   */
  ingest(pod: string, nowMs: number, startMs: number, samples: readonly Sample[]): void {
    let state = this.#pods.get(pod);
    if (state === undefined || Math.abs(state.startMs - startMs) > 2_000) {
      // Another process: its counters begin again, and mixing them with the old ones would invent traffic.
      this.forget(pod);
      state = { series: new Map(), scrapesMs: [], startMs };
      this.#pods.set(pod, state);
    }
    const isFirst = state.scrapesMs.length === 0;
    const horizonMs = nowMs - this.#limits.retentionMs;
    state.scrapesMs.push(nowMs);
    trimBefore(state.scrapesMs, horizonMs);
    for (const sample of samples) {
      let series = state.series.get(sample.key);
      if (series === undefined) {
        if (state.series.size >= this.#limits.maxSeriesPerPod || this.#seriesCount >= this.#limits.maxSeries) {
          this.#droppedCount += 1;
          continue;
        }
        // In the first scrape it holds all since the process started; later it appeared since the scrape before.
        const zeroMs = isFirst ? startMs : nowMs;
        series = { name: sample.name, labels: sample.labels, zeroMs, timesMs: [], values: [] };
        state.series.set(sample.key, series);
        this.#seriesCount += 1;
      }
      series.timesMs.push(nowMs);
      series.values.push(sample.value);
    }
    for (const [key, series] of state.series) {
      trimSeries(series, horizonMs);
      if (series.timesMs.length === 0 || (series.timesMs.at(-1) ?? 0) < horizonMs) {
        state.series.delete(key);
        this.#seriesCount -= 1;
      }
    }
  }

  /** Drops everything of a pod that is gone. */
  forget(pod: string): void {
    this.#seriesCount -= this.#pods.get(pod)?.series.size ?? 0;
    this.#pods.delete(pod);
  }

  has(pod: string): boolean {
    return this.#pods.has(pod);
  }

  /** Milliseconds of the window for which there is knowledge of the pod, 0 when it was never scraped. */
  coveredMs(pod: string, nowMs: number, windowMs: number): number {
    const state = this.#pods.get(pod);
    const last = state?.scrapesMs.at(-1);
    if (state === undefined || last === undefined) return 0;
    const fromMs = nowMs - windowMs;
    // What a process counted before its first scrape belongs to the window only when all of it does.
    const sinceMs = state.startMs >= fromMs ? state.startMs : Math.max(fromMs, state.scrapesMs[0] ?? last);
    return Math.max(0, last - sinceMs);
  }

  /**
   * Tells each growth of the pod's counters of one name after `fromMs`.
   *
   * @param timeMs  of the scrape that showed it
   */
  eachGrowth(
    pod: string,
    metric: string,
    fromMs: number,
    visit: (labels: Readonly<Record<string, string>>, timeMs: number, growth: number) => void,
  ): void {
    for (const series of this.#pods.get(pod)?.series.values() ?? []) {
      if (series.name !== metric) continue;
      eachStep(series, fromMs, (timeMs, growth) => visit(series.labels, timeMs, growth));
    }
  }

  /** The series of a pod by metric name, over the window that ends now. */
  *view(pod: string, nowMs: number, windowMs: number, isWanted: (name: string) => boolean): Generator<SeriesView> {
    const state = this.#pods.get(pod);
    if (state === undefined) return;
    const lastScrapeMs = state.scrapesMs.at(-1);
    for (const series of state.series.values()) {
      if (!isWanted(series.name)) continue;
      // A gauge that the proxy no longer reports is gone; a counter's past growth still counts.
      const isCurrent = series.timesMs.at(-1) === lastScrapeMs;
      yield {
        name: series.name,
        labels: series.labels,
        increase: increase(series, nowMs - windowMs),
        last: isCurrent ? (series.values.at(-1) ?? 0) : 0,
      };
    }
  }
}

/** Growth of a counter after `fromMs`. Source: PromQL `increase`, without extrapolation. */
function increase(series: Series, fromMs: number): number {
  let sum = 0;
  eachStep(series, fromMs, (_timeMs, growth) => {
    sum += growth;
  });
  return sum;
}

/** Each growth of a counter after `fromMs`, with the scrape that showed it. A fall is a reset: what it shows afterwards is new. */
function eachStep(series: Series, fromMs: number, visit: (timeMs: number, growth: number) => void): void {
  const { timesMs, values } = series;
  // The last sample before the window is the baseline, so that growth between two scrapes is not lost at the edge.
  const first = Math.max(
    0,
    timesMs.findLastIndex((timeMs) => timeMs <= fromMs),
  );
  const [firstMs = 0] = timesMs;
  if (series.zeroMs >= fromMs && firstMs > fromMs) visit(firstMs, values[0] ?? 0);
  for (let index = first + 1; index < values.length; index += 1) {
    const before = values[index - 1] ?? 0;
    const after = values[index] ?? 0;
    visit(timesMs[index] ?? 0, after >= before ? after - before : after);
  }
}

/** Keeps one sample older than the horizon, as the baseline of the longest window. */
function trimSeries(series: Series, horizonMs: number): void {
  let count = 0;
  while (count + 1 < series.timesMs.length && (series.timesMs[count + 1] ?? 0) <= horizonMs) count += 1;
  if (count === 0) return;
  series.timesMs.splice(0, count);
  series.values.splice(0, count);
  (series as { zeroMs: number }).zeroMs = -Infinity;
}

function trimBefore(timesMs: number[], horizonMs: number): void {
  const keep = timesMs.findIndex((timeMs) => timeMs >= horizonMs);
  if (keep > 0) timesMs.splice(0, keep);
}
