/** Writes DER, as much as an X.509 certificate with an EC key needs. Source: ITU-T X.690. */
const INTEGER = 0x02;
const BIT_STRING = 0x03;
const OCTET_STRING = 0x04;
const OBJECT_IDENTIFIER = 0x06;
const UTF8_STRING = 0x0c;
const UTC_TIME = 0x17;
const GENERALIZED_TIME = 0x18;
const SEQUENCE = 0x30;
const SET = 0x31;

export function tagged(tag: number, ...contents: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(contents);
  return Buffer.concat([Buffer.from([tag]), lengthOctets(body.length), body]);
}

function lengthOctets(length: number): Buffer {
  if (length < 0x80) return Buffer.from([length]);
  const hex = length.toString(16);
  const octets = Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex');
  return Buffer.concat([Buffer.from([0x80 | octets.length]), octets]);
}

export function sequence(...contents: readonly Uint8Array[]): Buffer {
  return tagged(SEQUENCE, ...contents);
}

export function set(...contents: readonly Uint8Array[]): Buffer {
  return tagged(SET, ...contents);
}

/** @param octets  big-endian, non-negative; leading zeros are dropped */
export function integer(octets: Uint8Array): Buffer {
  const first = octets.findIndex((octet) => octet !== 0);
  const body = first === -1 ? Buffer.from([0]) : Buffer.from(octets.subarray(first));
  return tagged(INTEGER, (body[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.from([0]), body]) : body);
}

/** @param unusedBits  bits at the end of the last octet that do not belong to the string, 0..7 */
export function bitString(octets: Uint8Array, unusedBits = 0): Buffer {
  return tagged(BIT_STRING, Buffer.from([unusedBits]), octets);
}

export function octetString(octets: Uint8Array): Buffer {
  return tagged(OCTET_STRING, octets);
}

export function utf8String(text: string): Buffer {
  return tagged(UTF8_STRING, Buffer.from(text, 'utf8'));
}

/** Tagged value of a CHOICE, primitive: `[tag] IMPLICIT`. */
export function contextPrimitive(tag: number, octets: Uint8Array): Buffer {
  return tagged(0x80 | tag, octets);
}

/** `[tag] EXPLICIT`. */
export function contextConstructed(tag: number, ...contents: readonly Uint8Array[]): Buffer {
  return tagged(0xa0 | tag, ...contents);
}

export function boolean(value: boolean): Buffer {
  return tagged(0x01, Buffer.from([value ? 0xff : 0]));
}

/** Whole seconds, UTC; the form that RFC 5280 asks for, which changes with the year 2050. */
export function time(timeMs: number): Buffer {
  const digits = new Date(timeMs).toISOString().replace(/[-:T]/g, '').slice(0, 14);
  if (Number(digits.slice(0, 4)) < 2050) return tagged(UTC_TIME, Buffer.from(`${digits.slice(2)}Z`));
  return tagged(GENERALIZED_TIME, Buffer.from(`${digits}Z`));
}

/** @param dotted  such as `1.2.840.10045.4.3.2` */
export function objectIdentifier(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number);
  const octets = [first * 40 + second, ...rest].flatMap(base128);
  return tagged(OBJECT_IDENTIFIER, Buffer.from(octets));
}

function base128(value: number): number[] {
  const octets = [value & 0x7f];
  for (let left = value >>> 7; left > 0; left >>>= 7) octets.unshift(0x80 | (left & 0x7f));
  return octets;
}
