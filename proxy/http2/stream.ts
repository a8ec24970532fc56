import { ErrorCode } from './errors.ts';
import type { Field } from '../http/field.ts';
import { HeldBytes } from '../transport/buffers.ts';
import type { Session } from './session.ts';

/** Why a stream ended before its time. */
export type StreamFailure = {
  readonly code: number; // of the RST_STREAM or GOAWAY, or INTERNAL_ERROR for a lost connection
  readonly message: string;
  /** The peer has certainly not looked at the request (refused, or above the last stream of its GOAWAY). */
  readonly isUnprocessed: boolean;
};

/** What a stream tells its owner. Nothing comes after `onReset`. */
export interface StreamHandler {
  /**
   * A head, interim head or trailers.
   * @param fields  in latin1
   */
  onFields(fields: readonly Field[], isEnd: boolean): void;
  /** @returns false when the peer should wait until `Stream.resume` */
  onData(bytes: Buffer, isEnd: boolean): boolean;
  /** There is room again after `Stream.sendData` returned false. */
  onDrain(): void;
  onReset(failure: StreamFailure): void;
  /** Everything that came in one read has been told. */
  onBatchEnd(): void;
}

/** One stream of a session, from its side that is open here: windows, and what waits for them. */
export class Stream {
  readonly id: number;
  readonly handler: StreamHandler;
  sendWindow: number;
  receiveWindow: number;
  isRemoteDone = false;
  isLocalDone = false;
  readonly #session: Session;
  #waiting: HeldBytes[] | undefined; // as much as the source sends after it was told to stop
  #heldBytes = 0; // in #waiting, as the session knows
  #isEndWaiting = false;
  #trailersWaiting: string | undefined;
  #isStalled = false; // the source was told to stop
  #owed = 0; // received and not credited
  #isPaused = false;
  #isUnwanted = false; // what still comes of the peer

  constructor(session: Session, id: number, handler: StreamHandler, sendWindow: number, receiveWindow: number) {
    this.#session = session;
    this.id = id;
    this.handler = handler;
    this.sendWindow = sendWindow;
    this.receiveWindow = receiveWindow;
  }

  get isClosed(): boolean {
    return this.isLocalDone && this.isRemoteDone;
  }

  get hasWaiting(): boolean {
    return this.#waiting !== undefined || this.#isEndWaiting;
  }

  /** @returns false when the source should wait for `onDrain` */
  sendData(bytes: Buffer | undefined, isEnd: boolean, trailers?: string): boolean {
    if (this.isLocalDone || this.#isEndWaiting) return true;
    const session = this.#session;
    const last = trailers === '' ? undefined : trailers;
    let rest = bytes !== undefined && bytes.length > 0 ? bytes : undefined;
    let hasSentEnd = false;
    if (rest !== undefined && this.#waiting === undefined) {
      // What comes in spite of congestion waits behind the rest, without another copy.
      const room = session.isFull ? 0 : Math.max(0, Math.min(this.sendWindow, session.sendWindow));
      const taken = Math.min(room, rest.length);
      const isAll = taken === rest.length;
      hasSentEnd = isAll && isEnd && last === undefined;
      if (taken > 0) this.#write(rest, taken, hasSentEnd);
      rest = isAll ? undefined : rest.subarray(taken);
    }
    if (rest === undefined && this.#waiting === undefined) {
      // Nearly always.
      this.#isStalled = false;
      if (isEnd) this.#end(last, hasSentEnd);
      return !session.isCongested;
    }
    if (rest !== undefined) (this.#waiting ??= []).push(new HeldBytes(rest));
    if (isEnd) {
      this.#isEndWaiting = true;
      this.#trailersWaiting = last;
    }
    this.pump();
    this.#isStalled = this.hasWaiting;
    if (this.#account()) {
      const message = 'more waits for a peer that does not read than may';
      this.reset(ErrorCode.ENHANCE_YOUR_CALM);
      this.handler.onReset({ code: ErrorCode.ENHANCE_YOUR_CALM, message, isUnprocessed: false });
      return true;
    }
    return !this.#isStalled && !session.isCongested;
  }

  /** Sends what the windows allow. */
  pump(): void {
    const waiting = this.#waiting ?? NOTHING_WAITS;
    let hasSentEnd = false;
    for (let first = waiting[0]; first !== undefined; first = waiting[0]) {
      const room = this.#room;
      if (room <= 0) {
        this.#session.block(this);
        return;
      }
      const { bytes } = first;
      const taken = Math.min(room, bytes.length);
      const isLast = taken === bytes.length;
      if (isLast) waiting.shift();
      else first.bytes = bytes.subarray(taken);
      hasSentEnd = waiting.length === 0 && this.#isEndWaiting && this.#trailersWaiting === undefined;
      this.#write(bytes, taken, hasSentEnd);
      if (isLast) first.release();
    }
    this.#waiting = undefined;
    if (this.#isEndWaiting) this.#end(this.#trailersWaiting, hasSentEnd);
  }

  /** Bytes that the peer, and the connection, take now. */
  get #room(): number {
    const session = this.#session;
    return session.isCongested ? 0 : Math.min(this.sendWindow, session.sendWindow);
  }

  #write(bytes: Buffer, length: number, isEnd: boolean): void {
    this.sendWindow -= length;
    this.#session.sendWindow -= length;
    this.#session.writeData(this.id, bytes, 0, length, isEnd);
  }

  /** Everything has been written. @param hasSentEnd  the end with it */
  #end(trailers: string | undefined, hasSentEnd: boolean): void {
    if (trailers !== undefined) this.#session.writeTrailers(this.id, trailers);
    else if (!hasSentEnd) this.#session.writeData(this.id, NO_BYTES, 0, 0, true);
    this.#finish();
  }

