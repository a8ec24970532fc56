import { SpdyError } from './header-block.ts';

/** Control frames this end understands; the rest is `other`. Source: SPDY Protocol draft 3.1, section 2. */
export type Frame =
  | { readonly kind: 'data'; readonly streamId: number; readonly bytes: Buffer; readonly isLast: boolean }
  | { readonly kind: 'syn-stream'; readonly streamId: number; readonly block: Buffer; readonly isLast: boolean }
  | { readonly kind: 'rst-stream'; readonly streamId: number }
  | { readonly kind: 'ping'; readonly id: number }
  | { readonly kind: 'goaway' }
  | { readonly kind: 'other'; readonly type: number };

const HEADER_BYTES = 8;
const CONTROL_BYTES_MAX = 16 * 1024; // payload of a control frame
const VERSION = 3;
const FIN = 0x01;

const SYN_STREAM = 1;
const SYN_REPLY = 2;
const RST_STREAM = 3;
const PING = 6;
const GOAWAY = 7;

/** Cuts a byte stream into frames. Data frames come out in pieces as their bytes arrive, control frames whole. */
export class FrameParser {
  #pending: Buffer = Buffer.alloc(0); // at most one header and one control payload
  #data: { streamId: number; left: number; isFin: boolean } | undefined;

  /** Frames that are complete with `chunk`. Throws SpdyError. */
  *push(chunk: Buffer): Generator<Frame> {
    this.#pending = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk]);
    for (let frame = this.#next(); frame !== undefined; frame = this.#next()) yield frame;
  }

  #next(): Frame | undefined {
    if (this.#data !== undefined) return this.#dataPiece(this.#data);
    if (this.#pending.length < HEADER_BYTES) return undefined;
    const first = this.#pending.readUInt32BE(0);
    const flags = this.#pending.readUInt8(4);
    const length = this.#pending.readUIntBE(5, 3);
    if (first < 0x8000_0000) {
      this.#take(HEADER_BYTES);
      this.#data = { streamId: first, left: length, isFin: (flags & FIN) !== 0 };
      return this.#dataPiece(this.#data);
    }
    const version = (first >>> 16) & 0x7fff;
    if (version !== VERSION) throw new SpdyError(`frame of version ${version}`);
    if (length > CONTROL_BYTES_MAX) throw new SpdyError(`control frame of ${length} bytes`);
    if (this.#pending.length < HEADER_BYTES + length) return undefined;
    this.#take(HEADER_BYTES);
    return controlFrame(first & 0xffff, flags, this.#take(length));
  }

  #dataPiece(data: { streamId: number; left: number; isFin: boolean }): Frame | undefined {
    if (data.left > 0 && this.#pending.length === 0) return undefined;
    const bytes = this.#take(Math.min(data.left, this.#pending.length));
    data.left -= bytes.length;
    if (data.left === 0) this.#data = undefined;
    return { kind: 'data', streamId: data.streamId, bytes, isLast: data.isFin && data.left === 0 };
  }

  #take(count: number): Buffer {
    const taken = this.#pending.subarray(0, count);
    this.#pending = this.#pending.subarray(count);
    return taken;
  }
}

function controlFrame(type: number, flags: number, payload: Buffer): Frame {
  switch (type) {
    case SYN_STREAM:
      return {
        kind: 'syn-stream',
        streamId: streamIdOf(payload),
        block: payload.subarray(10),
        isLast: (flags & FIN) !== 0,
      };
    case RST_STREAM:
      return { kind: 'rst-stream', streamId: streamIdOf(payload) };
    case PING:
      if (payload.length < 4) throw new SpdyError('ping is cut off');
      return { kind: 'ping', id: payload.readUInt32BE(0) };
    case GOAWAY:
      return { kind: 'goaway' };
    default:
      return { kind: 'other', type };
  }
}

function streamIdOf(payload: Buffer): number {
  if (payload.length < 4) throw new SpdyError('control frame is cut off');
  return payload.readUInt32BE(0) & 0x7fff_ffff;
}

function control(type: number, payload: Buffer): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt16BE(0x8000 | VERSION, 0);
  header.writeUInt16BE(type, 2);
  header.writeUIntBE(payload.length, 5, 3);
  return Buffer.concat([header, payload]);
}

function uint32s(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length);
  for (const [index, value] of values.entries()) bytes.writeUInt32BE(value, 4 * index);
  return bytes;
}

export function synReplyFrame(streamId: number, block: Buffer): Buffer {
  return control(SYN_REPLY, Buffer.concat([uint32s(streamId), block]));
}

export const REFUSED_STREAM = 3;
export const CANCEL = 5;

/** @param status  such as REFUSED_STREAM */
export function rstStreamFrame(streamId: number, status: number): Buffer {
  return control(RST_STREAM, uint32s(streamId, status));
}

export function pingFrame(id: number): Buffer {
  return control(PING, uint32s(id));
}

/** Says that no stream after `lastStreamId` was looked at, because the peer broke the protocol. */
export function goAwayFrame(lastStreamId: number): Buffer {
  return control(GOAWAY, uint32s(lastStreamId, 1));
}

/** `bytes` must be shorter than 16 MiB. */
export function dataFrame(streamId: number, bytes: Uint8Array, isLast: boolean): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32BE(streamId, 0);
  header.writeUInt8(isLast ? FIN : 0, 4);
  header.writeUIntBE(bytes.length, 5, 3);
  return Buffer.concat([header, bytes]);
}
