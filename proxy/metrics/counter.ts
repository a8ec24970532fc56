import type { Family, Labels, Series } from './family.ts';

/** One counter with its labels, for an owner that keeps it. */
export class CounterMetrics implements Disposable {
  readonly #family: Family;
  readonly #series: Series;

  constructor(family: Family, labels: Labels) {
    this.#family = family;
    this.#series = family.acquire(labels);
  }

  count(): void {
    this.#series.value += 1;
  }

  [Symbol.dispose](): void {
    this.#family.release(this.#series, Date.now());
  }
}
