import type { Socket } from 'node:net';
import { giveSlab, readIntoBuffer, SLAB_BYTES, takeSlab } from './buffers.ts';

/** What a protocol does with its connection. Calls never overlap, and nothing comes after `onClose`. */
export interface ConnectionHandler {
  /** @param bytes  valid until this returns: what is needed later must be copied */
  onData(bytes: Buffer): void;
  /** The peer has finished sending; this side may still send. */
  onEnd(): void;
  /** What `write` refused to take at once has left. */
  onDrain(): void;
  /** @param error  why, absent after an orderly close */
  onClose(error: Error | undefined): void;
}

/** Bytes of both directions, counted where the metrics read them. */
export type ByteCounter = { readBytes: number; writeBytes: number };

/** Up to here a head and the body that follows it leave as one string: one write, one TLS record. */
const JOIN_BYTES_MAX = 2048;
/** Up to here the kernel is offered a string without a copy on the way. */
const STRING_BYTES_MAX = 16 * 1024;

const DISCARD: ConnectionHandler = { onData() {}, onEnd() {}, onDrain() {}, onClose() {} };

/**
 * A TCP or TLS connection as plain callbacks. The handler can be replaced at any moment, which is how a connection moves
 * from detection to its protocol and from HTTP/1.1 to a tunnel without touching the socket's listeners.
 */
export class Connection {
  /** Called after each read, for tests: overwrites what nobody may look at any more. */
  static afterRead: (bytes: Buffer) => void = () => {};
  readonly socket: Socket;
  counter: ByteCounter;
  handler: ConnectionHandler = DISCARD;
  isClosed = false;
  /** The peer has finished sending. */
  isReadEnded = false;
  #isPaused = true;
  #slab: Buffer | undefined; // of `writeSoon`
  #slabLength = 0;
  readonly #isEncrypted: boolean;
  readonly #underneath: Socket;
  #error: Error | undefined;
  readonly #onData: (bytes: Buffer) => void;
  readonly #onEnd: () => void;
  readonly #onDrain: () => void;
  readonly #onError: (error: Error) => void;
  readonly #onClose: () => void;

