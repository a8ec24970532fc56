/** Reads and writes DER, as much of it as X.509 and PKCS#10 need. Source: ITU-T X.690. */
export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  utf8String: 0x0c,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

/** Input that is not the DER we expect. The message says what was expected. */
export class Asn1Error extends Error {
  override readonly name = 'Asn1Error';
}

/** One element: `raw` with tag and length, `value` without. Both are views into the input. */
export type Element = { readonly tag: number; readonly raw: Buffer; readonly value: Buffer };

/** Walks the elements of a constructed value in order. */
export class Reader {
  readonly #bytes: Buffer;
  #offset = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get isAtEnd(): boolean {
    return this.#offset === this.#bytes.length;
  }

  /** Tag of the next element, or nothing at the end. */
  peekTag(): number | undefined {
    return this.#bytes[this.#offset];
  }

  /** @throws Asn1Error  at the end, on another tag than expected, or on a length that is not DER */
  read(what: string, expectedTag?: number): Element {
    const start = this.#offset;
    const tag = this.#byte(start, what);
    if (expectedTag !== undefined && tag !== expectedTag) {
      throw new Asn1Error(`${what}: expected tag 0x${expectedTag.toString(16)}, found 0x${tag.toString(16)}`);
    }
    if ((tag & 0x1f) === 0x1f) throw new Asn1Error(`${what}: long tags are not supported`);
    const { length, offset } = this.#length(start + 1, what);
    const end = offset + length;
    if (end > this.#bytes.length) throw new Asn1Error(`${what}: cut off`);
    this.#offset = end;
    return { tag, raw: this.#bytes.subarray(start, end), value: this.#bytes.subarray(offset, end) };
  }

  /** The next element if it has this tag. */
  readOptional(what: string, tag: number): Element | undefined {
    return this.peekTag() === tag ? this.read(what, tag) : undefined;
  }

  /** The next element, to be walked itself. */
  enter(what: string, tag: number = TAG.sequence): Reader {
    return new Reader(this.read(what, tag).value);
  }

  /** @throws Asn1Error  when something is left */
  end(what: string): void {
    if (!this.isAtEnd) throw new Asn1Error(`${what}: unexpected bytes at the end`);
  }

  #byte(offset: number, what: string): number {
    const byte = this.#bytes[offset];
    if (byte === undefined) throw new Asn1Error(`${what}: cut off`);
    return byte;
  }

  #length(start: number, what: string): { length: number; offset: number } {
    const first = this.#byte(start, what);
    if (first < 0x80) return { length: first, offset: start + 1 };
    const octets = first & 0x7f;
    if (octets === 0 || octets > 3) throw new Asn1Error(`${what}: length is not DER or too large`);
    let length = 0;
    for (let index = 1; index <= octets; index += 1) length = length * 256 + this.#byte(start + index, what);
    if (length < 0x80 || length < 256 ** (octets - 1)) throw new Asn1Error(`${what}: length is not minimal`);
    return { length, offset: start + 1 + octets };
  }
}

/** Dotted text of an object identifier's value. */
export function oidText(value: Buffer): string {
  const arcs: number[] = [];
  let arc = 0;
  for (const byte of value) {
    arc = arc * 128 + (byte & 0x7f);
    if (byte >= 0x80) continue;
    arcs.push(arc);
    arc = 0;
  }
  const [first = 0, ...rest] = arcs;
  const top = Math.min(2, Math.floor(first / 40));
  return [top, first - top * 40, ...rest].join('.');
}

/** Milliseconds since 1970 of a UTCTime or GeneralizedTime in the form RFC 5280 requires. */
export function timeMs(element: Element): number {
  const text = element.value.toString('latin1');
  const isUtcTime = element.tag === TAG.utcTime;
  if (!(isUtcTime ? /^\d{12}Z$/ : /^\d{14}Z$/).test(text)) throw new Asn1Error(`"${text}" is not a time`);
  const digits = isUtcTime ? `${Number(text.slice(0, 2)) >= 50 ? '19' : '20'}${text}` : text;
  const part = (from: number, to: number): number => Number(digits.slice(from, to));
  return Date.UTC(part(0, 4), part(4, 6) - 1, part(6, 8), part(8, 10), part(10, 12), part(12, 14));
}

export function element(tag: number, ...contents: readonly Uint8Array[]): Buffer {
  const length = contents.reduce((sum, content) => sum + content.length, 0);
  return Buffer.concat([Buffer.from([tag, ...lengthOctets(length)]), ...contents]);
}

function lengthOctets(length: number): readonly number[] {
  if (length < 0x80) return [length];
  const octets: number[] = [];
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) octets.unshift(rest % 256);
  return [0x80 | octets.length, ...octets];
}

export function sequence(...contents: readonly Uint8Array[]): Buffer {
  return element(TAG.sequence, ...contents);
}

export function set(...contents: readonly Uint8Array[]): Buffer {
  return element(TAG.set, ...contents);
}

/** @param magnitude  big-endian, read as a non-negative number */
export function integer(magnitude: Uint8Array): Buffer {
  const first = magnitude.findIndex((byte) => byte !== 0);
  const body = first === -1 ? Buffer.from([0]) : Buffer.from(magnitude.subarray(first));
  return element(TAG.integer, (body[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.from([0]), body]) : body);
}

export function boolean(value: boolean): Buffer {
  return element(TAG.boolean, Buffer.from([value ? 0xff : 0x00]));
}

export function oid(dotted: string): Buffer {
  const [top = 0, second = 0, ...rest] = dotted.split('.').map(Number);
  return element(TAG.oid, Buffer.from([top * 40 + second, ...rest].flatMap(base128)));
}

function base128(arc: number): readonly number[] {
  const bytes = [arc % 128];
  for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128)) bytes.unshift(0x80 | (left % 128));
  return bytes;
}

/** @param unusedBits  bits at the end of the last byte that do not belong to the string, 0..7 */
export function bitString(bytes: Uint8Array, unusedBits = 0): Buffer {
  return element(TAG.bitString, Buffer.from([unusedBits]), bytes);
}

export function octetString(bytes: Uint8Array): Buffer {
  return element(TAG.octetString, bytes);
}

export function utf8String(text: string): Buffer {
  return element(TAG.utf8String, Buffer.from(text, 'utf8'));
}

/** UTCTime up to 2049 and GeneralizedTime after it, whole seconds. Source: RFC 5280 section 4.1.2.5. */
export function time(ms: number): Buffer {
  const digits = new Date(ms).toISOString().replaceAll(/[-:T]|\.\d+Z$/g, '');
  const isUtcTime = Number(digits.slice(0, 4)) < 2050;
  return element(
    isUtcTime ? TAG.utcTime : TAG.generalizedTime,
    Buffer.from(`${isUtcTime ? digits.slice(2) : digits}Z`),
  );
}

/** `[number]` around elements (explicit), or in place of a constructed tag (implicit). */
export function contextConstructed(number: number, ...contents: readonly Uint8Array[]): Buffer {
  return element(0xa0 | number, ...contents);
}

/** `[number]` in place of a primitive tag (implicit). */
export function contextPrimitive(number: number, bytes: Uint8Array): Buffer {
  return element(0x80 | number, bytes);
}
