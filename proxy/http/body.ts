import { ProxyError, type ProxyErrorCode } from '../errors.ts';
import { mayBeTrailer } from './field-text.ts';
import type { BodyKind } from './head.ts';
import { CHUNK_LINE_BYTES_MAX, TRAILER_BYTES_MAX } from './limits.ts';

const CR = 13;
const LF = 10;

/** Where the scanner stands in a chunked body. */
const SIZE_FIRST = 0; // first digit of a chunk size
const SIZE = 1;
const EXTENSION = 2;
const SIZE_LF = 3;
const DATA = 4;
const DATA_CR = 5;
const DATA_LF = 6;
const TRAILER_START = 7;
const TRAILER = 8;
const TRAILER_LF = 9;
const LAST_LF = 10;
const TRAILER_NAME = 11;

const COLON = 58;
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]$/;

/**
 * Finds the end of a message body while its bytes pass through unchanged. Strict: a chunked body whose framing another
 * reader could understand differently is an error. One per connection and direction, reset for each message.
 */
export class BodyScanner {
  isDone = true;
  #kind: BodyKind = 'none';
  #left = 0; // bytes of the body (length) or of the chunk (chunked)
  #state = SIZE_FIRST;
  #digits = 0;
  #lineBytes = 0;
  #name = ''; // of the trailer
  readonly #code: ProxyErrorCode;

  /** @param code  of the error that a malformed body is */
  constructor(code: 'client-malformed' | 'server-malformed') {
    this.#code = code;
  }

  get isUntilClose(): boolean {
    return this.#kind === 'close' && !this.isDone;
  }

  reset(kind: BodyKind, bodyBytes: number): void {
    this.#kind = kind;
    this.#left = bodyBytes;
    this.#state = SIZE_FIRST;
    this.#lineBytes = 0;
    this.isDone = kind === 'none' || (kind === 'length' && bodyBytes === 0);
  }

  /**
   * @returns index after the last byte from `start` on that belongs to this body; sets `isDone`
   * @throws ProxyError
   */
  scan(bytes: Buffer, start: number): number {
    if (this.isDone) return start;
    if (this.#kind === 'close') return bytes.length;
    if (this.#kind === 'chunked') return this.#scanChunked(bytes, start);
    const taken = Math.min(this.#left, bytes.length - start);
    this.#left -= taken;
    this.isDone = this.#left === 0;
    return start + taken;
  }

  #scanChunked(bytes: Buffer, start: number): number {
    let at = start;
    while (at < bytes.length) {
      if (this.#state === DATA) {
        const taken = Math.min(this.#left, bytes.length - at);
        this.#left -= taken;
        at += taken;
        if (this.#left === 0) this.#state = DATA_CR;
        continue;
      }
      this.#step(bytes[at] as number);
      at += 1;
      if (this.isDone) return at;
    }
    return at;
  }

  #step(byte: number): void {
    switch (this.#state) {
      case SIZE_FIRST:
        this.#left = hexDigit(byte);
        if (this.#left < 0) throw this.#malformed('a chunk size that is no hexadecimal number');
        this.#digits = 1;
        this.#lineBytes = 0;
        this.#state = SIZE;
        return;
      case SIZE:
        this.#stepSize(byte);
        return;
      case EXTENSION:
        if (byte === CR) this.#state = SIZE_LF;
        else if (!isFieldByte(byte)) throw this.#malformed('a control character in a chunk extension');
        else this.#count(CHUNK_LINE_BYTES_MAX, 'a chunk extension is too long');
        return;
      case SIZE_LF:
        this.#expect(byte, LF);
        this.#state = this.#left === 0 ? TRAILER_START : DATA;
        this.#lineBytes = 0;
        return;
      case DATA_CR:
        this.#expect(byte, CR);
        this.#state = DATA_LF;
        return;
      case DATA_LF:
        this.#expect(byte, LF);
        this.#state = SIZE_FIRST;
        return;
      case TRAILER_START:
        if (byte === CR) {
          this.#state = LAST_LF;
          return;
        }
        this.#state = TRAILER_NAME;
        this.#name = '';
        this.#stepTrailerName(byte);
        return;
      case TRAILER_NAME:
        this.#stepTrailerName(byte);
        return;
      case TRAILER:
        this.#stepTrailer(byte);
        return;
      case TRAILER_LF:
        this.#expect(byte, LF);
        this.#state = TRAILER_START;
        return;
      default: // LAST_LF
        this.#expect(byte, LF);
        this.isDone = true;
    }
  }

  #stepSize(byte: number): void {
    const digit = hexDigit(byte);
    if (digit >= 0) {
      this.#digits += 1;
      if (this.#digits > 13) throw this.#malformed('a chunk size of more than 13 digits');
      this.#left = this.#left * 16 + digit;
    } else if (byte === CR) this.#state = SIZE_LF;
    else if (byte === 59 /* ; */) this.#state = EXTENSION;
    else throw this.#malformed('a chunk size that is no hexadecimal number');
  }

  #stepTrailerName(byte: number): void {
    this.#count(TRAILER_BYTES_MAX, 'the trailers are too long');
    const letter = String.fromCharCode(byte);
    if (byte !== COLON) {
      if (!TOKEN.test(letter)) throw this.#malformed('a trailer whose name is no token');
      this.#name += letter;
      return;
    }
    if (this.#name === '') throw this.#malformed('a trailer without a name');
    const name = this.#name.toLowerCase();
    if (!mayBeTrailer(name)) throw this.#malformed(`the field ${name} among the trailers`);
    this.#state = TRAILER;
  }

  #stepTrailer(byte: number): void {
    if (byte === CR) this.#state = TRAILER_LF;
    else if (!isFieldByte(byte)) throw this.#malformed('a control character in a trailer');
    else this.#count(TRAILER_BYTES_MAX, 'the trailers are too long');
  }

  #count(max: number, reason: string): void {
    this.#lineBytes += 1;
    if (this.#lineBytes > max) throw this.#malformed(reason);
  }

  #expect(byte: number, wanted: number): void {
    if (byte !== wanted) throw this.#malformed('a line that does not end in CRLF');
  }

  #malformed(reason: string): ProxyError {
    return new ProxyError(this.#code, `malformed chunked body: ${reason}`);
  }
}

function hexDigit(byte: number): number {
  if (byte >= 48 && byte <= 57) return byte - 48;
  const lower = byte | 0x20;
  return lower >= 97 && lower <= 102 ? lower - 87 : -1;
}

function isFieldByte(byte: number): boolean {
  return byte === 9 || (byte >= 32 && byte !== 127);
}
