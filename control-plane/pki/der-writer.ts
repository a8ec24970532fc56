import asn1, { type Asn1Node } from 'node-forge/lib/asn1.js';
import { Asn1Error, createNode, TAG } from './der.ts';

export function sequence(...contents: readonly Asn1Node[]): Asn1Node {
  return createNode(TAG.sequence, contents);
}

export function set(...contents: readonly Asn1Node[]): Asn1Node {
  return createNode(TAG.set, contents);
}

/** @param value  32 bits with sign */
export function integer(value: number): Asn1Node {
  return createNode(TAG.integer, fromForge(asn1.integerToDer(value)));
}

/** @param bytes  two's complement, big-endian, the shortest form */
export function longInteger(bytes: Uint8Array): Asn1Node {
  return createNode(TAG.integer, bytes);
}

export function boolean(value: boolean): Asn1Node {
  return createNode(TAG.boolean, Buffer.from([value ? 0xff : 0x00]));
}

export function oid(dotted: string): Asn1Node {
  return createNode(TAG.oid, fromForge(asn1.oidToDer(dotted)));
}

/** @param unusedBits  bits at the end of the last byte that do not belong to the string, 0..7 */
export function bitString(bytes: Uint8Array, unusedBits = 0): Asn1Node {
  return createNode(TAG.bitString, Buffer.concat([Buffer.from([unusedBits]), bytes]));
}

export function octetString(bytes: Uint8Array): Asn1Node {
  return createNode(TAG.octetString, bytes);
}

export function utf8String(text: string): Asn1Node {
  return createNode(TAG.utf8String, Buffer.from(text, 'utf8'));
}

/**
 * UTCTime up to 2049 and GeneralizedTime after it, whole seconds. Source: RFC 5280 section 4.1.2.5.
 *
 * @throws Asn1Error  before 1950 and after 9999
 */
export function time(ms: number): Asn1Node {
  const date = new Date(ms);
  const year = date.getUTCFullYear();
  if (!(year >= 1950 && year <= 9999)) throw new Asn1Error(`time: ${ms} ms is not in the years 1950 to 9999`);
  return year < 2050
    ? createNode(TAG.utcTime, Buffer.from(asn1.dateToUtcTime(date)))
    : createNode(TAG.generalizedTime, Buffer.from(asn1.dateToGeneralizedTime(date)));
}

/** `[number]` around elements (explicit), or in place of a constructed tag (implicit). */
export function contextConstructed(number: number, ...contents: readonly Asn1Node[]): Asn1Node {
  return createNode(0xa0 | number, contents);
}

/** `[number]` in place of a primitive tag (implicit). */
export function contextPrimitive(number: number, bytes: Uint8Array): Asn1Node {
  return createNode(0x80 | number, bytes);
}

function fromForge(bytes: { getBytes(): string }): Buffer {
  return Buffer.from(bytes.getBytes(), 'latin1');
}
