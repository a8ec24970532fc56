import { Readable } from 'node:stream';

import type { LogFile } from './log-file.ts';
import type { LogOptions } from './node-agent.ts';

const CHUNK_BYTES = 64 * 1024;
const NEWLINE = 10;

/** One stored record, parsed. `isPartial`: the line goes on in the next record of the same stream. */
type LogRecord = { readonly time: string; readonly isPartial: boolean; readonly text: Buffer };

/** What a client sees of a log: the text alone or with its time, from where it asked, and for as long as it asked. */
export function readLog(log: LogFile, options: LogOptions, now: () => Date = () => new Date()): Readable {
  return new LogStream((signal) => lines(log, options, now, signal));
}

/** Not `Readable.from`: that waits for the generator when it is destroyed, and the generator may wait for a line. */
class LogStream extends Readable {
  readonly #abort = new AbortController();
  readonly #lines: AsyncGenerator<Buffer, void>;
  #isPulling = false;
  #isWanted = false;

  constructor(open: (signal: AbortSignal) => AsyncGenerator<Buffer, void>) {
    super({ highWaterMark: CHUNK_BYTES });
    this.#lines = open(this.#abort.signal);
  }

  override _read(): void {
    this.#isWanted = true;
    if (this.#isPulling) return;
    this.#isPulling = true;
    this.#pull().catch((error: unknown) => this.destroy(error instanceof Error ? error : new Error(String(error))));
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#abort.abort();
    done(error);
  }

  async #pull(): Promise<void> {
    while (this.#isWanted) {
      const next = await this.#lines.next();
      if (this.destroyed) return;
      this.#isWanted = false; // `push` may ask for more while it runs
      if (next.done === true) this.push(null);
      else if (this.push(next.value)) this.#isWanted = true;
    }
    this.#isPulling = false;
  }
}

/** The last lines of a log as text, for termination messages. */
export function tailText(log: LogFile, lineCount: number, bytesMax: number): string {
  const records: LogRecord[] = [];
  for (const record of recordsFrom(log, tailPosition(log, lineCount), log.end)) records.push(record);
  const text = Buffer.concat(records.map((record) => render(record, false)));
  return text.subarray(Math.max(0, text.length - bytesMax)).toString();
}

async function* lines(
  log: LogFile,
  options: LogOptions,
  now: () => Date,
  signal: AbortSignal,
): AsyncGenerator<Buffer, void> {
  const since =
    options.sinceSeconds === undefined ? '' : new Date(now().getTime() - options.sinceSeconds * 1000).toISOString();
  let left = options.limitBytes ?? Infinity;
  let position = options.tailLines === undefined ? log.start : tailPosition(log, options.tailLines);
  while (!signal.aborted) {
    const end = log.end;
    for (const [record, next] of recordsWithPositions(log, position, end)) {
      position = next;
      if (record.time < since) continue;
      const text = render(record, options.timestamps).subarray(0, left);
      left -= text.length;
      if (text.length > 0) yield text;
      if (left <= 0) return;
    }
    position = Math.max(position, end);
    if (!options.follow || (log.isEnded && position >= log.end)) return;
    await log.more(position, signal);
  }
}

function render(record: LogRecord, hasTimestamps: boolean): Buffer {
  const parts = [record.text];
  if (hasTimestamps) parts.unshift(Buffer.from(`${record.time} `));
  if (!record.isPartial) parts.push(Buffer.of(NEWLINE));
  return Buffer.concat(parts);
}

function* recordsFrom(log: LogFile, position: number, end: number): Generator<LogRecord, void> {
  for (const [record] of recordsWithPositions(log, position, end)) yield record;
}

/** Records up to `end`, with the position after each. Bytes that are rotated away meanwhile are skipped. */
function* recordsWithPositions(
  log: LogFile,
  position: number,
  end: number,
): Generator<readonly [LogRecord, number], void> {
  let rest: Buffer = Buffer.alloc(0);
  for (let at = position; at < end;) {
    const { bytes, next } = log.read(at, Math.min(CHUNK_BYTES, end - at));
    if (bytes.length === 0) return;
    if (next - bytes.length !== at) rest = Buffer.alloc(0); // the log was rotated: begin at its new start
    rest = rest.length === 0 ? bytes : Buffer.concat([rest, bytes]);
    at = next;
    for (let newline = rest.indexOf(NEWLINE); newline >= 0; newline = rest.indexOf(NEWLINE)) {
      const record = parse(rest.subarray(0, newline));
      rest = rest.subarray(newline + 1);
      if (record !== undefined) yield [record, at - rest.length];
    }
  }
}

function parse(line: Buffer): LogRecord | undefined {
  const afterTime = line.indexOf(' ');
  const afterStream = line.indexOf(' ', afterTime + 1);
  if (afterTime < 0 || afterStream < 0) return undefined;
  return {
    time: line.toString('latin1', 0, afterTime),
    isPartial: line[afterStream + 1] === 'P'.charCodeAt(0),
    text: line.subarray(afterStream + 3),
  };
}

/** Where the last `lineCount` records begin, found from the end. */
function tailPosition(log: LogFile, lineCount: number): number {
  if (lineCount === 0) return log.end;
  let found = 0;
  for (let end = log.end; end > log.start;) {
    const from = Math.max(log.start, end - CHUNK_BYTES);
    const { bytes } = readAll(log, from, end);
    for (let index = bytes.length - 1; index >= 0; index -= 1) {
      if (bytes[index] !== NEWLINE) continue;
      found += 1;
      // The first newline ends the last line; one more newline than lines stands before the first of them.
      if (found > lineCount) return from + index + 1;
    }
    end = from;
  }
  return log.start;
}

function readAll(log: LogFile, from: number, end: number): { bytes: Buffer } {
  const parts: Buffer[] = [];
  for (let at = from; at < end;) {
    const { bytes, next } = log.read(at, end - at);
    if (bytes.length === 0) break;
    parts.push(bytes);
    at = next;
  }
  return { bytes: Buffer.concat(parts) };
}
