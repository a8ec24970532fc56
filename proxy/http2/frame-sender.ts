import type { Connection } from '../transport/connection.ts';
import { Flag, Frame, FRAME_BYTES_MAX, FrameWriter } from './frames.ts';
import { HpackEncoder } from './hpack-encoder.ts';

/** Frames that wait for a peer who does not read. */
const UNSENT_BYTES_MAX = 16 * 1024 * 1024;
const NO_BYTES = Buffer.alloc(0);

/** Puts frames together and sends those of one turn at once. */
export class FrameSender {
  readonly encoder = new HpackEncoder();
  readonly #writer: FrameWriter;
  readonly #isQuiet: () => boolean;
  #isScheduled = false;
  readonly #flush = (): void => {
    this.#isScheduled = false;
    this.#writer.flush();
  };

  /**
   * @param onCongested  the connection wants to be left alone until it has drained
   * @param isQuiet      so little is going on that waiting for more frames costs more than it saves
   */
  constructor(connection: Connection, onCongested: () => void, isQuiet: () => boolean) {
    this.#isQuiet = isQuiet;
    this.#writer = new FrameWriter((bytes) => {
      if (!connection.write(bytes)) onCongested();
      if (connection.socket.writableLength > UNSENT_BYTES_MAX) {
        connection.destroy(new Error(`${UNSENT_BYTES_MAX} bytes wait for a peer that does not read`));
      }
    });
  }

  /** What is not a frame, before the first one. */
  raw(bytes: Buffer): void {
    this.#writer.raw(bytes);
  }

  send(type: number, flags: number, id: number, payload: Buffer, start = 0, end = payload.length): void {
    this.#writer.frame(type, flags, id, payload, start, end);
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    if (this.#isQuiet()) process.nextTick(this.#flush);
    else setImmediate(this.#flush);
  }

  /** @param write  fills the header block */
  sendBlock(id: number, write: (encoder: HpackEncoder) => void, isEnd: boolean): void {
    const { encoder } = this;
    encoder.begin();
    write(encoder);
    const block = encoder.finish();
    const first = Math.min(block.length, FRAME_BYTES_MAX);
    const endStream = isEnd ? Flag.END_STREAM : 0;
    this.send(Frame.HEADERS, endStream | (first === block.length ? Flag.END_HEADERS : 0), id, block, 0, first);
    for (let at = first; at < block.length;) {
      const next = Math.min(block.length, at + FRAME_BYTES_MAX);
      this.send(Frame.CONTINUATION, next === block.length ? Flag.END_HEADERS : 0, id, block, at, next);
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

  flush(): void {
    this.#writer.flush();
  }
}
