import { align4, host16, readHost16 } from './bytes.ts';

/** A netlink attribute: type and value, which is bytes or more attributes. */
export type Attribute = readonly [type: number, value: Buffer | readonly Attribute[]];

const HEADER_BYTES = 4;
const NESTED = 0x8000;
const TYPE_MASK = 0x3fff;
/** The length field has 16 bits and counts the header. */
const VALUE_BYTES_MAX = 0xffff - HEADER_BYTES;

/** @throws RangeError  if one attribute does not fit in 64 KiB: split lists before */
export function encodeAttributes(attributes: readonly Attribute[]): Buffer {
  const bytes = Buffer.alloc(encodedLength(attributes));
  write(bytes, 0, attributes);
  return bytes;
}

/** The attributes of one level, without the nested bit, which dumps may leave out. Stops at a malformed one. */
export function decodeAttributes(bytes: Buffer): [type: number, value: Buffer][] {
  const found: [number, Buffer][] = [];
  for (let offset = 0; offset + HEADER_BYTES <= bytes.length;) {
    const length = readHost16(bytes, offset);
    if (length < HEADER_BYTES || offset + length > bytes.length) break;
    found.push([readHost16(bytes, offset + 2) & TYPE_MASK, bytes.subarray(offset + HEADER_BYTES, offset + length)]);
    offset += align4(length);
  }
  return found;
}

/** The value of the first attribute of a type. */
export function findAttribute(bytes: Buffer, type: number): Buffer | undefined {
  return decodeAttributes(bytes).find(([candidate]) => candidate === type)?.[1];
}

/**
 * Where a byte of encoded attributes lies, for reading the kernel's complaints: `4[2].1[0]` is the first member (of
 * type 1) of the third attribute (of type 4).
 */
export function attributePath(bytes: Buffer, at: number): string {
  for (let offset = 0, index = 0; offset + HEADER_BYTES <= bytes.length; index += 1) {
    const length = readHost16(bytes, offset);
    if (length < HEADER_BYTES) break;
    if (at < offset + length) {
      const type = readHost16(bytes, offset + 2);
      const here = `${type & TYPE_MASK}[${index}]`;
      const inside = at - offset - HEADER_BYTES;
      if ((type & NESTED) === 0 || inside < 0) return here;
      return `${here}.${attributePath(bytes.subarray(offset + HEADER_BYTES, offset + length), inside)}`;
    }
    offset += align4(length);
  }
  return '?';
}

function encodedLength(attributes: readonly Attribute[]): number {
  return attributes.reduce((sum, [, value]) => sum + HEADER_BYTES + align4(valueLength(value)), 0);
}

function valueLength(value: Attribute[1]): number {
  return Buffer.isBuffer(value) ? value.length : encodedLength(value);
}

/** @returns the offset after what was written */
function write(into: Buffer, start: number, attributes: readonly Attribute[]): number {
  let offset = start;
  for (const [type, value] of attributes) {
    const isNested = !Buffer.isBuffer(value);
    const body = offset + HEADER_BYTES;
    const end = isNested ? write(into, body, value) : body + value.copy(into, body);
    if (end - body > VALUE_BYTES_MAX)
      throw new RangeError(`netlink attribute ${type} of ${end - body} bytes is too long`);
    into.set(host16(end - offset), offset);
    into.set(host16(isNested ? type | NESTED : type), offset + 2);
    offset = align4(end);
  }
  return offset;
}
