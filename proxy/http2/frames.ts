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
} as const;

export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');
export const FRAME_HEAD_BYTES = 9;
export const FRAME_BYTES_MAX = 16_384; // the default of SETTINGS_MAX_FRAME_SIZE, both ways
export const WINDOW_DEFAULT = 65_535;
export const WINDOW_MAX = 2 ** 31 - 1;
export const STREAM_ID_MAX = 2 ** 31 - 1;

const BATCH_BYTES = 64 * 1024;
/** Smaller writes are copied, so that the large buffer can be used again at once. */
const COPY_BYTES_MAX = 8 * 1024;

/** Gathers frames, so that many leave in one write and one TLS record. */
export class FrameWriter {
  #out = Buffer.allocUnsafeSlow(BATCH_BYTES);
  #length = 0;
  readonly #write: (bytes: Buffer) => void;

  constructor(write: (bytes: Buffer) => void) {
    this.#write = write;
  }

  get length(): number {
    return this.#length;
  }

  frame(type: number, flags: number, stream: number, payload: Buffer, start = 0, end = payload.length): void {
    const bytes = end - start;
    if (this.#length + FRAME_HEAD_BYTES + bytes > this.#out.length) this.flush();
    const out = this.#out;
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
    bytes.copy(this.#out, this.#length);
    this.#length += bytes.length;
  }

  flush(): void {
    if (this.#length === 0) return;
    const bytes = this.#out.subarray(0, this.#length);
    this.#length = 0;
    if (bytes.length <= COPY_BYTES_MAX) this.#write(Buffer.from(bytes));
    else {
      this.#out = Buffer.allocUnsafeSlow(BATCH_BYTES);
      this.#write(bytes);
    }
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
