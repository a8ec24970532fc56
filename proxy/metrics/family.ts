import { headerOf, sampleLine, type Exposed, type Labels } from './exposition.ts';

export type { Labels } from './exposition.ts';

/** One labelled value. Owners keep a reference and add to `value` directly: nothing is looked up per request. */
export class Series {
  readonly labels: Labels;
  value = 0;
  /** Owners at the moment. A series without owners disappears after the retention time. */
  users = 0;
  unusedSinceMs = 0;

  constructor(labels: Labels) {
    this.labels = labels;
  }
}

/** Bounds of `response_latency_ms`. Source: linkerd2-proxy. */
export const LATENCY_BOUNDS_MS: readonly number[] = [
  1, 2, 3, 4, 5, 10, 20, 30, 40, 50, 100, 200, 300, 400, 500, 1000, 2000, 3000, 4000, 5000, 10_000, 20_000, 30_000,
  40_000, 50_000,
];

export class HistogramSeries extends Series {
  readonly bounds: readonly number[];
  readonly counts: Float64Array;
  sum = 0;

  /** @param bounds  upper, ascending */
  constructor(labels: Labels, bounds: readonly number[] = LATENCY_BOUNDS_MS) {
    super(labels);
    this.bounds = bounds;
    this.counts = new Float64Array(bounds.length + 1);
  }

  observe(value: number): void {
    let low = 0;
    let high = this.bounds.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (value <= (this.bounds[middle] as number)) high = middle;
      else low = middle + 1;
    }
    this.counts[low] = (this.counts[low] ?? 0) + 1;
    this.sum += value;
    this.value += 1;
  }
}

/** How many series the families of a proxy may hold together. */
export class SeriesBudget {
  used = 0;
  readonly max: number;

  constructor(max: number) {
    this.max = max;
  }
}

const OVERFLOW: Labels = { overflow: 'true' };

/**
 * A metric whose label names differ from series to series, as Linkerd's do.
 * When the budget is used up, new label sets share one series labelled `overflow="true"`.
 */
export class Family<S extends Series = Series> implements Exposed {
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly #make: (labels: Labels) => S;
  readonly #budget: SeriesBudget;
  readonly #series = new Map<string, S>();
  #overflow: S | undefined;

  constructor(
    options: { readonly name: string; readonly help: string; readonly type: 'counter' | 'gauge' | 'histogram' },
    budget: SeriesBudget,
    make: (labels: Labels) => S,
  ) {
    this.name = options.name;
    this.help = options.help;
    this.type = options.type;
    this.#budget = budget;
    this.#make = make;
  }

  /** The series of these labels, for an owner that calls `release` when it is done. */
  acquire(labels: Labels): S {
    const key = keyOf(labels);
    let series = this.#series.get(key);
    if (series === undefined) {
      if (this.#budget.used >= this.#budget.max) {
        this.#overflow ??= this.#make(OVERFLOW);
        return this.#overflow;
      }
      this.#budget.used += 1;
      series = this.#make(labels);
      this.#series.set(key, series);
    }
    series.users += 1;
    return series;
  }

  release(series: S, nowMs: number): void {
    series.users -= 1;
    series.unusedSinceMs = nowMs;
  }

  /** Forgets what nobody has used for `retainMs`. */
  sweep(nowMs: number, retainMs: number): void {
    for (const [key, series] of this.#series) {
      if (series.users > 0 || nowMs - series.unusedSinceMs <= retainMs) continue;
      this.#series.delete(key);
      this.#budget.used -= 1;
    }
  }

  text(): string {
    let text = headerOf(this);
    for (const series of this.#series.values()) text += this.#textOf(series);
    return this.#overflow === undefined ? text : text + this.#textOf(this.#overflow);
  }

  #textOf(series: S): string {
    const { name } = this;
    const { labels, value } = series;
    if (!(series instanceof HistogramSeries)) return sampleLine(name, labels, value);
    let text = '';
    let total = 0;
    for (let index = 0; index <= series.bounds.length; index += 1) {
      total += series.counts[index] ?? 0;
      const le = index === series.bounds.length ? '+Inf' : String(series.bounds[index]);
      text += sampleLine(`${name}_bucket`, { ...labels, le }, total);
    }
    return text + sampleLine(`${name}_sum`, labels, series.sum) + sampleLine(`${name}_count`, labels, value);
  }
}

function keyOf(labels: Labels): string {
  return Object.keys(labels)
    .sort()
    .map((name) => `${name}\0${labels[name]}`)
    .join('\0\0');
}
