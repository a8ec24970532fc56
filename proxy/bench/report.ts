import type { Load, Sample } from './load.ts';
import { median, type Memory } from './measure.ts';

/** One run of one load through one pair. */
export type Row = Sample & {
  readonly load: string;
  readonly pair: string;
  readonly round: number;
  readonly cpuOut: number; // µs for each request
  readonly cpuIn: number;
};

/** Memory of the outbound and the inbound process of a pair, MiB. */
export type PairMemory = { readonly out: Memory; readonly in: Memory };

export type Footprint = {
  readonly pair: string;
  readonly idle: PairMemory;
  readonly loaded: PairMemory; // right after the last load
  readonly after: PairMemory; // when it has been quiet for a while
};

/** What the ratios are to. */
const REFERENCE = 'haproxy-h1';
const REFERENCE_HTTP2 = 'haproxy-h2';

const COLUMNS = ['pair', 'per second', 'x', 'p50 µs', 'p99', 'p99.9', 'CPU µs out+in', 'x', 'failed'] as const;

/** Tables for people: medians over the rounds, lowest and highest of the rates, ratios to haproxy's pair. */
export function formatReport(loads: readonly Load[], rows: readonly Row[], footprints: readonly Footprint[]): string {
  const parts = loads.map((load) =>
    formatLoad(
      load,
      rows.filter((row) => row.load === load.name),
    ),
  );
  return [...parts, formatFootprints(footprints)].join('\n');
}

function formatLoad({ name, help, port }: Load, rows: readonly Row[]): string {
  const pairs = [...Map.groupBy(rows, ({ pair }) => pair)];
  const middle = (some: readonly Row[], value: (row: Row) => number): number => median(some.map(value));
  const cpu = ({ cpuOut, cpuIn }: Row): number => cpuOut + cpuIn;
  const reference = rows.filter(({ pair }) => pair === (port === 'http2' ? REFERENCE_HTTP2 : REFERENCE));
  const ratio = (some: readonly Row[], value: (row: Row) => number): string =>
    reference.length === 0 || some[0]?.pair === 'direct'
      ? ''
      : (middle(some, value) / middle(reference, value)).toFixed(2);
  const lines = pairs.map(([pair, some]) => {
    const rates = some.map(({ perSecond }) => perSecond);
    return [
      pair,
      `${round(Math.min(...rates))}/${round(median(rates))}/${round(Math.max(...rates))}`,
      ratio(some, ({ perSecond }) => perSecond),
      ...[0.5, 0.99, 0.999].map((_, index) =>
        round(middle(some, ({ p50, p99, p999 }) => [p50, p99, p999][index] ?? 0)),
      ),
      `${round(middle(some, (row) => row.cpuOut))}+${round(middle(some, (row) => row.cpuIn))}`,
      ratio(some, cpu),
      String(some.reduce((sum, { failed }) => sum + failed, 0)),
    ];
  });
  return `${name}: ${help}\n${table([COLUMNS, ...lines])}`;
}

function formatFootprints(footprints: readonly Footprint[]): string {
  if (footprints.length === 0) return '';
  const cell = ({ rss, pss, uss }: Memory): string => `${round(rss)}/${round(pss)}/${round(uss)}`;
  const lines = footprints.map(({ pair, idle, loaded, after }) => [
    pair,
    ...[idle, loaded, after].flatMap((one) => [cell(one.out), cell(one.in)]),
  ]);
  const head = ['pair', 'idle out', 'in', 'loaded out', 'in', 'after out', 'in'];
  return `memory, MiB: resident/proportional/private\n${table([head, ...lines])}`;
}

function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => (row[column] ?? '').length)));
  return rows
    .map(
      (row) =>
        `  ${row.map((cell, column) => (column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0))).join('  ')}\n`,
    )
    .join('');
}

function round(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toFixed(1);
}
