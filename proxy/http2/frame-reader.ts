import { HEAD_BYTES_MAX } from '../http/limits.ts';
import { calm, ErrorCode, Http2Error, protocol } from './errors.ts';
import { Flag, Frame, FRAME_BYTES_MAX, FRAME_HEAD_BYTES, PREFACE, STREAM_ID_MAX, unpad } from './frames.ts';

/** What makes HEADERS more than a header block. */
const PLAIN_HEADERS = Flag.END_HEADERS | Flag.PADDED | Flag.PRIORITY;
/** Frames of one header block; each may hold 16 KiB. */
const CONTINUATIONS_MAX = 8;

/** Who is told what was read. What it throws ends the connection. */
export interface FrameSink {
  /** A DATA frame without padding begins. Its bytes follow in `onDataPart`, unless there are none. */
  onDataBegin(id: number, length: number, isEnd: boolean): void;
  /** @param isLast  of the frame */
  onDataPart(bytes: Buffer, isLast: boolean): void;
  /** A whole header block, in `bytes` from `start` to `end`. */
  onBlock(id: number, bytes: Buffer, start: number, end: number, isEnd: boolean): void;
  /** Any other frame; DATA with padding too. */
  onFrame(type: number, flags: number, id: number, payload: Buffer): void;
}

type Block = {
  readonly id: number;
  readonly isEnd: boolean;
  readonly parts: Buffer[];
  bytes: number;
  readonly sinceMs: number;
};

/** Takes the bytes of a peer apart: preface, frames, header blocks. DATA goes on as it comes, without waiting for its frame. */
export class FrameReader {
  readonly #sink: FrameSink;
  #unread: Buffer | undefined;
  #prefaceLeft: number;
  #hasSettings = false;
  #dataLeft = 0;
  #block: Block | undefined;

  constructor(sink: FrameSink, hasPreface: boolean) {
    this.#sink = sink;
    this.#prefaceLeft = hasPreface ? PREFACE.length : 0;
  }

  /** When the header block that is not complete yet began. */
  get blockSinceMs(): number | undefined {
    return this.#block?.sinceMs;
  }

  /** @throws Http2Error */
  read(bytes: Buffer, nowMs: number): void {
    const all = this.#unread === undefined ? bytes : Buffer.concat([this.#unread, bytes]);
    this.#unread = undefined;
    const end = this.#consume(all, nowMs);
    if (end < all.length) this.#unread = Buffer.from(all.subarray(end));
  }

  /** @returns index of the first byte that is not used yet */
  #consume(bytes: Buffer, nowMs: number): number {
    let at = this.#prefaceLeft > 0 ? this.#consumePreface(bytes) : 0;
    while (at < bytes.length) {
      if (this.#dataLeft > 0) {
        const end = Math.min(bytes.length, at + this.#dataLeft);
        this.#dataLeft -= end - at;
        this.#sink.onDataPart(bytes.subarray(at, end), this.#dataLeft === 0);
        at = end;
        continue;
      }
      if (bytes.length - at < FRAME_HEAD_BYTES) return at;
      const length = bytes.readUIntBE(at, 3);
      const type = bytes[at + 3] as number;
      const flags = bytes[at + 4] as number;
      const id = bytes.readUInt32BE(at + 5) & STREAM_ID_MAX;
      this.#check(type, flags, id, length);
      if (type === Frame.DATA && (flags & Flag.PADDED) === 0) {
        at += FRAME_HEAD_BYTES;
        this.#dataLeft = length;
        this.#sink.onDataBegin(id, length, (flags & Flag.END_STREAM) !== 0);
        continue;
      }
      const end = at + FRAME_HEAD_BYTES + length;
      if (bytes.length < end) return at;
      if (type === Frame.HEADERS && (flags & PLAIN_HEADERS) === Flag.END_HEADERS && id !== 0) {
        this.#sink.onBlock(id, bytes, at + FRAME_HEAD_BYTES, end, (flags & Flag.END_STREAM) !== 0);
        at = end;
        continue;
      }
      const payload = bytes.subarray(at + FRAME_HEAD_BYTES, end);
      if (type === Frame.HEADERS) this.#onHeaders(flags, id, payload, nowMs);
      else if (type === Frame.CONTINUATION) this.#onContinuation(flags, payload);
      else this.#sink.onFrame(type, flags, id, payload);
      this.#hasSettings = true;
      at = end;
    }
    return at;
  }

  #consumePreface(bytes: Buffer): number {
    const known = Math.min(bytes.length, this.#prefaceLeft);
    const from = PREFACE.length - this.#prefaceLeft;
    if (bytes.compare(PREFACE, from, from + known, 0, known) !== 0) throw protocol('no HTTP/2 preface');
    this.#prefaceLeft -= known;
    return known;
  }

  #check(type: number, flags: number, id: number, length: number): void {
    if (length > FRAME_BYTES_MAX) throw new Http2Error(ErrorCode.FRAME_SIZE_ERROR, `a frame of ${length} bytes`);
    if (this.#block !== undefined && (type !== Frame.CONTINUATION || id !== this.#block.id))
      throw protocol('a header block is interrupted');
    if (!this.#hasSettings && (type !== Frame.SETTINGS || (flags & Flag.ACK) !== 0))
      throw protocol('SETTINGS must come first');
  }

  #onHeaders(flags: number, id: number, payload: Buffer, nowMs: number): void {
    if (id === 0) throw protocol('HEADERS without a stream');
    const isEnd = (flags & Flag.END_STREAM) !== 0;
    let block = (flags & Flag.PADDED) === 0 ? payload : unpad(payload);
    if ((flags & Flag.PRIORITY) !== 0) {
      if (block.length < 5) throw new Http2Error(ErrorCode.FRAME_SIZE_ERROR, 'HEADERS too short for its priority');
      checkPriority(id, block);
      block = block.subarray(5);
    }
    if ((flags & Flag.END_HEADERS) !== 0) this.#sink.onBlock(id, block, 0, block.length, isEnd);
    else this.#block = { id, isEnd, parts: [Buffer.from(block)], bytes: block.length, sinceMs: nowMs };
  }

  #onContinuation(flags: number, payload: Buffer): void {
    const block = this.#block;
    if (block === undefined) throw protocol('CONTINUATION without HEADERS');
    block.parts.push(Buffer.from(payload));
    block.bytes += payload.length;
    if (block.parts.length > CONTINUATIONS_MAX || block.bytes > HEAD_BYTES_MAX) throw calm('CONTINUATION frames');
    if ((flags & Flag.END_HEADERS) === 0) return;
    this.#block = undefined;
    this.#sink.onBlock(block.id, Buffer.concat(block.parts), 0, block.bytes, block.isEnd);
  }
}

/**
 * Priorities are ignored, but not those that can be nobody's intention (RFC 7540 section 5.3.1).
 *
 * @param bytes  which begin with a priority
 * @throws Http2Error
 */
export function checkPriority(id: number, bytes: Buffer): void {
  if ((bytes.readUInt32BE(0) & STREAM_ID_MAX) === id) throw protocol(`stream ${id} depends on itself`);
}
