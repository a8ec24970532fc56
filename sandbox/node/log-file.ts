import { closeSync, openSync, readSync, renameSync, rmSync, writeSync } from 'node:fs';

/** Sizes that bound what is kept of one container instance: at most two segments. */
export const SEGMENT_BYTES_MAX = 10 * 1024 * 1024;
/** A line longer than this is stored in parts, as container runtimes do. */
const LINE_BYTES_MAX = 16 * 1024;
const NEWLINE = 10;

export type LogStream = 'stdout' | 'stderr';

type Segment = { readonly path: string; readonly fd: number; readonly start: number; bytes: number };

/**
 * What one container instance wrote, one record a line: `<time> <stream> <F|P> <text>`, as in CRI log files; P marks a
 * part of a line that goes on. Positions count bytes since the start of the log and stay valid when old bytes go.
 */
export class LogFile {
  readonly #path: string;
  readonly #segmentBytesMax: number;
  readonly #now: () => Date;
  readonly #waiting = new Set<() => void>();
  readonly #partial: Record<LogStream, Buffer> = { stdout: Buffer.alloc(0), stderr: Buffer.alloc(0) };
  #old: Segment | undefined;
  #current: Segment;
  #isEnded = false;
  #isRemoved = false;

  constructor(path: string, segmentBytesMax: number = SEGMENT_BYTES_MAX, now: () => Date = () => new Date()) {
    this.#path = path;
    this.#segmentBytesMax = segmentBytesMax;
    this.#now = now;
    this.#current = openSegment(path, 0);
  }

  /** Position of the oldest byte that is still there. */
  get start(): number {
    return (this.#old ?? this.#current).start;
  }

  /** Position after the last byte. */
  get end(): number {
    return this.#current.start + this.#current.bytes;
  }

  /** No more will come. */
  get isEnded(): boolean {
    return this.#isEnded;
  }

  /** Takes what the process wrote; keeps the begun line until the rest of it comes. */
  write(stream: LogStream, chunk: Buffer): void {
    if (this.#isEnded) return;
    const time = timestamp(this.#now());
    let rest = this.#partial[stream].length === 0 ? chunk : Buffer.concat([this.#partial[stream], chunk]);
    const records: Buffer[] = [];
    for (;;) {
      const newline = rest.indexOf(NEWLINE);
      if (newline >= 0 && newline <= LINE_BYTES_MAX) {
        records.push(record(time, stream, 'F', rest.subarray(0, newline)));
        rest = rest.subarray(newline + 1);
      } else if (rest.length > LINE_BYTES_MAX) {
        records.push(record(time, stream, 'P', rest.subarray(0, LINE_BYTES_MAX)));
        rest = rest.subarray(LINE_BYTES_MAX);
      } else break;
    }
    this.#partial[stream] = Buffer.from(rest);
    if (records.length > 0) this.#append(Buffer.concat(records));
  }

  /** The process is gone: stores what it left unfinished and lets followers end. */
  finish(): void {
    if (this.#isEnded) return;
    const time = timestamp(this.#now());
    for (const stream of ['stdout', 'stderr'] as const) {
      if (this.#partial[stream].length > 0) this.#append(record(time, stream, 'F', this.#partial[stream]));
    }
    this.#isEnded = true;
    this.#wake();
  }

  /** Up to `bytesMax` bytes from `position`, or from the start of the log if that is later. Empty at the end. */
  read(position: number, bytesMax: number): { bytes: Buffer; next: number } {
    const from = Math.max(position, this.start);
    const segment = this.#old !== undefined && from < this.#current.start ? this.#old : this.#current;
    const length = this.#isRemoved ? 0 : Math.min(bytesMax, segment.start + segment.bytes - from);
    const bytes = Buffer.alloc(Math.max(0, length));
    if (bytes.length > 0) readSync(segment.fd, bytes, 0, bytes.length, from - segment.start);
    return { bytes, next: from + bytes.length };
  }

  /** Resolves when there is something after `position`, when the log has ended, or when `signal` fires. */
  async more(position: number, signal: AbortSignal): Promise<void> {
    if (this.end > position || this.#isEnded || signal.aborted) return;
    await new Promise<void>((resolve) => {
      const wake = (): void => {
        this.#waiting.delete(wake);
        signal.removeEventListener('abort', wake);
        resolve();
      };
      this.#waiting.add(wake);
      signal.addEventListener('abort', wake);
    });
  }

  /** Closes and removes the files. Readers that are still there end. */
  remove(): void {
    if (this.#isRemoved) return;
    this.finish();
    this.#isRemoved = true;
    for (const segment of [this.#old, this.#current]) {
      if (segment === undefined) continue;
      closeSync(segment.fd);
      rmSync(segment.path, { force: true });
    }
  }

  #append(bytes: Buffer): void {
    if (this.#current.bytes > 0 && this.#current.bytes + bytes.length > this.#segmentBytesMax) this.#rotate();
    writeSync(this.#current.fd, bytes, 0, bytes.length, this.#current.bytes);
    this.#current.bytes += bytes.length;
    this.#wake();
  }

  #rotate(): void {
    if (this.#old !== undefined) closeSync(this.#old.fd);
    const oldPath = `${this.#path}.1`;
    renameSync(this.#current.path, oldPath);
    this.#old = { ...this.#current, path: oldPath };
    this.#current = openSegment(this.#path, this.#old.start + this.#old.bytes);
  }

  #wake(): void {
    for (const wake of this.#waiting) wake();
  }
}

function openSegment(path: string, start: number): Segment {
  return { path, fd: openSync(path, 'w+', 0o640), start, bytes: 0 };
}

function record(time: string, stream: LogStream, tag: 'F' | 'P', text: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${time} ${stream} ${tag} `), text, Buffer.of(NEWLINE)]);
}

/** RFC 3339 with nanoseconds in UTC, as container runtimes write it; the clock here gives milliseconds. */
function timestamp(now: Date): string {
  return now.toISOString().replace('Z', '000000Z');
}
