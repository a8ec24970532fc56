import type { DurationJson, EndpointJson, TapJson } from '../tap/event.ts';

export type TopRow = {
  readonly source: string;
  readonly destination: string;
  readonly method: string;
  readonly path: string;
  readonly count: number;
  readonly bestMs: number;
  readonly worstMs: number;
  readonly lastMs: number;
  readonly successes: number;
};

const ROWS_MAX = 1000;
const OPEN_MAX = 10_000;
/** Unknown, DeadlineExceeded, Internal, Unavailable, DataLoss. Source: linkerd2 `viz/cmd/top.go`. */
const FAILED_CODES = new Set([2, 4, 13, 14, 15]);

type Open = { readonly key: string; readonly row: TopRow; status: number };

/** Requests counted by source, destination, method and path. Bounded: what comes after the limits is not counted. */
export class TopTable {
  readonly #hasSources: boolean;
  readonly #rows = new Map<string, TopRow>();
  readonly #open = new Map<string, Open>();

  constructor(hasSources: boolean) {
    this.#hasSources = hasSources;
  }

  add(event: TapJson): void {
    const { requestInitEvent: begin, responseInitEvent: response, responseEndEvent: end } = event;
    const id = (begin ?? response ?? end)?.id;
    const idKey = `${id?.base ?? 0}:${id?.stream ?? 0}`;
    if (begin !== undefined) {
      if (this.#open.size >= OPEN_MAX) return;
      const source = this.#hasSources ? nameOf(event.source) : '';
      const destination = nameOf(event.destination);
      const { method, path } = begin;
      const key = JSON.stringify([source, destination, method, path]);
      const row = {
        source,
        destination,
        method,
        path,
        count: 0,
        bestMs: Infinity,
        worstMs: 0,
        lastMs: 0,
        successes: 0,
      };
      this.#open.set(idKey, { key, row, status: 0 });
      return;
    }
    const open = this.#open.get(idKey);
    if (open === undefined) return;
    if (response !== undefined) open.status = response.httpStatus;
    if (end === undefined) return;
    this.#open.delete(idKey);
    const row = this.#rows.get(open.key) ?? open.row;
    if (!this.#rows.has(open.key) && this.#rows.size >= ROWS_MAX) return;
    const ms = milliseconds(end.sinceRequestInit);
    const isSuccess =
      open.status > 0 &&
      open.status < 500 &&
      end.resetErrorCode === undefined &&
      !FAILED_CODES.has(end.grpcStatusCode ?? 0);
    this.#rows.set(open.key, {
      ...row,
      count: row.count + 1,
      bestMs: Math.min(row.bestMs, ms),
      worstMs: Math.max(row.worstMs, ms),
      lastMs: ms,
      successes: row.successes + (isSuccess ? 1 : 0),
    });
  }

  /** The busiest first. */
  rows(max: number): readonly TopRow[] {
    return [...this.#rows.values()].sort((a, b) => b.count - a.count || a.path.localeCompare(b.path)).slice(0, max);
  }
}

function nameOf({ ip, metadata }: EndpointJson): string {
  return metadata['pod'] ?? ip;
}

function milliseconds({ seconds, nanos }: DurationJson): number {
  return seconds * 1000 + nanos / 1e6;
}
