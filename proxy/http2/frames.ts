import { ErrorCode, Http2Error, protocol } from './errors.ts';

/** Source: RFC 9113 section 6. */
export const Frame = {
  DATA: 0,
  HEADERS: 1,
  PRIORITY: 2,
  RST_STREAM: 3,
  SETTINGS: 4,
  PUSH_PROMISE: 5,
  PING: 6,
  GOAWAY: 7,
  WINDOW_UPDATE: 8,
  CONTINUATION: 9,
} as const;

export const Flag = { END_STREAM: 1, ACK: 1, END_HEADERS: 4, PADDED: 8, PRIORITY: 32 } as const;

export const Setting = {
  HEADER_TABLE_SIZE: 1,
  ENABLE_PUSH: 2,
  MAX_CONCURRENT_STREAMS: 3,
  INITIAL_WINDOW_SIZE: 4,
  MAX_FRAME_SIZE: 5,
  MAX_HEADER_LIST_SIZE: 6,
  ENABLE_CONNECT_PROTOCOL: 8, // RFC 8441
} as const;

export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');
export const FRAME_HEAD_BYTES = 9;
export const FRAME_BYTES_MAX = 16_384; // the default of SETTINGS_MAX_FRAME_SIZE, both ways
export const WINDOW_DEFAULT = 65_535;
export const WINDOW_MAX = 2 ** 31 - 1;
export const STREAM_ID_MAX = 2 ** 31 - 1;

/** Of a connection that sends little. */
const REST_BYTES = 4 * 1024;
/** What is kept between batches of a busy one. */
const BATCH_BYTES = 64 * 1024;
/** After so many batches that needed less, a larger memory is given back. */
const SMALL_BATCHES = 1000;

/** Gathers frames, so that many leave in one write and few TLS records. */
export class FrameWriter {
  #out = Buffer.allocUnsafeSlow(REST_BYTES);
  #length = 0;
  #smallBatches = 0;

  get length(): number {
    return this.#length;
  }

  frame(type: number, flags: number, stream: number, payload: Buffer, start = 0, end = payload.length): void {
    const bytes = end - start;
    const out = this.#reserve(FRAME_HEAD_BYTES + bytes);
    let at = this.#length;
    out[at] = bytes >>> 16;
    out[at + 1] = (bytes >>> 8) & 255;
    out[at + 2] = bytes & 255;
    out[at + 3] = type;
    out[at + 4] = flags;
    out.writeUInt32BE(stream, at + 5);
    at += FRAME_HEAD_BYTES;
    if (bytes > 0) payload.copy(out, at, start, end);
    this.#length = at + bytes;
  }

  raw(bytes: Buffer): void {
    bytes.copy(this.#reserve(bytes.length), this.#length);
    this.#length += bytes.length;
  }

  /** What was gathered, valid until the next frame. */
  take(): Buffer {
    const bytes = this.#out.subarray(0, this.#length);
    this.#length = 0;
    return bytes;
  }

  /**
   * After `take`, before the next frame.
   *
   * @param isFree  whether the memory of what was taken can be used again
   */
  taken(bytes: number, isFree: boolean): void {
    if (!isFree) this.#out = Buffer.allocUnsafeSlow(Math.min(this.#out.length, BATCH_BYTES));
    else if (this.#out.length > BATCH_BYTES && bytes <= BATCH_BYTES) {
      this.#smallBatches += 1;
      if (this.#smallBatches > SMALL_BATCHES) this.#out = Buffer.allocUnsafeSlow(BATCH_BYTES);
    } else this.#smallBatches = 0;
  }

  /** Gives back what batches have needed: most connections rest, and have sent little. */
  shrink(): void {
    if (this.#length === 0 && this.#out.length > REST_BYTES) this.#out = Buffer.allocUnsafeSlow(REST_BYTES);
  }

  #reserve(bytes: number): Buffer {
    const needed = this.#length + bytes;
    if (needed <= this.#out.length) return this.#out;
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, 2 * this.#out.length));
    this.#out.copy(larger, 0, 0, this.#length);
    this.#out = larger;
    return larger;
  }
}

/** @throws Http2Error */
export function unpad(payload: Buffer): Buffer {
  const padding = payload[0];
  if (padding === undefined || padding >= payload.length) throw protocol('padding as long as its frame');
  return payload.subarray(1, payload.length - padding);
}

/** @throws Http2Error  when the payload of a frame has another size */
export function size(payload: Buffer, bytes: number, name: string): void {
  if (payload.length !== bytes) throw new Http2Error(ErrorCode.FRAME_SIZE_ERROR, `${name} of ${payload.length} bytes`);
}
