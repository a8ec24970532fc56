/** What the first bytes of a connection say about TLS. */
export type ClientHello =
  | { readonly kind: 'incomplete' } // may become a ClientHello
  | { readonly kind: 'none' } // is something else
  | { readonly kind: 'hello'; readonly serverName: string | undefined };

const INCOMPLETE: ClientHello = { kind: 'incomplete' };
const NONE: ClientHello = { kind: 'none' };

/** Bytes of a ClientHello that are looked at; a longer one counts as something else. */
export const CLIENT_HELLO_BYTES_MAX = 16 * 1024;

const RECORD_HANDSHAKE = 22;
const CLIENT_HELLO = 1;
const EXTENSION_SERVER_NAME = 0;

/** Reads the server name (SNI) of a TLS ClientHello. Source: RFC 8446 section 4.1.2, RFC 6066 section 3. */
export function parseClientHello(bytes: Buffer): ClientHello {
  if (bytes.length > 0 && bytes[0] !== RECORD_HANDSHAKE) return NONE;
  if (bytes.length > 1 && bytes[1] !== 3) return NONE;
  if (bytes.length > 5 && bytes[5] !== CLIENT_HELLO) return NONE;
  const message = joinRecords(bytes);
  if (message === undefined) return bytes.length > CLIENT_HELLO_BYTES_MAX ? NONE : INCOMPLETE;
  if (message === 'invalid') return NONE;
  try {
    return { kind: 'hello', serverName: readServerName(message) };
  } catch (error) {
    if (error instanceof RangeError) return NONE;
    throw error;
  }
}

/** The handshake message, which may be spread over records. */
function joinRecords(bytes: Buffer): Buffer | undefined | 'invalid' {
  const parts: Buffer[] = [];
  let partBytes = 0;
  for (let at = 0; at + 5 <= bytes.length;) {
    if (bytes[at] !== RECORD_HANDSHAKE) return 'invalid';
    const length = bytes.readUInt16BE(at + 3);
    if (length === 0 || length > CLIENT_HELLO_BYTES_MAX) return 'invalid';
    const part = bytes.subarray(at + 5, at + 5 + length);
    parts.push(part);
    partBytes += part.length;
    at += 5 + length;
    const message = Buffer.concat(parts);
    if (partBytes < 4) continue;
    const messageBytes = message.readUIntBE(1, 3);
    if (messageBytes > CLIENT_HELLO_BYTES_MAX) return 'invalid';
    if (partBytes >= 4 + messageBytes) return message.subarray(4, 4 + messageBytes);
  }
  return undefined;
}

/** @throws RangeError  when a length leads outside the message */
function readServerName(message: Buffer): string | undefined {
  let at = 2 + 32; // version, random
  at += 1 + message.readUInt8(at); // session id
  at += 2 + message.readUInt16BE(at); // cipher suites
  at += 1 + message.readUInt8(at); // compression methods
  if (at === message.length) return undefined;
  const end = at + 2 + message.readUInt16BE(at);
  if (end > message.length) throw new RangeError('extensions are longer than the message');
  at += 2;
  while (at < end) {
    const type = message.readUInt16BE(at);
    const length = message.readUInt16BE(at + 2);
    if (at + 4 + length > end) throw new RangeError('an extension is longer than the message');
    if (type === EXTENSION_SERVER_NAME) return readHostName(message.subarray(at + 4, at + 4 + length));
    at += 4 + length;
  }
  return undefined;
}

function readHostName(list: Buffer): string | undefined {
  if (list.readUInt8(2) !== 0) return undefined;
  const length = list.readUInt16BE(3);
  if (5 + length > list.length) throw new RangeError('the server name is longer than its extension');
  return list.toString('latin1', 5, 5 + length).toLowerCase();
}