  /** @returns whether too much waits */
  #account(): boolean {
    let bytes = 0;
    if (this.#waiting !== undefined) for (const held of this.#waiting) bytes += held.bytes.length;
    const more = bytes - this.#heldBytes;
    this.#heldBytes = bytes;
    return more !== 0 && this.#session.hold(more);
  }

  /** After `pump`: the source may go on. */
  unstall(): void {
    this.#account();
    if (this.hasWaiting || (!this.#isStalled && !this.#session.wasCongested)) return;
    this.#isStalled = false;
    if (!this.isLocalDone) this.handler.onDrain();
  }

  #finish(): void {
    this.#isEndWaiting = false;
    this.isLocalDone = true;
    if (this.isRemoteDone) this.#session.forget(this);
    else if (this.#isUnwanted) this.reset(ErrorCode.NO_ERROR);
  }

  /** Ends the stream when the rest of what was given to `sendData` has left; what still comes until then is taken in and dropped. */
  endWhenSent(): void {
    if (!this.hasWaiting) {
      this.reset(ErrorCode.NO_ERROR);
      return;
    }
    this.#isUnwanted = true;
    this.resume();
  }

  /** The head has been sent with END_STREAM. */
  endLocal(): void {
    this.#finish();
  }

  /** @param bytes  of a DATA frame with its padding */
  received(bytes: number, hasRoom: boolean): void {
    this.#owed += bytes;
    if (!hasRoom) this.#isPaused = true;
    if (!this.#isPaused) this.#credit();
  }

  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#credit();
  }

  /** Nothing more is sent. */
  drop(): void {
    for (const held of this.#waiting ?? NOTHING_WAITS) held.release();
    this.#waiting = undefined;
    this.#isEndWaiting = false;
    this.#account();
  }

  /** Ends the stream both ways. */
  reset(code: number = ErrorCode.CANCEL): void {
    this.drop();
    const wasOpen = !this.isClosed;
    const isHeard = !this.isRemoteDone;
    this.isLocalDone = true;
    this.isRemoteDone = true;
    if (wasOpen) this.#session.resetStream(this, code, isHeard);
  }

  #credit(): void {
    if (this.isRemoteDone || this.#owed < this.#session.creditBytesMin) return;
    this.#session.creditStream(this, this.#owed);
    this.#owed = 0;
  }
}

const NO_BYTES = Buffer.alloc(0);
const NOTHING_WAITS: HeldBytes[] = [];
