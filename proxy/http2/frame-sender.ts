import type { Connection } from '../transport/connection.ts';
import { Flag, Frame, FRAME_BYTES_MAX, FrameWriter } from './frames.ts';
import { HpackEncoder } from './hpack-encoder.ts';

/** Frames that wait for a peer who does not read. */
const UNSENT_BYTES_MAX = 16 * 1024 * 1024;
/** So much is sent without waiting for the end of the turn. */
const BATCH_BYTES_MAX = 256 * 1024;
/** When so much waits for the connection, sources are told to stop. */
const CONGESTED_BYTES = 512 * 1024;
/** What sources bring nevertheless, because they had read it already, is taken in until so much waits. */
const FULL_BYTES = 2 * CONGESTED_BYTES;
const NO_BYTES = Buffer.alloc(0);

/**
 * Puts frames together and sends those of one turn at once. One write is under way at a time: TLS takes one without a copy, and what
 * comes meanwhile is the next.
 */
export class FrameSender {
  readonly encoder = new HpackEncoder();
  readonly #connection: Connection;
  readonly #writer = new FrameWriter();
  readonly #owner: SenderOwner;
  #isScheduled = false;
  #isWriting = false;
  #isCongested = false;
  readonly #flushSoon = (): void => {
    this.#isScheduled = false;
    if (!this.#isWriting) this.flush();
  };
  readonly #onWritten = (): void => {
    this.#isWriting = false;
    this.flush();
    if (!this.#isCongested || this.#writer.length > 0) return;
    this.#isCongested = false;
    this.#owner.onRelieved();
  };

  constructor(connection: Connection, owner: SenderOwner) {
    this.#connection = connection;
    this.#owner = owner;
  }

  /** Nothing more can be taken in but what must be. */
  get isFull(): boolean {
    return this.#writer.length > FULL_BYTES;
  }

  /** After a while without much to send: gives back the memory of large batches. */
  rest(): void {
    if (!this.#isWriting) this.#writer.shrink();
  }

  /** What is not a frame, before the first one. */
  raw(bytes: Buffer): void {
    this.#writer.raw(bytes);
  }

  send(type: number, flags: number, id: number, payload: Buffer, start = 0, end = payload.length): void {
    const writer = this.#writer;
    writer.frame(type, flags, id, payload, start, end);
    if (this.#isWriting) {
      if (writer.length > CONGESTED_BYTES) this.#congested();
      return;
    }
    if (writer.length >= BATCH_BYTES_MAX) this.flush();
    else if (!this.#isScheduled) {
      this.#isScheduled = true;
      if (this.#owner.isQuiet()) process.nextTick(this.#flushSoon);
      else setImmediate(this.#flushSoon);
    }
  }

  #congested(): void {
    const { length } = this.#writer;
    if (length > UNSENT_BYTES_MAX)
      this.#connection.destroy(new Error(`${length} bytes wait for a peer that does not read`));
    if (this.#isCongested) return;
    this.#isCongested = true;
    this.#owner.onCongested();
  }

  /** Where the fields of a header block go, before `sendBlock`. */
  beginBlock(): HpackEncoder {
    this.encoder.begin();
    return this.encoder;
  }

  sendBlock(id: number, isEnd: boolean): void {
    const { block, length } = this.encoder;
    const first = Math.min(length, FRAME_BYTES_MAX);
    const endStream = isEnd ? Flag.END_STREAM : 0;
    this.send(Frame.HEADERS, endStream | (first === length ? Flag.END_HEADERS : 0), id, block, 0, first);
    for (let at = first; at < length;) {
      const next = Math.min(length, at + FRAME_BYTES_MAX);
      this.send(Frame.CONTINUATION, next === length ? Flag.END_HEADERS : 0, id, block, at, next);
      at = next;
    }
  }

  sendData(id: number, bytes: Buffer, start: number, end: number, isEnd: boolean): void {
    let at = start;
    do {
      const next = Math.min(end, at + FRAME_BYTES_MAX);
      this.send(Frame.DATA, isEnd && next === end ? Flag.END_STREAM : 0, id, bytes, at, next);
      at = next;
    } while (at < end);
  }

  sendSettings(settings: readonly (readonly [number, number])[]): void {
    const payload = Buffer.alloc(6 * settings.length);
    for (const [at, [key, value]] of settings.entries()) {
      payload.writeUInt16BE(key, 6 * at);
      payload.writeUInt32BE(value, 6 * at + 2);
    }
    this.send(Frame.SETTINGS, 0, 0, payload);
  }

  acknowledgeSettings(): void {
    this.send(Frame.SETTINGS, Flag.ACK, 0, NO_BYTES);
  }

  /** For frames whose payload is one number. */
  sendNumber(type: number, id: number, value: number): void {
    const payload = Buffer.allocUnsafe(4);
    payload.writeUInt32BE(value);
    this.send(type, 0, id, payload);
  }

  ping(): void {
    this.send(Frame.PING, 0, 0, Buffer.alloc(8));
  }

  goAway(last: number, code: number): void {
    const payload = Buffer.alloc(8);
    payload.writeUInt32BE(last, 0);
    payload.writeUInt32BE(code, 4);
    this.send(Frame.GOAWAY, 0, 0, payload);
  }

  /** Sends what there is, also behind a write that is under way. */
  flush(): void {
    const { length } = this.#writer;
    if (length === 0) return;
    this.#isWriting = true;
    const isFree = this.#connection.writeOwn(this.#writer.take(), this.#onWritten);
    this.#writer.taken(length, isFree);
  }
}

/** What a sender asks and tells. */
export interface SenderOwner {
  /** So little is going on that waiting for more frames costs more than it saves. */
  isQuiet(): boolean;
  /** Frames of streams shall wait until `onRelieved`. */
  onCongested(): void;
  onRelieved(): void;
}
