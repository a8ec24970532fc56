import type { IdleMemory } from './idle.ts';
import type { Load, Sample } from './load.ts';
import { median, type Memory } from './measure.ts';
import type { StartUp } from './startup.ts';

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

/** What the ratios are to; of added latency to nginx's pair. */
const REFERENCE = 'haproxy-h1';
const REFERENCE_HTTP2 = 'haproxy-h2';

const REFERENCE_ADDED = 'nginx';

const COLUMNS = ['pair', 'per second', 'x', 'p50 µs', 'p99', 'p99.9', 'CPU µs out+in', 'x', 'failed'] as const;

const ADDED_COLUMNS = ['added p50 µs', 'x'] as const;

/** A load for people: medians over the rounds, lowest and highest of the rates, ratios to haproxy's pair. */
export function formatLoad({ name, help, port, rate }: Load, rows: readonly Row[]): string {
  const pairs = [...Map.groupBy(rows, ({ pair }) => pair)];
  const middle = (some: readonly Row[], value: (row: Row) => number): number => median(some.map(value));
  const cpu = ({ cpuOut, cpuIn }: Row): number => cpuOut + cpuIn;
  const reference = rows.filter(
    ({ pair }) => pair === (port === 'http2' || port === 'grpc' ? REFERENCE_HTTP2 : REFERENCE),
  );
  const ratio = (some: readonly Row[], value: (row: Row) => number): string =>
    reference.length === 0 || some[0]?.pair === 'direct'
      ? ''
      : (middle(some, value) / middle(reference, value)).toFixed(2);
  // At a fixed rate what a pair adds to the latency tells more than its rate.
  const p50 = (pair: string): number =>
    middle(
      rows.filter((row) => row.pair === pair),
      (row) => row.p50,
    ); // NaN without
  const added = (pair: string): readonly string[] => {
    const micros = p50(pair) - p50('direct');
    const share = micros / (p50(REFERENCE_ADDED) - p50('direct'));
    return pair === 'direct' ? ['', ''] : [micros, share].map((value) => (Number.isNaN(value) ? '' : round(value, 2)));
  };
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
      ...(rate === undefined ? [] : added(pair)),
    ];
  });
  const columns = rate === undefined ? COLUMNS : [...COLUMNS, ...ADDED_COLUMNS];
  return `${name}: ${help}\n${table([columns, ...lines])}`;
}

/** What the proxies hold before, right after and some time after the loads. */
export function formatFootprints(footprints: readonly Footprint[]): string {
  const lines = footprints.map(({ pair, idle, loaded, after }) => [
    pair,
    ...[idle, loaded, after].flatMap((one) => [cell(one.out), cell(one.in)]),
  ]);
  const head = ['pair', 'idle out', 'in', 'loaded out', 'in', 'after out', 'in'];
  return `memory, MiB: resident/proportional/private\n${table([head, ...lines])}`;
}

/** Times of starts. */
export function formatStartUps(startUps: readonly StartUp[]): string {
  const lines = startUps.map(({ pair, listening, ready, answered }) => [
    pair,
    round(listening),
    ready === undefined ? '' : round(ready),
    round(answered),
  ]);
  return `start of the outbound proxy, ms\n${table([['pair', 'listening', 'ready', 'first answer'], ...lines])}`;
}

/** What idle connections cost. */
export function formatIdle(memories: readonly IdleMemory[]): string {
  const lines = memories.map(({ pair, connections, before, after }) => [
    pair,
    String(connections),
    cell(before),
    cell(after),
    round(((after.uss - before.uss) / connections) * 1000, 2),
  ]);
  const head = ['pair', 'connections', 'without', 'with them', 'private, each 1,000'];
  return `outbound proxy with idle connections, MiB: resident/proportional/private\n${table([head, ...lines])}`;
}

function cell({ rss, pss, uss }: Memory): string {
  return `${round(rss)}/${round(pss)}/${round(uss)}`;
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

function round(value: number, digits = 1): string {
  return value >= 100 ? value.toFixed(0) : value.toFixed(digits);
}
