import { once } from 'node:events';
import { Duplex } from 'node:stream';
import { drained } from '../drained.ts';
import type { Frame } from './frames.ts';
import * as frames from './frames.ts';
import { HeaderBlockReader, HeaderBlockWriter, SpdyError } from './header-block.ts';

const STREAMS_MAX = 512; // two for each forwarded connection
const STREAM_BYTES_MAX = 256 * 1024; // received but not read yet, per stream; then the whole connection waits
const HEARTBEAT_MS = 15_000;
const PIECE_BYTES_MAX = 64 * 1024; // of one data frame sent

type Done = (error?: Error | null) => void;

/** Calls back when `sending` is over. */
async function settle(sending: Promise<void>, done: Done): Promise<void> {
  const failure = await sending.then(
    () => null,
    (error: unknown) => (error instanceof Error ? error : new Error(String(error))),
  );
  done(failure);
}

/** One stream of a connection: `end` sends FIN, `destroy` resets it. */
export class SpdyStream extends Duplex {
  readonly id: number;
  /** By name in lower case. */
  readonly headers: ReadonlyMap<string, string>;
  readonly #send: (frame: Buffer) => Promise<void>;
  #isReset = false;

  constructor(id: number, headers: ReadonlyMap<string, string>, send: (frame: Buffer) => Promise<void>) {
    super({ allowHalfOpen: true, readableHighWaterMark: STREAM_BYTES_MAX });
    this.id = id;
    this.headers = headers;
    this.#send = send;
    this.on('error', () => undefined); // whoever pipes the stream hears of it; alone it must not end the process
  }

  override _read(): void {
    this.emit('wanted');
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: Done): void {
    void settle(this.#sendPieces(chunk), done);
  }

  override _final(done: Done): void {
    void settle(this.#send(frames.dataFrame(this.id, Buffer.alloc(0), true)), done);
  }

  override _destroy(error: Error | null, done: Done): void {
    this.emit('wanted');
    const isOver = this.#isReset || (this.writableFinished && this.readableEnded);
    if (!isOver) void settle(this.#send(frames.rstStreamFrame(this.id, frames.CANCEL)), () => undefined);
    done(error);
  }

  /** The peer does not want the stream any more: nothing is said about it either. */
  reset(): void {
    this.#isReset = true;
    this.destroy();
  }

  /** Takes bytes from the peer. @returns when there is room for more */
  async receive(bytes: Buffer, isLast: boolean): Promise<void> {
    if (this.destroyed || this.readableEnded) return;
    const hasRoom = bytes.length === 0 || this.push(bytes);
    if (isLast) this.push(null);
    else if (!hasRoom) await once(this, 'wanted');
  }

  async #sendPieces(chunk: Buffer): Promise<void> {
    for (let at = 0; at < chunk.length; at += PIECE_BYTES_MAX) {
      await this.#send(frames.dataFrame(this.id, chunk.subarray(at, at + PIECE_BYTES_MAX), false));
    }
  }
}

/**
 * The server's end of a SPDY/3.1 connection over any byte stream. Flow control windows are not used, as in the peer
 * (moby/spdystream): a slow reader makes the transport wait.
 */
export class SpdyConnection {
  readonly #transport: Duplex;
  readonly #onStream: (stream: SpdyStream) => void;
  readonly #streams = new Map<number, SpdyStream>();
  readonly #headersIn = new HeaderBlockReader();
  readonly #headersOut = new HeaderBlockWriter();
  #lastStreamId = 0;
  #drained: Promise<void> | undefined; // shared by all streams that wait for the transport

  /** @param onStream  called for each stream the client opens, after it was accepted */
  constructor(transport: Duplex, onStream: (stream: SpdyStream) => void) {
    this.#transport = transport;
    this.#onStream = onStream;
    transport.on('error', () => undefined); // the end of `serve` says so
    transport.once('close', () => this.#resetAll());
  }

  /** Serves until the client ends the connection or breaks it. Never rejects. */
  async serve(): Promise<void> {
    const parser = new frames.FrameParser();
    // A ping to a client that is gone makes the transport fail, also while nothing is read from it.
    const heartbeat = setInterval(() => void settle(this.#send(frames.pingFrame(2)), () => undefined), HEARTBEAT_MS);
    heartbeat.unref();
    try {
      for await (const chunk of this.#transport.iterator({ destroyOnReturn: false })) {
        for (const frame of parser.push(chunk as Buffer)) await this.#take(frame);
      }
    } catch (error) {
      if (error instanceof SpdyError) await this.#send(frames.goAwayFrame(this.#lastStreamId)).catch(() => undefined);
    } finally {
      clearInterval(heartbeat);
      this.#resetAll();
      this.#transport.end();
    }
  }

  /** Also frees the loop in `serve` when it waits for a stream to be read. */
  #resetAll(): void {
    for (const stream of this.#streams.values()) stream.reset();
  }

  async #take(frame: Frame): Promise<void> {
    switch (frame.kind) {
      case 'data':
        await this.#streams.get(frame.streamId)?.receive(frame.bytes, frame.isLast);
        return;
      case 'syn-stream':
        await this.#open(frame.streamId, frame.block, frame.isLast);
        return;
      case 'rst-stream':
        this.#streams.get(frame.streamId)?.reset();
        return;
      case 'ping':
        if (frame.id % 2 === 1) await this.#send(frames.pingFrame(frame.id)); // even ids answer ours
        return;
      case 'goaway':
      case 'other':
    }
  }

  async #open(id: number, block: Buffer, isLast: boolean): Promise<void> {
    const headers = this.#headersIn.read(block); // first, to keep the compression in step
    if (id % 2 === 0 || id <= this.#lastStreamId) throw new SpdyError(`stream id ${id} after ${this.#lastStreamId}`);
    this.#lastStreamId = id;
    if (this.#streams.size >= STREAMS_MAX) {
      await this.#send(frames.rstStreamFrame(id, frames.REFUSED_STREAM));
      return;
    }
    const stream = new SpdyStream(id, headers, (frame) => this.#send(frame));
    this.#streams.set(id, stream);
    stream.once('close', () => this.#streams.delete(id));
    await this.#send(frames.synReplyFrame(id, this.#headersOut.write(new Map())));
    this.#onStream(stream);
    if (isLast) await stream.receive(Buffer.alloc(0), true);
  }

  async #send(frame: Buffer): Promise<void> {
    const transport = this.#transport;
    if (transport.destroyed || !transport.writable) throw new Error('the connection is closed');
    if (transport.write(frame)) return;
    this.#drained ??= drained(transport).finally(() => (this.#drained = undefined));
    await this.#drained;
  }
}
