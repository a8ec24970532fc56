import asn1, { type Asn1Node } from 'node-forge/lib/asn1.js';
import { Asn1Error, childrenOf, contentsOf, decodeDer, encodeDer, TAG, tagOf, toForge } from './der.ts';

/** One element that was read. */
export class Element {
  readonly tag: number;
  readonly #node: Asn1Node;

  constructor(node: Asn1Node) {
    this.tag = tagOf(node);
    this.#node = node;
  }

  /** The element with tag and length. */
  get der(): Buffer {
    return encodeDer(this.#node); // the bytes that were read: `decodeDer` takes nothing else
  }

  /** Without tag and length; empty when the element is constructed. */
  get contents(): Buffer {
    return contentsOf(this.#node);
  }

  /** The elements in this one. */
  get children(): Reader {
    return new Reader(childrenOf(this.#node));
  }
}

/** Walks elements in order. Every method throws Asn1Error, naming `what` was to be read. */
export class Reader {
  readonly #nodes: readonly Asn1Node[];
  #next = 0;

  constructor(nodes: readonly Asn1Node[]) {
    this.#nodes = nodes;
  }

  /** One element that is all of the input. The caller bounds the length of the input. */
  static of(what: string, der: Uint8Array): Reader {
    return new Reader([decodeDer(what, der)]);
  }

  /** What is in a sequence that is all of the input. */
  static ofSequence(what: string, der: Uint8Array): Reader {
    return Reader.of(what, der).enter(what);
  }

  get isAtEnd(): boolean {
    return this.#next === this.#nodes.length;
  }

  read(what: string, expectedTag?: number): Element {
    const node = this.#nodes[this.#next];
    if (node === undefined) throw new Asn1Error(`${what}: missing`);
    const tag = tagOf(node);
    if (expectedTag !== undefined && tag !== expectedTag) {
      throw new Asn1Error(`${what}: expected tag 0x${expectedTag.toString(16)}, found 0x${tag.toString(16)}`);
    }
    this.#next += 1;
    return new Element(node);
  }

  /** The next element if it has this tag. */
  readOptional(what: string, tag: number): Element | undefined {
    const node = this.#nodes[this.#next];
    return node !== undefined && tagOf(node) === tag ? this.read(what, tag) : undefined;
  }

  /** What is in the next element. */
  enter(what: string, tag: number = TAG.sequence): Reader {
    return this.read(what, tag).children;
  }

  /** Fails when something is left. */
  end(what: string): void {
    if (!this.isAtEnd)
      throw new Asn1Error(`${what}: unexpected element 0x${this.read(what).tag.toString(16)} at the end`);
  }

  /** Dotted text. An identifier that has no exact one, with numbers over 32 bits, becomes a text that equals no other. */
  readOid(what: string): string {
    const bytes = this.read(what, TAG.oid).contents;
    if (bytes.length === 0 || bytes.length > OID_BYTES_MAX) throw new Asn1Error(`${what}: not an object identifier`);
    try {
      const dotted = asn1.derToOid(toForge(bytes));
      if (asn1.oidToDer(dotted).getBytes() === toForge(bytes)) return dotted;
    } catch {
      // a number that node-forge cannot hold
    }
    return `0x${bytes.toString('hex')}`;
  }

  /** Two's complement, big-endian, at least one byte. */
  readInteger(what: string): Buffer {
    const bytes = this.read(what, TAG.integer).contents;
    if (bytes.length === 0) throw new Asn1Error(`${what}: an integer without a value`);
    return bytes;
  }

  /** An integer from 0 to 2^31 - 1. */
  readCount(what: string): number {
    const bytes = this.readInteger(what);
    if (bytes.length > 4 || (bytes[0] ?? 0) >= 0x80) throw new Asn1Error(`${what}: not a number from 0 to 2147483647`);
    return bytes.readUIntBE(0, bytes.length);
  }

  /** False when it is left out. */
  readFlag(what: string): boolean {
    const bytes = this.readOptional(what, TAG.boolean)?.contents;
    if (bytes === undefined) return false;
    if (bytes.length !== 1 || (bytes[0] !== 0 && bytes[0] !== 0xff)) throw new Asn1Error(`${what}: not a boolean`);
    return bytes[0] === 0xff;
  }

  /** A bit string of whole bytes. */
  readWholeBytes(what: string): Buffer {
    const bytes = this.read(what, TAG.bitString).contents;
    if (bytes[0] !== 0) throw new Asn1Error(`${what}: not a bit string of whole bytes`);
    return bytes.subarray(1);
  }

  /** Milliseconds since 1970 of a UTCTime (1950 to 2049) or GeneralizedTime in the only form that RFC 5280 section 4.1.2.5 allows. */
  readTime(what: string): number {
    const element = this.read(what);
    const text = element.contents.toString('latin1');
    const [parse, format] =
      element.tag === TAG.utcTime
        ? [asn1.utcTimeToDate, asn1.dateToUtcTime]
        : [asn1.generalizedTimeToDate, asn1.dateToGeneralizedTime];
    const isTime = element.tag === TAG.utcTime || element.tag === TAG.generalizedTime;
    if (!isTime || !/^(\d\d)?\d{12}Z$/.test(text)) throw new Asn1Error(`${what}: not a time`);
    const date = parse(text);
    if (format(date) !== text) throw new Asn1Error(`${what}: ${text} is not a time`); // the 31st of February
    return date.getTime();
  }
}

const OID_BYTES_MAX = 64;
