import type { ByteCounter } from '../transport/connection.ts';
import type { Labels, Series } from './family.ts';
import type { TrafficMetrics } from './registry.ts';

/** The connection metrics of one label set. Connections add their bytes to it directly. */
export class TransportMetrics implements ByteCounter, Disposable {
  readonly #metrics: TrafficMetrics;
  readonly #labels: Labels;
  readonly #open: Series;
  readonly #connections: Series;
  readonly #read: Series;
  readonly #write: Series;
  readonly #close = new Map<string, Series>();

  constructor(metrics: TrafficMetrics, labels: Labels) {
    this.#metrics = metrics;
    this.#labels = labels;
    this.#open = metrics.tcpOpen.acquire(labels);
    this.#connections = metrics.tcpConnections.acquire(labels);
    this.#read = metrics.tcpReadBytes.acquire(labels);
    this.#write = metrics.tcpWriteBytes.acquire(labels);
  }

  get readBytes(): number {
    return this.#read.value;
  }

  set readBytes(value: number) {
    this.#read.value = value;
  }

  get writeBytes(): number {
    return this.#write.value;
  }

  set writeBytes(value: number) {
    this.#write.value = value;
  }

  opened(): void {
    this.#open.value += 1;
    this.#connections.value += 1;
  }

  /** @param error  why it closed, absent after an orderly close */
  closed(error: Error | undefined): void {
    this.#connections.value -= 1;
    const errno = error === undefined ? '' : 'code' in error && typeof error.code === 'string' ? error.code : 'other';
    let series = this.#close.get(errno);
    if (series === undefined) {
      series = this.#metrics.tcpClose.acquire({ ...this.#labels, errno });
      this.#close.set(errno, series);
    }
    series.value += 1;
  }

  [Symbol.dispose](): void {
    const nowMs = Date.now();
    this.#metrics.tcpOpen.release(this.#open, nowMs);
    this.#metrics.tcpConnections.release(this.#connections, nowMs);
    this.#metrics.tcpReadBytes.release(this.#read, nowMs);
    this.#metrics.tcpWriteBytes.release(this.#write, nowMs);
    for (const series of this.#close.values()) this.#metrics.tcpClose.release(series, nowMs);
  }
}
