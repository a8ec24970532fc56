/**
 * The header that a proxy sends to its peer after the TLS handshake, to name the application port behind it.
 * Source: linkerd2-proxy-api `transport.l5d.io` `Header`; framing: 23 bytes of magic, uint32 length, message.
 */
export type TransportHeader = {
  readonly port: number; // 1..65535, of the application
  readonly name?: string; // authority behind a gateway; absent for the pod itself
  readonly session?: 'http1' | 'http2'; // absent: opaque bytes
};

/** ALPN protocol that announces a transport header. */
export const TRANSPORT_ALPN = 'transport.l5d.io/v1';

const MAGIC = Buffer.from(`${TRANSPORT_ALPN}\r\n\r\n`, 'latin1');
const PREFIX_BYTES = MAGIC.length + 4;
const MESSAGE_BYTES_MAX = 1024; // a port, a DNS name (253) and a session kind need far less

const TAG_PORT = 0x08;
const TAG_NAME = 0x12;
const TAG_SESSION = 0x1a;
const TAG_HTTP1 = 0x0a;
const TAG_HTTP2 = 0x12;

/** Bytes that are no transport header. */
export class TransportHeaderError extends Error {
  override readonly name = 'TransportHeaderError';
}

export function encodeTransportHeader(header: TransportHeader): Buffer {
  const message: number[] = [TAG_PORT, ...varint(header.port)];
  if (header.name !== undefined) {
    const name = Buffer.from(header.name, 'utf8');
    message.push(TAG_NAME, ...varint(name.length), ...name);
  }
  if (header.session !== undefined) {
    message.push(TAG_SESSION, 2, header.session === 'http1' ? TAG_HTTP1 : TAG_HTTP2, 0);
  }
  const out = Buffer.alloc(PREFIX_BYTES + message.length);
  MAGIC.copy(out);
  out.writeUInt32BE(message.length, MAGIC.length);
  out.set(message, PREFIX_BYTES);
  return out;
}

/**
 * @returns the header and where the session begins; undefined when more bytes are needed (at most 1051 in all)
 * @throws TransportHeaderError
 */
export function decodeTransportHeader(bytes: Buffer): { header: TransportHeader; end: number } | undefined {
  const known = Math.min(bytes.length, MAGIC.length);
  if (bytes.compare(MAGIC, 0, known, 0, known) !== 0) throw new TransportHeaderError('the magic bytes are wrong');
  if (bytes.length < PREFIX_BYTES) return undefined;
  const messageBytes = bytes.readUInt32BE(MAGIC.length);
  if (messageBytes > MESSAGE_BYTES_MAX) {
    throw new TransportHeaderError(`the message has ${messageBytes} bytes, at most ${MESSAGE_BYTES_MAX} are accepted`);
  }
  const end = PREFIX_BYTES + messageBytes;
  if (bytes.length < end) return undefined;
  return { header: decodeMessage(bytes.subarray(PREFIX_BYTES, end)), end };
}

function decodeMessage(message: Buffer): TransportHeader {
  const reader = new Reader(message);
  let port = 0;
  let name = '';
  let session: 'http1' | 'http2' | undefined;
  while (!reader.isAtEnd) {
    const tag = reader.varint();
    if (tag === TAG_PORT) port = reader.varint();
    else if (tag === TAG_NAME) name = reader.bytes().toString('utf8');
    else if (tag === TAG_SESSION) session = decodeSession(reader.bytes());
    else reader.skip(tag);
  }
  if (port < 1 || port > 65_535) throw new TransportHeaderError(`port ${port} is not in 1..65535`);
  if (name !== '' && !/^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?\.?$/i.test(name)) {
    throw new TransportHeaderError('the name is no DNS name');
  }
  return { port, ...(name === '' ? {} : { name }), ...(session === undefined ? {} : { session }) };
}

function decodeSession(message: Buffer): 'http1' | 'http2' | undefined {
  const reader = new Reader(message);
  let session: 'http1' | 'http2' | undefined;
  while (!reader.isAtEnd) {
    const tag = reader.varint();
    if (tag === TAG_HTTP1) session = 'http1';
    else if (tag === TAG_HTTP2) session = 'http2';
    reader.skip(tag);
  }
  return session;
}

/** The part of protobuf's wire format that unknown fields can use. */
class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  varint(): number {
    let value = 0;
    for (let shift = 0; shift < 10; shift += 1) {
      const byte = this.#bytes[this.#at];
      if (byte === undefined) throw new TransportHeaderError('the message ends inside a number');
      this.#at += 1;
      value += (byte & 0x7f) * 2 ** (7 * shift);
      if (byte < 0x80) return value;
    }
    throw new TransportHeaderError('a number has more than 10 bytes');
  }

  bytes(): Buffer {
    const length = this.varint();
    return this.#take(length);
  }

  skip(tag: number): void {
    switch (tag % 8) {
      case 0:
        this.varint();
        return;
      case 1:
        this.#take(8);
        return;
      case 2:
        this.bytes();
        return;
      case 5:
        this.#take(4);
        return;
      default:
        throw new TransportHeaderError(`wire type ${tag % 8} is not supported`);
    }
  }

  #take(length: number): Buffer {
    if (length > this.#bytes.length - this.#at) throw new TransportHeaderError('the message ends inside a field');
    const taken = this.#bytes.subarray(this.#at, this.#at + length);
    this.#at += length;
    return taken;
  }
}

function varint(value: number): number[] {
  const out: number[] = [];
  let rest = value;
  while (rest >= 0x80) {
    out.push((rest % 0x80) | 0x80);
    rest = Math.floor(rest / 0x80);
  }
  out.push(rest);
  return out;
}
