import type { Socket } from 'node:net';

/** What a protocol does with its connection. Calls never overlap, and nothing comes after `onClose`. */
export interface ConnectionHandler {
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

const DISCARD: ConnectionHandler = { onData() {}, onEnd() {}, onDrain() {}, onClose() {} };

/**
 * A TCP or TLS connection as plain callbacks. The handler can be replaced at any moment, which is how a connection moves
 * from detection to its protocol and from HTTP/1.1 to a tunnel without touching the socket's listeners.
 */
export class Connection {
  readonly socket: Socket;
  counter: ByteCounter;
  handler: ConnectionHandler = DISCARD;
  isClosed = false;
  /** The peer has finished sending. */
  isReadEnded = false;
  #isPaused = true;
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

  /** Nothing has ended it yet, as far as is known. */
  get isUsable(): boolean {
    return !this.isClosed && !this.isReadEnded && !this.socket.destroyed && !this.socket.writableEnded;
  }

  /** Why the connection failed, if it did. */
  get error(): Error | undefined {
    return this.#error;
  }

  /** @returns false when the socket is full: wait for `onDrain` */
  write(bytes: Buffer | string): boolean {
    if (this.isClosed || this.socket.writableEnded || this.socket.destroyed) return true;
    this.counter.writeBytes += bytes.length;
    return typeof bytes === 'string' ? this.socket.write(bytes, 'latin1') : this.socket.write(bytes);
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
    if (!this.isClosed && !this.socket.writableEnded) this.socket.end();
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
