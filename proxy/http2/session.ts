import { HEAD_BYTES_MAX } from '../http/limits.ts';
import type { Connection, ConnectionHandler } from '../transport/connection.ts';
import { Budget } from './budget.ts';
import { DroppedStreams } from './dropped-streams.ts';
import { calm, ErrorCode, Http2Error, protocol } from './errors.ts';
import { checkPriority, FrameReader, type FrameSink } from './frame-reader.ts';
import { FrameSender } from './frame-sender.ts';
import {
  Flag,
  Frame,
  FRAME_BYTES_MAX,
  PREFACE,
  Setting,
  size,
  STREAM_ID_MAX,
  WINDOW_DEFAULT,
  unpad,
  WINDOW_MAX,
} from './frames.ts';
import { HpackDecoder } from './hpack-decoder.ts';
import type { LinkClass } from './link-class.ts';
import type { HpackEncoder } from './hpack-encoder.ts';
import { StreamTable } from './stream-table.ts';
import { Stream, type StreamFailure, type StreamHandler } from './stream.ts';

/** What one stream may send ahead of its reader, and all together. */
const STREAM_WINDOW = 512 * 1024;
const SESSION_WINDOW = 16 * 1024 * 1024;
/** Streams that the peer may have open. */
const STREAMS_MAX = 4096;
/** A connection that is silent for so long is asked for a sign of life, and given up so long after. */
const PING_AFTER_MS = 10_000;
const PING_TIMEOUT_MS = 10_000;
/** A connection that was silent for so long may be dead without anybody having noticed. */
const FRESH_MS = 1000;
/** With so few streams open, waiting for more frames to send at once costs more than it saves. */
const QUIET_STREAMS_MAX = 2;
/** DATA frames of so many bytes are a reason for WINDOW_UPDATE frames; a window of one byte is none. */
const CREDITED_BYTES_MIN = 128;
const CREDITS_DUE_MAX = 4096;
/** Handlers of one read that room is kept for. */
const BATCH_MAX = 1024;
/** From the first bytes of a header block to its end. */
const BLOCK_TIMEOUT_MS = 10_000;

/** What a peer may do only so often. */
type BudgetKind = 'reset' | 'ping' | 'settings' | 'empty' | 'other' | 'oversize';

/** Serves a stream that the peer has opened. */
export interface ServedHandler extends StreamHandler {
  /** Called first. */
  attach(stream: Stream): void;
}

export interface SessionOwner {
  /** Extended CONNECT is served (servers only). */
  readonly takesProtocols?: boolean;
  /** The peer opens a stream (servers only). @returns who serves it */
  onStream(): ServedHandler | undefined;
  /** A stream can be opened: the peer speaks HTTP/2, is alive, or one stream has ended (clients only). */
  onRoom(): void;
  /** No stream can be opened any more. Called once, before the streams fail. @param reason  absent: an orderly end */
  onGone(reason: string | undefined): void;
}

/** An HTTP/2 connection (RFC 9113), either side: frames, header blocks, windows, and limits on what a peer may cost. */
export class Session implements ConnectionHandler, FrameSink {
  readonly connection: Connection;
  readonly isClient: boolean;
  readonly streams = new StreamTable();
  readonly creditBytesMin = STREAM_WINDOW / 4;
  sendWindow = WINDOW_DEFAULT;
  isCongested = false;
  wasCongested = false;
  /** The peer's SETTINGS have arrived: it speaks HTTP/2. */
  isConfirmed = false;
  /** The peer serves extended CONNECT (RFC 8441). */
  takesProtocols = false;
  readonly #owner: SessionOwner;
  readonly #now: () => number;
  readonly #decoder = new HpackDecoder();
  readonly #sender: FrameSender;
  readonly #blocked = new Set<Stream>();
  /** Who is told at the end of a read, each once or more often, and how many. One array for all reads: a new one would grow with each. */
  readonly #batch: (StreamHandler | undefined)[] = [];
  #batchLength = 0;
  readonly #dropped = new DroppedStreams();
  readonly #budgets: Readonly<Record<BudgetKind, Budget>>;
  readonly #reader: FrameReader;
  #dataTarget: Stream | undefined; // of the DATA frame that is being read
  #isDataEnd = false;
  #heldBytes = 0;
  #hasAnswered = false; // since the last PING
  #creditsDue = 0; // WINDOW_UPDATE frames that the peer has a reason for
  #receiveWindow = SESSION_WINDOW;
  #streamSendWindow = WINDOW_DEFAULT;
  #streamsMax = 100; // until the peer says otherwise
  #nextId = 1;
  #lastPeerId = 0;
  #isGoingAway = false; // told the peer
  #isGone = false;
  #isClientLeaving = false; // it has said so (servers only)
  #heardMs: number;
  readonly #link: LinkClass;
  #pingMs = 0; // when an unanswered PING was sent
  #isProbed = false; // somebody waits for the answer