  /**
   * Takes the socket over, paused: call `start`.
   *
   * @param underneath  the TCP socket under a TLS socket
   */
  constructor(socket: Socket, counter: ByteCounter = { readBytes: 0, writeBytes: 0 }, underneath: Socket = socket) {
    this.socket = socket;
    this.counter = counter;
    this.#underneath = underneath;
    this.#isEncrypted = underneath !== socket;
    this.#onData = (bytes) => {
      this.counter.readBytes += bytes.length;
      this.handler.onData(bytes);
    };
    this.#onEnd = () => {
      this.isReadEnded = true;
      this.handler.onEnd();
    };
    this.#onDrain = () => this.handler.onDrain();
    this.#onError = (error) => {
      this.#error ??= error;
    };
    this.#onClose = () => {
      if (this.isClosed) return;
      this.isClosed = true;
      const { handler } = this;
      this.handler = DISCARD;
      handler.onClose(this.#error);
    };
    socket.pause();
    socket.on('data', this.#onData);
    socket.on('end', this.#onEnd);
    socket.on('drain', this.#onDrain);
    socket.on('error', this.#onError);
    socket.on('close', this.#onClose);
    if (socket.destroyed) process.nextTick(this.#onClose);
  }

  /** Counts from now on, and what was counted so far, where it belongs: known only after detection. */
  attribute(counter: ByteCounter): void {
    counter.readBytes += this.counter.readBytes;
    counter.writeBytes += this.counter.writeBytes;
    this.counter = counter;
  }

  start(handler: ConnectionHandler): void {
    this.handler = handler;
    this.resume();
  }

  /** From now on reads are cheap. For protocols that keep the connection: it cannot be released any more. */
  readFast(): void {
    if (this.isClosed) return;
    readIntoBuffer(this.socket, (bytes) => {
      // What TLS has decrypted at once comes at once, also after a pause; what came before it must be read first.
      if (this.#isPaused || this.socket.readableLength > 0) {
        this.socket.push(Buffer.from(bytes));
        return !this.#isPaused;
      }
      this.#onData(bytes);
      Connection.afterRead(bytes);
      return !this.#isPaused;
    });
  }

  /** Nothing has ended it yet, as far as is known. */
  get isUsable(): boolean {
    return !this.isClosed && !this.isReadEnded && !this.socket.destroyed && !this.socket.writableEnded;
  }

  /** The socket is full: `onDrain` will be called. */
  get needsDrain(): boolean {
    return this.socket.writableNeedDrain;
  }

  /** Why the connection failed, if it did. */
  get error(): Error | undefined {
    return this.#error;
  }

  /**
   * The bytes are not needed any more when this returns.
   *
   * @param bytes  text is latin1
   * @returns false when the socket is full: wait for `onDrain`
   */
  write(bytes: Buffer | string): boolean {
    const { socket } = this;
    if (this.isClosed || socket.writableEnded || socket.destroyed) return true;
    if (this.#slabLength > 0) this.#writeSlab();
    this.counter.writeBytes += bytes.length;
    if (typeof bytes === 'string') return socket.write(bytes, 'latin1');
    // TLS encrypts before it returns, unless it is busy with what came before.
    if (this.#isEncrypted && socket.writableLength === 0) return socket.write(bytes);
    if (bytes.length <= STRING_BYTES_MAX) return socket.write(bytes.toString('latin1'), 'latin1');
    return socket.write(Buffer.from(bytes));
  }

  /** As `write`, for a part of a long body or tunnel: what comes in one turn leaves together. */
  writeSoon(bytes: Buffer): boolean {
    const { length } = bytes;
    // TLS has its own batches.
    if (this.#isEncrypted || length > SLAB_BYTES) return this.write(bytes);
    const { socket } = this;
    if (this.isClosed || socket.writableEnded || socket.destroyed) return true;
    if (this.#slabLength + length > SLAB_BYTES) this.#writeSlab();
    if (this.#slab === undefined) {
      this.#slab = takeSlab();
      setImmediate(() => this.#writeSlab());
    }
    bytes.copy(this.#slab, this.#slabLength);
    this.#slabLength += length;
    this.counter.writeBytes += length;
    return !socket.writableNeedDrain;
  }

  #writeSlab(): void {
    const slab = this.#slab;
    const length = this.#slabLength;
    this.#slab = undefined;
    this.#slabLength = 0;
    if (slab === undefined) return;
    const { socket } = this;
    if (length === 0 || this.isClosed || socket.writableEnded || socket.destroyed) giveSlab(slab);
    else socket.write(slab.subarray(0, length), () => giveSlab(slab));
  }

  /**
   * Writes without a copy from memory of the caller's, who must not change it as long as it is needed.
   *
   * @param onWritten  called when all has left; not when the connection ends before that
   * @returns whether the memory can be used again at once
   */
  writeOwn(bytes: Buffer, onWritten: () => void): boolean {
    const { socket } = this;
    if (this.isClosed || socket.writableEnded || socket.destroyed) return true;
    if (this.#slabLength > 0) this.#writeSlab();
    this.counter.writeBytes += bytes.length;
    // TLS encrypts before it returns, unless it is busy with what came before. The kernel may take a part only.
    const isIdle = socket.writableLength === 0;
    socket.write(bytes, onWritten);
    return this.#isEncrypted ? isIdle : socket.writableLength === 0;
  }

  /** Writes a message head (latin1) and the first bytes of its body as one segment. */
  writeHead(head: string, body: Buffer | undefined): boolean {
    if (body === undefined || body.length === 0) return this.write(head);
    if (body.length <= JOIN_BYTES_MAX) return this.write(head + body.toString('latin1'));
    this.socket.cork();
    this.write(head);
    const hasRoom = this.write(body);
    this.socket.uncork();
    return hasRoom;
  }

  pause(): void {
    if (this.#isPaused || this.isClosed) return;
    this.#isPaused = true;
    this.socket.pause();
  }

  resume(): void {
    if (!this.#isPaused || this.isClosed) return;
    this.#isPaused = false;
    this.socket.resume();
  }

  /** Finishes sending; the connection closes when the peer has finished as well. */
  end(): void {
    if (this.isClosed || this.socket.writableEnded) return;
    if (this.#slabLength > 0) this.#writeSlab();
    this.socket.end();
  }

  /** Sends what is queued, then closes whatever the peer still sends. */
  endAndClose(): void {
    if (this.isClosed) return;
    this.end();
    this.socket.destroySoon();
  }

  destroy(error?: Error): void {
    if (error !== undefined) this.#error ??= error;
    this.socket.destroy();
  }

  /** Closes with a TCP reset, so that the peer sees an abort and not an orderly end. */
  reset(): void {
    if (this.isClosed) return;
    try {
      this.#underneath.resetAndDestroy();
    } catch {
      // The handle is gone already: nothing is left to reset.
    }
    this.socket.destroy();
  }

  /**
   * Gives the socket away, paused, with these bytes put back in front of what is still to be read.
   * This object is dead afterwards and its handler hears nothing more.
   */
  release(unread: Buffer | undefined): Socket {
    const { socket } = this;
    this.handler = DISCARD;
    this.isClosed = true;
    socket.pause();
    socket.off('data', this.#onData);
    socket.off('end', this.#onEnd);
    socket.off('drain', this.#onDrain);
    socket.off('error', this.#onError);
    socket.off('close', this.#onClose);
    if (unread !== undefined && unread.length > 0) {
      this.counter.readBytes -= unread.length;
      socket.unshift(unread);
    }
    return socket;
  }
}
