const CR = 13;
const LF = 10;

/**
 * Takes a chunked body apart that `BodyScanner` has found to be well-formed. One per message.
 * @see BodyScanner
 */
export class ChunkDecoder {
  /** Fields after the last chunk, each with its CRLF; known when the body is complete. */
  trailers = '';
  #line = '';
  #left = 0; // bytes of the chunk
  #state: 'size' | 'data' | 'after' | 'trailers' = 'size';

  /** @returns the content of these bytes; undefined when there is none */
  decode(bytes: Buffer): Buffer | undefined {
    const parts: Buffer[] = [];
    let at = 0;
    while (at < bytes.length) {
      if (this.#state === 'data') {
        const end = Math.min(bytes.length, at + this.#left);
        parts.push(bytes.subarray(at, end));
        this.#left -= end - at;
        at = end;
        if (this.#left === 0) this.#state = 'after';
        continue;
      }
      const lf = bytes.indexOf(LF, at);
      const end = lf < 0 ? bytes.length : lf + 1;
      this.#line += bytes.toString('latin1', at, end);
      at = end;
      if (lf >= 0) this.#onLine();
    }
    if (parts.length <= 1) return parts[0];
    return Buffer.concat(parts);
  }

  #onLine(): void {
    const line = this.#line;
    this.#line = '';
    if (this.#state === 'size') {
      this.#left = Number.parseInt(line, 16);
      this.#state = this.#left === 0 ? 'trailers' : 'data';
    } else if (this.#state === 'after') this.#state = 'size';
    else if (line !== '\r\n') this.trailers += line;
  }
}

/** Content as one chunk. */
export function encodeChunk(content: Buffer): Buffer {
  const size = content.length.toString(16);
  const out = Buffer.allocUnsafe(size.length + content.length + 4);
  const start = out.write(`${size}\r\n`, 0, 'latin1');
  content.copy(out, start);
  out[out.length - 2] = CR;
  out[out.length - 1] = LF;
  return out;
}

/** @param trailers  fields, each with its CRLF */
export function encodeLastChunk(trailers: string): Buffer {
  return Buffer.from(`0\r\n${trailers}\r\n`, 'latin1');
}

/** As the bytes of a body of kind `frames` go out in HTTP/1.1. @returns undefined when there is nothing to send */
export function chunksOf(content: Buffer | undefined, isEnd: boolean, trailers: string): Buffer | undefined {
  const chunk = content === undefined || content.length === 0 ? undefined : encodeChunk(content);
  if (!isEnd) return chunk;
  const last = encodeLastChunk(trailers);
  return chunk === undefined ? last : Buffer.concat([chunk, last]);
}