  constructor(connection: Connection, isClient: boolean, owner: SessionOwner, now: () => number, link: LinkClass) {
    this.connection = connection;
    this.isClient = isClient;
    this.#owner = owner;
    this.#now = now;
    this.#link = link;
    const nowMs = now();
    this.#heardMs = nowMs;
    this.#budgets = {
      reset: new Budget(link.resetsMax, link.resetsPerSecond, nowMs),
      ping: new Budget(100, 10, nowMs),
      settings: new Budget(50, 1, nowMs),
      empty: new Budget(100, 10, nowMs),
      other: new Budget(1000, 100, nowMs),
      oversize: new Budget(4, 1, nowMs),
    };
    this.#reader = new FrameReader(this, !isClient);
    this.#sender = new FrameSender(connection, {
      isQuiet: () => this.streams.size <= QUIET_STREAMS_MAX,
      onCongested: () => {
        this.isCongested = true;
      },
      onRelieved: () => this.#onRelieved(),
    });
    if (isClient) this.#sender.raw(PREFACE);
    this.#sender.sendSettings([
      [Setting.INITIAL_WINDOW_SIZE, STREAM_WINDOW],
      [Setting.MAX_HEADER_LIST_SIZE, HEAD_BYTES_MAX],
      isClient ? [Setting.ENABLE_PUSH, 0] : [Setting.MAX_CONCURRENT_STREAMS, STREAMS_MAX],
      ...(owner.takesProtocols === true ? [[Setting.ENABLE_CONNECT_PROTOCOL, 1] as const] : []),
    ]);
    this.#sender.sendNumber(Frame.WINDOW_UPDATE, 0, SESSION_WINDOW - WINDOW_DEFAULT);
  }

  /** Whether a stream can be opened now. */
  get isUsable(): boolean {
    return this.isConfirmed && !this.isGone && this.streams.size < this.#streamsMax;
  }

  /** Whether it turns out soon if this connection can be used. */
  get isPending(): boolean {
    return !this.isGone && (!this.isConfirmed || this.#isProbed);
  }

  /** No stream can be opened here, now or later. */
  get isGone(): boolean {
    return this.#isGone || !this.connection.isUsable;
  }

  get isClosed(): boolean {
    return this.connection.isClosed;
  }

  /** More than may wait for the connection does. */
  get isFull(): boolean {
    return this.#sender.isFull;
  }

  /** Streams opened so far. */
  get opened(): number {
    return (this.#nextId - 1) / 2;
  }

  /** Where the fields of a head go, before `open` or `sendHead`. */
  beginHead(): HpackEncoder {
    return this.#sender.beginBlock();
  }

  /** Opens a stream by the head that was begun. Only when `isUsable`. */
  open(handler: StreamHandler, isEnd: boolean): Stream {
    const stream = new Stream(this, this.#nextId, handler, this.#streamSendWindow, STREAM_WINDOW);
    this.#nextId += 2;
    this.streams.add(stream);
    this.sendHead(stream, isEnd);
    if (this.#nextId > STREAM_ID_MAX - 2) this.#gone();
    return stream;
  }

  /** The head that was begun. */
  sendHead(stream: Stream, isEnd: boolean): void {
    this.#hasAnswered = true;
    this.#sender.sendBlock(stream.id, isEnd);
    if (isEnd) stream.endLocal();
  }

  /** @param lines  fields, each with its CRLF */
  writeTrailers(id: number, lines: string): void {
    this.#sender.beginBlock().lines(lines);
    this.#sender.sendBlock(id, true);
  }

  writeData(id: number, bytes: Buffer, start: number, end: number, isEnd: boolean): void {
    this.#hasAnswered = true;
    // The peer gives back the room of a stream and of the connection; for less than this it need not.
    if (end - start >= CREDITED_BYTES_MIN) this.#creditsDue = Math.min(this.#creditsDue + 2, CREDITS_DUE_MAX);
    this.#sender.sendData(id, bytes, start, end, isEnd);
  }

  block(stream: Stream): void {
    this.#blocked.add(stream);
  }

  forget(stream: Stream): void {
    this.streams.delete(stream.id);
    if (this.#blocked.size > 0) this.#blocked.delete(stream);
    if (this.streams.size === 0 && this.#isGone) this.#endWhenIdle();
    else if (this.isClient && this.streams.size === this.#streamsMax - 1) this.#owner.onRoom();
  }

  /** @param isHeard  frames of the peer may be under way */
  resetStream(stream: Stream, code: number, isHeard: boolean): void {
    if (!this.isClosed) this.#sender.sendNumber(Frame.RST_STREAM, stream.id, code);
    if (isHeard) this.#dropped.add(stream.id);
    this.forget(stream);
  }

  creditStream(stream: Stream, bytes: number): void {
    stream.receiveWindow += bytes;
    this.#sender.sendNumber(Frame.WINDOW_UPDATE, stream.id, bytes);
  }

  /** Tells the peer to open no more streams; those that it has opened meanwhile are still served. */
  drain(): void {
    if (this.#isGoingAway || this.isClosed) return;
    this.#isGoingAway = true;
    this.#sender.goAway(STREAM_ID_MAX, ErrorCode.NO_ERROR);
  }

  /** Ends the connection if no stream is open. */
  closeIdle(): void {
    if (this.streams.size > 0 || this.isClosed) return;
    this.#sender.goAway(this.#lastPeerId, ErrorCode.NO_ERROR);
    this.#sender.flush();
    this.#gone();
    this.connection.endAndClose();
  }

  /** Opens no more streams and ends the connection after the last. */
  retire(): void {
    this.#gone();
    if (this.streams.size === 0) this.#endWhenIdle();
  }

  /** Whether the peer was heard just now, or a PING makes no sense with it. */
  isFresh(nowMs: number): boolean {
    return !this.#link.isPinging || nowMs - this.#heardMs < FRESH_MS;
  }

  /** Asks for a sign of life; `SessionOwner.onRoom` tells that it came. */
  probe(nowMs: number): void {
    this.#isProbed = true;
    if (this.#pingMs === 0) this.#ping(nowMs);
  }

  /** Called about once a second. */
  sweep(nowMs: number): void {
    if (this.isClosed) return;
    if (this.streams.size === 0) {
      if (this.#isClientLeaving) {
        this.closeIdle();
        return;
      }
      this.#sender.rest();
    }
    if (nowMs - (this.#reader.blockSinceMs ?? nowMs) > BLOCK_TIMEOUT_MS) {
      this.connection.destroy(new Error(`no complete header block within ${BLOCK_TIMEOUT_MS} ms`));
      return;
    }
    if (!this.#link.isPinging) return;
    if (this.#pingMs === 0) {
      if (nowMs - this.#heardMs >= PING_AFTER_MS) this.#ping(nowMs);
    } else if (nowMs - this.#pingMs > PING_TIMEOUT_MS) {
      this.connection.destroy(new Error(`no answer to a PING within ${PING_TIMEOUT_MS} ms`));
    }
  }

  onData(bytes: Buffer): void {
    this.#heardMs = this.#now();
    try {
      this.#reader.read(bytes, this.#heardMs);
    } catch (error) {
      if (!(error instanceof Http2Error)) throw error;
      this.#fail(error);
    }
    this.#endBatch();
    this.#pingMs = 0;
    if (!this.#isProbed || this.isGone) return;
    this.#isProbed = false;
    this.#owner.onRoom();
  }

  #endBatch(): void {
    const batch = this.#batch;
    const length = this.#batchLength;
    this.#batchLength = 0;
    for (let at = 0; at < length; at += 1) {
      const handler = batch[at];
      batch[at] = undefined;
      handler?.onBatchEnd();
    }
    if (batch.length > BATCH_MAX) batch.length = 0;
  }

  #tellAtEnd(handler: StreamHandler): void {
    this.#batch[this.#batchLength] = handler;
    this.#batchLength += 1;
  }

  onEnd(): void {
    this.#gone();
    this.connection.endAndClose();
  }

  onDrain(): void {}

  #onRelieved(): void {
    this.isCongested = false;
    this.wasCongested = true;
    this.#unblock();
    for (const stream of this.streams.values()) stream.unstall();
    this.wasCongested = false;
  }

  onClose(error: Error | undefined): void {
    this.#gone(error?.message);
    const message = error === undefined ? 'the connection was closed' : `the connection failed (${error.message})`;
    this.#failStreams(() => true, { code: ErrorCode.INTERNAL_ERROR, message, isUnprocessed: false });
  }

  onDataBegin(id: number, length: number, isEnd: boolean): void {
    const stream = this.#charge(id, length);
    if (length === 0) {
      if (!isEnd) this.#spend('empty', 'empty DATA frames');
      if (stream !== undefined) this.#deliver(stream, NO_BYTES, 0, isEnd);
      else if (isEnd) this.#dropped.end(id);
      return;
    }
    this.#dataTarget = stream;
    this.#isDataEnd = isEnd;
  }

  onDataPart(bytes: Buffer, isLast: boolean): void {
    if (this.#dataTarget !== undefined) this.#deliver(this.#dataTarget, bytes, bytes.length, this.#isDataEnd && isLast);
  }

  /** Checks and charges the windows. @returns undefined when the stream is closed already */
  #charge(id: number, length: number): Stream | undefined {
    const stream = this.streams.get(id);
    if (id === 0 || (stream === undefined && !this.#wasOpen(id)))
      throw protocol(`DATA on stream ${id}, which is not open`);
    this.#receiveWindow -= length;
    if (this.#receiveWindow < 0)
      throw new Http2Error(ErrorCode.FLOW_CONTROL_ERROR, 'more DATA than the window of the connection');
    if (this.#receiveWindow < SESSION_WINDOW / 2) {
      this.#sender.sendNumber(Frame.WINDOW_UPDATE, 0, SESSION_WINDOW - this.#receiveWindow);
      this.#receiveWindow = SESSION_WINDOW;
    }
    if (stream === undefined || stream.isRemoteDone) {
      this.#onLateData(id, length, stream);
      return undefined;
    }
    stream.receiveWindow -= length;
    if (stream.receiveWindow < 0)
      throw new Http2Error(ErrorCode.FLOW_CONTROL_ERROR, `more DATA than the window of stream ${id}`);
    return stream;
  }

  /** DATA on a stream that is closed, or that the peer has ended. */
  #onLateData(id: number, length: number, stream: Stream | undefined): void {
    if (this.isClient || this.#dropped.has(id)) {
      if (length === 0) this.#spend('empty', 'DATA frames on closed streams');
      return;
    }
    if (stream === undefined) {
      this.#spend('reset', 'DATA frames on closed streams');
      this.#dropped.add(id);
      this.#sender.sendNumber(Frame.RST_STREAM, id, ErrorCode.STREAM_CLOSED);
    } else this.#break(stream, ErrorCode.STREAM_CLOSED, 'DATA after the end of the request');
  }

  /** A message of the peer is refused. @throws Http2Error  when that happens too often */
  blame(isOversize: boolean): void {
    if (isOversize) this.#spend('oversize', 'heads that are too large');
    else this.#spend('reset', 'malformed messages');
  }

  /** @throws Http2Error  when the peer has done it too often */
  #spend(kind: BudgetKind, what: string): void {
    if (!this.#budgets[kind].take(this.#heardMs)) throw calm(what);
  }

  /**
   * More or less of a stream waits for the peer's windows.
   *
   * @returns whether that is too much in all: then the stream must end, so that a peer that does not read costs no more memory
   */
  hold(bytes: number): boolean {
    this.#heldBytes += bytes;
    return bytes > 0 && this.#heldBytes > this.#link.heldBytesMax;
  }

  /** The peer breaks the rules on one stream. */
  #break(stream: Stream, code: number, message: string): void {
    this.#spend('reset', 'streams that break the rules');
    stream.reset(code);
    stream.handler.onReset({ code, message, isUnprocessed: false });
  }

  /** @param charged  bytes to give back to the window later */
  #deliver(stream: Stream, bytes: Buffer, charged: number, isEnd: boolean): void {
    if (stream.isRemoteDone) return; // reset while this frame was being read
    if (isEnd) this.#endRemote(stream);
    const hasRoom = stream.handler.onData(bytes, isEnd);
    if (!isEnd) stream.received(charged, hasRoom);
    this.#tellAtEnd(stream.handler);
  }

  #endRemote(stream: Stream): void {
    stream.isRemoteDone = true;
    if (stream.isLocalDone) this.forget(stream);
  }

  onFrame(type: number, flags: number, id: number, payload: Buffer): void {
    switch (type) {
      case Frame.DATA: {
        const stream = this.#charge(id, payload.length);
        const content = unpad(payload);
        if (content.length === 0 && (flags & Flag.END_STREAM) === 0) this.#spend('empty', 'empty DATA frames');
        if (stream !== undefined) this.#deliver(stream, content, payload.length, (flags & Flag.END_STREAM) !== 0);
        return;
      }
      case Frame.RST_STREAM:
        this.#onReset(id, payload);
        return;
      case Frame.SETTINGS:
        this.#onSettings(flags, id, payload);
        return;
      case Frame.PING:
        size(payload, 8, 'PING');
        if (id !== 0) throw protocol('PING on a stream');
        if ((flags & Flag.ACK) !== 0) {
          this.#spend('other', 'answers to no PING');
          return;
        }
        // gRPC measures the way there and back with one whenever something was sent to it.
        if (!this.#hasAnswered) this.#spend('ping', 'PING frames');
        this.#hasAnswered = false;
        this.#sender.send(Frame.PING, Flag.ACK, 0, payload);
        return;
      case Frame.GOAWAY:
        this.#onGoAway(id, payload);
        return;
      case Frame.WINDOW_UPDATE:
        this.#onWindowUpdate(id, payload);
        return;
      case Frame.PUSH_PROMISE:
        throw protocol('PUSH_PROMISE was not allowed');
      case Frame.PRIORITY:
        size(payload, 5, 'PRIORITY');
        if (id === 0) throw protocol('PRIORITY without a stream');
        checkPriority(id, payload);
        this.#spend('other', 'frames without use');
        return;
      default:
        // Extensions: ignored, but not without end.
        this.#spend('other', 'frames without use');
    }
  }

  onBlock(id: number, bytes: Buffer, start: number, end: number, isEnd: boolean): void {
    const fields = this.#decoder.decode(bytes, start, end);
    const stream = this.streams.get(id);
    if (stream !== undefined) {
      if (stream.isRemoteDone)
        throw new Http2Error(ErrorCode.STREAM_CLOSED, `HEADERS on stream ${id}, which has ended`);
      if (isEnd) this.#endRemote(stream);
      stream.handler.onFields(fields, isEnd);
      this.#tellAtEnd(stream.handler);
      return;
    }
    if (this.isClient) {
      if (!this.#wasOpen(id)) throw protocol(`HEADERS on stream ${id}, which is not open`);
      return; // reset by us meanwhile
    }
    if (id % 2 === 0) throw protocol(`stream ${id} cannot be opened by a client`);
    if (id <= this.#lastPeerId) {
      if (this.#dropped.has(id)) return; // reset by us meanwhile
      throw new Http2Error(ErrorCode.STREAM_CLOSED, `HEADERS on stream ${id}, which is closed`);
    }
    this.#lastPeerId = id;
    if (this.#isGone) {
      this.#dropped.add(id);
      return;
    }
    if (this.streams.size >= STREAMS_MAX) {
      this.#spend('reset', 'streams above the limit');
      this.#dropped.add(id);
      this.#sender.sendNumber(Frame.RST_STREAM, id, ErrorCode.REFUSED_STREAM);
      return;
    }
    const handler = this.#owner.onStream();
    if (handler === undefined) return;
    const opened = new Stream(this, id, handler, this.#streamSendWindow, STREAM_WINDOW);
    opened.isRemoteDone = isEnd;
    this.streams.add(opened);
    handler.attach(opened);
    handler.onFields(fields, isEnd);
    this.#tellAtEnd(handler);
  }

  #onReset(id: number, payload: Buffer): void {
    size(payload, 4, 'RST_STREAM');
    if (id === 0 || (this.streams.get(id) === undefined && !this.#wasOpen(id)))
      throw protocol(`RST_STREAM on stream ${id}, which is not open`);
    const code = payload.readUInt32BE(0);
    // A server refuses as it likes; a client that resets again and again makes work for nothing.
    if (!this.isClient) this.#spend('reset', 'RST_STREAM frames');
    const failure = {
      code,
      message: `the stream was reset (${code})`,
      isUnprocessed: code === ErrorCode.REFUSED_STREAM,
    };
    this.#dropped.end(id);
    const stream = this.streams.get(id);
    if (stream !== undefined) this.#failStream(stream, failure);
  }

  #onSettings(flags: number, id: number, payload: Buffer): void {
    if (id !== 0) throw protocol('SETTINGS on a stream');
    if ((flags & Flag.ACK) !== 0) {
      size(payload, 0, 'SETTINGS');
      this.#spend('other', 'answers to no SETTINGS');
      return;
    }
    if (payload.length % 6 !== 0) throw new Http2Error(ErrorCode.FRAME_SIZE_ERROR, 'SETTINGS of a wrong size');
    this.#spend('settings', 'SETTINGS frames');
    const wasConfirmed = this.isConfirmed;
    this.isConfirmed = true;
    // Who names no limit has none (RFC 9113 section 6.5.2).
    if (!wasConfirmed) this.#streamsMax = STREAMS_MAX;
    for (let at = 0; at < payload.length; at += 6)
      this.#onSetting(payload.readUInt16BE(at), payload.readUInt32BE(at + 2));
    this.#sender.acknowledgeSettings();
    this.#unblock();
    if (this.isClient && !wasConfirmed) this.#owner.onRoom();
  }

  #onSetting(key: number, value: number): void {
    if (key === Setting.HEADER_TABLE_SIZE) this.#sender.encoder.resize(value);
    else if (key === Setting.ENABLE_PUSH && value > 1) throw protocol('ENABLE_PUSH is neither 0 nor 1');
    else if (key === Setting.MAX_CONCURRENT_STREAMS) this.#streamsMax = Math.min(value, STREAMS_MAX);
    else if (key === Setting.MAX_FRAME_SIZE && (value < FRAME_BYTES_MAX || value > 2 ** 24 - 1))
      throw protocol('MAX_FRAME_SIZE is out of range');
    else if (key === Setting.ENABLE_CONNECT_PROTOCOL) {
      if (value > 1 || (this.takesProtocols && value === 0)) throw protocol('ENABLE_CONNECT_PROTOCOL is out of range');
      this.takesProtocols = value === 1;
    } else if (key === Setting.INITIAL_WINDOW_SIZE) {
      if (value > WINDOW_MAX) throw new Http2Error(ErrorCode.FLOW_CONTROL_ERROR, 'INITIAL_WINDOW_SIZE is out of range');
      const change = value - this.#streamSendWindow;
      this.#streamSendWindow = value;
      for (const stream of this.streams.values()) {
        stream.sendWindow += change;
        if (stream.sendWindow > WINDOW_MAX) throw new Http2Error(ErrorCode.FLOW_CONTROL_ERROR, 'a window is too large');
      }
    }
  }

  #onGoAway(id: number, payload: Buffer): void {
    if (id !== 0 || payload.length < 8) throw protocol('GOAWAY on a stream or too short');
    const last = payload.readUInt32BE(0) & STREAM_ID_MAX;
    const code = payload.readUInt32BE(4);
    this.#spend('other', 'GOAWAY frames');
    if (!this.isClient) {
      // It speaks of our streams, which there are none of. Those that a client opens behind it are served: node:http2 sends
      // a request that was begun before the end of its session after this frame.
      this.#isClientLeaving = true;
      return;
    }
    this.#gone();
    this.#failStreams((stream) => stream > last, { code, message: 'the server goes away', isUnprocessed: true });
    if (this.streams.size === 0) this.#endWhenIdle();
  }

  #onWindowUpdate(id: number, payload: Buffer): void {
    size(payload, 4, 'WINDOW_UPDATE');
    const bytes = payload.readUInt32BE(0) & WINDOW_MAX;
    if (bytes === 0) throw protocol('WINDOW_UPDATE by 0');
    // A server gives as it likes: it was our choice.
    if (this.#creditsDue > 0) this.#creditsDue -= 1;
    else if (!this.isClient) this.#spend('other', 'WINDOW_UPDATE frames');
    if (id === 0) {
      this.sendWindow += bytes;
      if (this.sendWindow > WINDOW_MAX)
        throw new Http2Error(ErrorCode.FLOW_CONTROL_ERROR, 'the window of the connection is too large');
      this.#unblock();
      return;
    }
    const stream = this.streams.get(id);
    if (stream === undefined) {
      if (!this.#wasOpen(id)) throw protocol(`WINDOW_UPDATE on stream ${id}, which is not open`);
      return;
    }
    stream.sendWindow += bytes;
    if (stream.sendWindow > WINDOW_MAX) {
      this.#break(stream, ErrorCode.FLOW_CONTROL_ERROR, `the window of stream ${id} is too large`);
      return;
    }
    if (this.#blocked.delete(stream)) {
      stream.pump();
      stream.unstall();
    }
  }

  /** Streams that waited go on, each in turn as far as the windows reach. */
  #unblock(): void {
    if (this.#blocked.size === 0) return;
    const streams = [...this.#blocked];
    this.#blocked.clear();
    for (const stream of streams) {
      if (this.isCongested || this.sendWindow <= 0) this.#blocked.add(stream);
      else {
        stream.pump();
        stream.unstall();
      }
    }
  }

  #wasOpen(id: number): boolean {
    return this.isClient ? id % 2 === 1 && id < this.#nextId : id <= this.#lastPeerId;
  }

  #ping(nowMs: number): void {
    this.#pingMs = nowMs;
    this.#sender.ping();
  }

  #endWhenIdle(): void {
    if (this.isClosed) return;
    this.#sender.flush();
    this.connection.endAndClose();
  }

  #fail(error: Http2Error): void {
    this.#sender.goAway(this.#lastPeerId, error.code);
    this.#sender.flush();
    this.#gone(error.message);
    this.#failStreams(() => true, { code: error.code, message: error.message, isUnprocessed: false });
    this.connection.handler = { onData() {}, onEnd() {}, onDrain() {}, onClose() {} };
    this.connection.endAndClose();
  }

  #failStreams(which: (id: number) => boolean, failure: StreamFailure): void {
    for (const stream of this.streams.values()) {
      if (which(stream.id)) this.#failStream(stream, failure);
    }
  }

  #failStream(stream: Stream, failure: StreamFailure): void {
    stream.isLocalDone = true;
    stream.isRemoteDone = true;
    stream.drop();
    this.forget(stream);
    stream.handler.onReset(failure);
  }

  #gone(reason?: string): void {
    if (this.#isGone) return;
    this.#isGone = true;
    this.#owner.onGone(reason);
  }
}

const NO_BYTES = Buffer.alloc(0);
