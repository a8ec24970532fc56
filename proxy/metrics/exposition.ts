// The text format of metrics. Source: Prometheus documentation, "Exposition formats", version 0.0.4.

export type Labels = Readonly<Record<string, string>>;

export const CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

type Described = { readonly name: string; readonly help: string; readonly type: 'counter' | 'gauge' | 'histogram' };

/** A metric that can be asked for its text. */
export interface Exposed extends Described {
  text(): string;
}

/** The metrics of one proxy. */
export class Exposition {
  readonly #metrics: Exposed[] = [];

  add(metric: Exposed): void {
    this.#metrics.push(metric);
  }

  /** @param read  the value at the moment, or several with their labels */
  addReading(described: Described, read: () => number | readonly (readonly [Labels, number])[]): void {
    this.add({
      ...described,
      text() {
        const values = read();
        const samples = typeof values === 'number' ? ([[{}, values]] as const) : values;
        return (
          headerOf(described) + samples.map(([labels, value]) => sampleLine(described.name, labels, value)).join('')
        );
      },
    });
  }

  text(): string {
    return this.#metrics.map((metric) => metric.text()).join('\n');
  }
}

/** The lines before the samples of a metric. */
export function headerOf({ name, help, type }: Described): string {
  return `# HELP ${name} ${help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')}\n# TYPE ${name} ${type}\n`;
}

export function sampleLine(name: string, labels: Labels, value: number): string {
  let pairs = '';
  for (const key in labels) pairs += `${pairs === '' ? '' : ','}${key}="${escapeValue(labels[key] ?? '')}"`;
  return `${name}${pairs === '' ? '' : `{${pairs}}`} ${formatValue(value)}\n`;
}

function escapeValue(value: string): string {
  return /[\\"\n]/.test(value) ? value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n') : value;
}

function formatValue(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return '+Inf';
  return value === Number.NEGATIVE_INFINITY ? '-Inf' : String(value);
}
