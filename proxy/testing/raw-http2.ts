import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { Credentials } from '#pki/issuer.ts';
import { tlsOptions, type TestAuthority } from '#pki/testing.ts';
import { Flag, Frame, PREFACE } from '../http2/frames.ts';
import { HpackDecoder } from '../http2/hpack-decoder.ts';
import { HpackEncoder } from '../http2/hpack-encoder.ts';
import { encodeTransportHeader, TRANSPORT_ALPN } from '../transport/transport-header.ts';

const SILENT_MS = 10_000;

export type Fields = readonly (readonly [string, string])[];
export type ReceivedFrame = {
  readonly type: number;
  readonly flags: number;
  readonly id: number;
  readonly payload: Buffer;
};

export function frame(type: number, flags: number, id: number, payload: Uint8Array = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(id, 5);
  return Buffer.concat([head, payload]);
}

/** A header block that needs no table. */
export function block(fields: Fields): Buffer {
  const encoder = new HpackEncoder();
  encoder.resize(0);
  encoder.begin();
  for (const [name, value] of fields) encoder.field(name, value);
  return Buffer.from(encoder.block.subarray(0, encoder.length));
}

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

export const SETTINGS = frame(Frame.SETTINGS, 0, 0);

/** HEADERS of a GET, which end its stream. */
export function get(id: number, path = '/', more: Fields = []): Buffer {
  const fields: Fields = [[':method', 'GET'], [':scheme', 'http'], [':authority', 'web'], [':path', path], ...more];
  return frame(Frame.HEADERS, Flag.END_HEADERS | Flag.END_STREAM, id, block(fields));
}

/** A client of HTTP/2 that sends whatever a test gives it. */
export class RawHttp2 implements Disposable {
  readonly socket: Socket;
  readonly frames: ReceivedFrame[] = [];
  /** Ended, or told to go away. */
  isOver = false;
  #unread: Buffer = Buffer.alloc(0);
  #wake: () => void = () => {};

  /** @param socket  connected; the preface is sent */
  constructor(socket: Socket) {
    this.socket = socket;
    socket.write(PREFACE);
    socket.on('error', () => this.#over());
    socket.on('close', () => this.#over());
    socket.on('end', () => this.#over());
    socket.on('data', (chunk: Buffer) => this.#read(chunk));
  }

  static async connect(port: number): Promise<RawHttp2> {
    const socket = connect(port, '127.0.0.1');
    await once(socket, 'connect');
    return new RawHttp2(socket);
  }

  /** As a proxy of the mesh does: mutual TLS and a transport header for this port of an application. */
  static async connectAsPeer(
    inboundPort: number,
    server: string,
    applicationPort: number,
    authority: TestAuthority,
    credentials: Credentials,
  ): Promise<RawHttp2> {
    const socket = connectTls({
      port: inboundPort,
      host: '127.0.0.1',
      servername: server,
      ca: authority.anchorsPem,
      checkServerIdentity: () => undefined,
      ALPNProtocols: [TRANSPORT_ALPN],
      ...tlsOptions(credentials),
    });
    await once(socket, 'secureConnect');
    socket.write(encodeTransportHeader({ port: applicationPort, session: 'http2' }));
    return new RawHttp2(socket);
  }

  send(...frames: readonly Buffer[]): void {
    this.socket.write(Buffer.concat(frames));
  }

  get goAwayCode(): number | undefined {
    return this.frames.find(({ type }) => type === Frame.GOAWAY)?.payload.readUInt32BE(4);
  }

  /** Whether a stream has ended, in whatever way. */
  hasEnded(id: number): boolean {
    return this.frames.some(
      ({ type, flags, id: of }) =>
        of === id &&
        (type === Frame.RST_STREAM ||
          ((type === Frame.DATA || type === Frame.HEADERS) && (flags & Flag.END_STREAM) !== 0)),
    );
  }

  /** What there is of an answer, for messages: header blocks as they came, which hold their text without Huffman code. */
  answer(id: number): string {
    return JSON.stringify(
      this.frames
        .filter((one) => one.id === id)
        .map(({ type, flags, payload }) => [type, flags, payload.toString('latin1')]),
    );
  }

  /** The header blocks of a stream so far, as lines. */
  fields(id: number): string {
    const decoder = new HpackDecoder();
    let lines = '';
    for (const { type, id: of, payload } of this.frames) {
      if (type !== Frame.HEADERS) continue;
      const block = decoder.decode(payload);
      if (of === id) lines += block.map(({ name, value }) => `${name}: ${value}\r\n`).join('');
    }
    return lines;
  }

  /** Content of a stream so far. */
  content(id: number): string {
    return Buffer.concat(
      this.frames.filter(({ type, id: of }) => type === Frame.DATA && of === id).map(({ payload }) => payload),
    ).toString('latin1');
  }

  /** Waits until it holds, or the connection is over. @throws after a silence */
  async until(holds: () => boolean): Promise<void> {
    while (!holds() && !this.isOver) {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      const timer = setTimeout(() => reject(new Error(`silent after ${this.frames.length} frames`)), SILENT_MS);
      this.#wake = resolve;
      await promise.finally(() => clearTimeout(timer));
    }
  }

  [Symbol.dispose](): void {
    this.socket.destroy();
  }

  #read(chunk: Buffer): void {
    this.#unread = this.#unread.length === 0 ? chunk : Buffer.concat([this.#unread, chunk]);
    while (this.#unread.length >= 9 && this.#unread.length >= 9 + this.#unread.readUIntBE(0, 3)) {
      const end = 9 + this.#unread.readUIntBE(0, 3);
      const [type = 0, flags = 0] = [this.#unread[3], this.#unread[4]];
      const id = this.#unread.readUInt32BE(5);
      this.frames.push({ type, flags, id, payload: Buffer.from(this.#unread.subarray(9, end)) });
      this.#unread = this.#unread.subarray(end);
      if (type === Frame.GOAWAY) this.isOver = true;
    }
    this.#wake();
  }

  #over(): void {
    this.isOver = true;
    this.#wake();
  }
}
