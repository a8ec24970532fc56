import asn1, { type Asn1Node } from 'node-forge/lib/asn1.js';

/** First octets of elements: class, constructed or primitive, type. */
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

/** Input that is not the DER we expect, or a value that DER cannot say. The message says what was expected. */
export class Asn1Error extends Error {
  override readonly name = 'Asn1Error';
}

/** A request, the deepest of what we read, has 8 levels. */
const DEPTH_MAX = 16;

const LONG_TAG = 0x1f;
const BMP_STRING = 30;

/**
 * Reads exactly one element, strictly: node-forge takes BER too, so what it read must come out again as the same bytes, which leaves only
 * the shortest lengths and integers, no indefinite lengths and no bytes after the end. Callers bound the length.
 *
 * @param what  names the input in messages
 * @throws Asn1Error
 */
export function decodeDer(what: string, der: Uint8Array): Asn1Node {
  const bytes = toForge(der);
  let node: Asn1Node;
  let isSame: boolean;
  try {
    node = asn1.fromDer(bytes, { decodeBitStrings: false, maxDepth: DEPTH_MAX });
    isSame = asn1.toDer(node).getBytes() === bytes;
  } catch (error) {
    throw new Asn1Error(`${what}: ${problem(error)}`);
  }
  if (!isSame) throw new Asn1Error(`${what}: not DER, which has only one form for a value`);
  if (hasLongTag(node)) throw new Asn1Error(`${what}: long tags are not supported`);
  return node;
}

export function encodeDer(node: Asn1Node): Buffer {
  return Buffer.from(asn1.toDer(node).getBytes(), 'latin1');
}

/** An element by its first octet. */
export function createNode(tag: number, value: Uint8Array | readonly Asn1Node[]): Asn1Node {
  return asn1.create(
    tag & 0xc0,
    tag & 0x1f,
    (tag & 0x20) !== 0,
    value instanceof Uint8Array ? toForge(value) : [...value],
  );
}

export function tagOf(node: Asn1Node): number {
  return node.tagClass | (node.constructed ? 0x20 : 0) | node.type;
}

/** The elements in a constructed one; none in a primitive one. */
export function childrenOf(node: Asn1Node): readonly Asn1Node[] {
  return typeof node.value === 'string' ? [] : node.value;
}

/** What follows the length of a primitive element; nothing of a constructed one. */
export function contentsOf(node: Asn1Node): Buffer {
  if (typeof node.value !== 'string') return Buffer.alloc(0);
  return node.type === BMP_STRING ? Buffer.from(node.value, 'utf16le').swap16() : Buffer.from(node.value, 'latin1');
}

/** Bytes as node-forge takes them: one character for each. */
export function toForge(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}

/** node-forge tells its errors apart by the fields it adds to them. */
function problem(error: unknown): string {
  if (!(error instanceof Error)) return 'not DER';
  if ('requested' in error) return 'cut off';
  if ('byteCount' in error) return 'unexpected bytes at the end';
  return error.message.includes('depth') ? `more than ${DEPTH_MAX} levels` : 'not DER';
}

/** node-forge takes the first octet of a long tag for the whole of it, and so what follows for something else. */
function hasLongTag(node: Asn1Node): boolean {
  return node.type === LONG_TAG || childrenOf(node).some(hasLongTag);
}
