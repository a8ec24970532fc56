import { once } from 'node:events';
import { constants, createDeflate, type Deflate } from 'node:zlib';
import { WebSocket } from 'ws';
import { toBuffer } from '../channel-socket.ts';
import { spdyDictionary } from '../spdy/dictionary.ts';

const PROTOCOL = 'SPDY/3.1+portforward.k8s.io';

/** What the server sent on one stream. */
type StreamState = { text: Buffer; isEnded: boolean; isReset: boolean; hasReply: boolean };

/** The client's end of a port-forward tunnel, written apart from the server's code: SPDY/3.1 in binary messages. */
export class TunnelClient {
  readonly socket: WebSocket;
  readonly streams = new Map<number, StreamState>();
  isGoneAway = false;
  protocol: string | undefined;
  pings = 0;
  readonly #deflate: Deflate = createDeflate({ dictionary: spdyDictionary, level: 9 });
  #compressed: Buffer = Buffer.alloc(0);
  #pending: Buffer = Buffer.alloc(0);

  constructor(url: string) {
    this.socket = new WebSocket(url, {
      headers: { 'Sec-WebSocket-Protocol': PROTOCOL },
      finishRequest: (request) => {
        // The name has a slash, which WebSocket libraries (but not the one of kubectl) refuse.
        request.prependListener('upgrade', (response) => {
          this.protocol = response.headers['sec-websocket-protocol'];
          delete response.headers['sec-websocket-protocol'];
        });
        request.end();
      },
    });
    this.socket.on('error', () => undefined);
    this.#deflate.on('data', (chunk: Buffer) => {
      this.#compressed = Buffer.concat([this.#compressed, chunk]);
    });
    this.socket.on('message', (message) => this.#receive(toBuffer(message)));
  }

  async opened(): Promise<void> {
    if (this.socket.readyState !== WebSocket.OPEN) await once(this.socket, 'open');
  }

  stream(id: number): StreamState {
    let state = this.streams.get(id);
    if (state === undefined) {
      state = { text: Buffer.alloc(0), isEnded: false, isReset: false, hasReply: false };
      this.streams.set(id, state);
    }
    return state;
  }

  async open(id: number, headers: Readonly<Record<string, string>>, isLast = false): Promise<void> {
    const pairs = Object.entries(headers);
    const plain = Buffer.concat([uint32(pairs.length), ...pairs.flat().map(withLength)]);
    this.#compressed = Buffer.alloc(0);
    await new Promise<void>((resolve) => {
      this.#deflate.write(plain, () => this.#deflate.flush(constants.Z_SYNC_FLUSH, resolve));
    });
    const payload = Buffer.concat([uint32(id), uint32(0), Buffer.alloc(2), this.#compressed]);
    this.control(1, isLast ? 1 : 0, payload);
  }

  /** Both streams of one forwarded connection. @returns id of the data stream, one less for errors */
  async connect(id: number, port: number | string): Promise<number> {
    const headers = { port: String(port), requestid: String(id) };
    await this.open(id, { ...headers, streamtype: 'error' }, true);
    await this.open(id + 2, { ...headers, streamtype: 'data' });
    return id + 2;
  }

  control(type: number, flags: number, payload: Buffer): void {
    const header = Buffer.from([0x80, 3, 0, type, flags, 0, payload.length >> 8, payload.length & 0xff]);
    this.send(Buffer.concat([header, payload]));
  }

  data(id: number, bytes: Uint8Array | string, isLast = false): void {
    const content = Buffer.from(bytes);
    const header = Buffer.concat([uint32(id), uint32(content.length)]);
    header[4] = isLast ? 1 : 0;
    this.send(Buffer.concat([header, content]));
  }

  /** Message boundaries mean nothing in the tunnel, so every frame is cut in two. */
  send(bytes: Buffer): void {
    const middle = Math.floor(bytes.length / 2);
    this.socket.send(bytes.subarray(0, middle));
    this.socket.send(bytes.subarray(middle));
  }

  #receive(bytes: Buffer): void {
    this.#pending = Buffer.concat([this.#pending, bytes]);
    while (this.#pending.length >= 8) {
      const length = this.#pending.readUIntBE(5, 3);
      if (this.#pending.length < 8 + length) return;
      const frame = this.#pending.subarray(0, 8 + length);
      this.#pending = this.#pending.subarray(8 + length);
      this.#frame(frame);
    }
  }

  #frame(frame: Buffer): void {
    const first = frame.readUInt32BE(0);
    if (first < 0x8000_0000) {
      const state = this.stream(first);
      state.text = Buffer.concat([state.text, frame.subarray(8)]);
      state.isEnded ||= (frame[4] ?? 0) === 1;
      return;
    }
    const type = first & 0xffff;
    if (type === 2) this.stream(frame.readUInt32BE(8)).hasReply = true;
    else if (type === 3) this.stream(frame.readUInt32BE(8)).isReset = true;
    else if (type === 6) this.pings += 1;
    else if (type === 7) this.isGoneAway = true;
  }
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function withLength(text: string): Buffer {
  return Buffer.concat([uint32(Buffer.byteLength(text)), Buffer.from(text)]);
}
