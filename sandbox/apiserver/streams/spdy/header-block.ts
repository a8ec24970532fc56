import { inflateRawSync, constants } from 'node:zlib';
import { spdyDictionary } from './dictionary.ts';

/** The peer breaks the protocol; the connection cannot go on. */
export class SpdyError extends Error {
  override readonly name = 'SpdyError';
}

const BLOCK_BYTES_MAX = 16 * 1024; // of one header block, decompressed; port-forward needs under 100
const WINDOW_BYTES = 32 * 1024; // how far back deflate refers
const ZLIB_HEADER_BYTES = 6; // CMF, FLG and the checksum of the dictionary, once at the start
const ENDS_BLOCK = Buffer.from([0x00, 0x00, 0xff, 0xff]); // what a sync flush leaves at the end

/**
 * Decompresses the header blocks of one direction of a connection. They form one zlib stream that is flushed after each
 * block, so each is decompressed on its own with what came before as the dictionary.
 */
export class HeaderBlockReader {
  #window: Buffer = spdyDictionary;
  #isFirst = true;

  /** Header values by name in lower case. Throws SpdyError. */
  read(block: Buffer): ReadonlyMap<string, string> {
    const plain = this.#inflate(this.#isFirst ? block.subarray(ZLIB_HEADER_BYTES) : block);
    this.#isFirst = false;
    this.#window = Buffer.concat([this.#window, plain]).subarray(-WINDOW_BYTES);
    return parseHeaders(plain);
  }

  #inflate(compressed: Buffer): Buffer {
    if (!compressed.subarray(-ENDS_BLOCK.length).equals(ENDS_BLOCK)) throw new SpdyError('header block is not flushed');
    try {
      return inflateRawSync(compressed, {
        dictionary: this.#window,
        finishFlush: constants.Z_SYNC_FLUSH,
        maxOutputLength: BLOCK_BYTES_MAX,
      });
    } catch (error) {
      throw new SpdyError('header block cannot be decompressed', { cause: error });
    }
  }
}

function parseHeaders(plain: Buffer): ReadonlyMap<string, string> {
  const headers = new Map<string, string>();
  let at = 0;
  const number = (): number => {
    if (at + 4 > plain.length) throw new SpdyError('header block is cut off');
    at += 4;
    return plain.readUInt32BE(at - 4);
  };
  const text = (): string => {
    const length = number();
    if (length > plain.length - at) throw new SpdyError('header block is cut off');
    at += length;
    return plain.toString('latin1', at - length, at);
  };
  const count = number();
  if (count > plain.length / 8) throw new SpdyError(`header block claims ${count} headers`);
  for (let index = 0; index < count; index += 1) headers.set(text().toLowerCase(), text());
  return headers;
}

/** Writes header blocks without compressing them, which is a legal zlib stream: the answers carry almost no headers. */
export class HeaderBlockWriter {
  #isFirst = true;

  write(headers: ReadonlyMap<string, string>): Buffer {
    const plain = Buffer.concat([uint32(headers.size), ...[...headers].flatMap((pair) => pair.map(withLength))]);
    if (plain.length > 0xffff) throw new RangeError('header block is too long for one stored block');
    const start = Buffer.from([0x78, 0xf9, 0xe3, 0xc6, 0xa7, 0xc2]); // zlib with the dictionary's checksum
    const stored = Buffer.from([
      0,
      plain.length & 0xff,
      plain.length >> 8,
      ~plain.length & 0xff,
      (~plain.length >> 8) & 0xff,
    ]);
    const parts = [stored, plain, Buffer.from([0]), ENDS_BLOCK];
    const block = Buffer.concat(this.#isFirst ? [start, ...parts] : parts);
    this.#isFirst = false;
    return block;
  }
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function withLength(text: string): Buffer {
  const bytes = Buffer.from(text, 'latin1');
  return Buffer.concat([uint32(bytes.length), bytes]);
}
