/** One series of a metrics page. */
export type SampleLine = {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
};

/** Reads the text format of metrics, as far as our proxy writes it: no escapes in label values, no timestamps. */
export function parseMetrics(text: string): readonly SampleLine[] {
  return text.split('\n').flatMap((line) => {
    const match = /^([a-z_]+)(?:\{(.*)\})? (\S+)$/.exec(line);
    if (match === null) return [];
    const labels = [...(match[2] ?? '').matchAll(/(\w+)="([^"]*)"/g)].map(([, key = '', value = '']) => [key, value]);
    return [
      { name: match[1] ?? '', labels: Object.fromEntries(labels) as Record<string, string>, value: Number(match[3]) },
    ];
  });
}

/** Sums of counters over pages read in turn. A proxy forgets series that nobody uses, and counts from 0 when they come back. */
export class Counters {
  readonly #series = new Map<string, { last: number; before: number; sample: SampleLine }>();

  add(samples: readonly SampleLine[]): void {
    const gone = new Set(this.#series.keys());
    for (const sample of samples) {
      if (!sample.name.endsWith('_total')) continue;
      const key = `${sample.name} ${JSON.stringify(sample.labels)}`;
      const known = this.#series.get(key);
      gone.delete(key);
      if (known === undefined) this.#series.set(key, { last: sample.value, before: 0, sample });
      else {
        if (sample.value < known.last) known.before += known.last;
        known.last = sample.value;
      }
    }
    // A forgotten series may be back with the value that it had.
    for (const key of gone) {
      const series = this.#series.get(key);
      if (series === undefined) continue;
      series.before += series.last;
      series.last = 0;
    }
  }

  /** @param labels  that a series must have to be counted */
  sum(name: string, labels: Readonly<Record<string, string>> = {}): number {
    let sum = 0;
    for (const { last, before, sample } of this.#series.values())
      if (sample.name === name && Object.entries(labels).every(([key, value]) => sample.labels[key] === value))
        sum += before + last;
    return sum;
  }
}
