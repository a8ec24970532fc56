/** The bytes are no protobuf message; the message says what is wrong. */
export class WireError extends Error {
  override readonly name = 'WireError';
}

/** How a field is encoded: 0 varint, 1 eight bytes, 2 length and bytes, 5 four bytes. Groups (3, 4) are refused. */
export type WireType = 0 | 1 | 2 | 5;
export type FieldTag = { readonly number: number; readonly wire: WireType };

const VARINT_BYTES_MAX = 10;
const FIELD_NUMBER_MAX = 536_870_911;

/** Reads one protobuf message front to back; never beyond `bytes`. Source: protobuf encoding guide. */
export class WireReader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** @returns undefined at the end of the message */
  next(): FieldTag | undefined {
    if (this.#at === this.#bytes.length) return undefined;
    const tag = this.varint();
    const number = Number(tag >> 3n);
    const wire = Number(tag & 7n);
    if (number < 1 || number > FIELD_NUMBER_MAX) throw new WireError(`illegal field number ${number}`);
    if (wire !== 0 && wire !== 1 && wire !== 2 && wire !== 5) throw new WireError(`illegal wire type ${wire}`);
    return { number, wire };
  }

  /** An unsigned 64-bit integer. */
  varint(): bigint {
    let low = 0; // the first four groups fit a number, which is all that most varints have
    for (let index = 0; index < 4; index += 1) {
      const byte = this.#byte();
      low |= (byte & 0x7f) << (7 * index);
      if (byte < 0x80) return BigInt(low);
    }
    let value = BigInt(low);
    for (let index = 4; index < VARINT_BYTES_MAX; index += 1) {
      const byte = this.#byte();
      value |= BigInt(byte & 0x7f) << BigInt(7 * index);
      if (byte < 0x80) return BigInt.asUintN(64, value);
    }
    throw new WireError('varint is longer than 10 bytes');
  }

  /** A view of a length-delimited field, not a copy. */
  bytes(): Uint8Array {
    const length = this.varint();
    if (length > BigInt(this.#bytes.length - this.#at)) throw new WireError('field is longer than the message');
    return this.#take(Number(length));
  }

  double(): number {
    const bytes = this.#take(8);
    return new DataView(bytes.buffer, bytes.byteOffset, 8).getFloat64(0, true);
  }

  skip(wire: WireType): void {
    switch (wire) {
      case 0:
        this.varint();
        return;
      case 1:
        this.#take(8);
        return;
      case 2:
        this.bytes();
        return;
      case 5:
        this.#take(4);
    }
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  #byte(): number {
    const byte = this.#bytes[this.#at];
    if (byte === undefined) throw new WireError('message ends inside a field');
    this.#at += 1;
    return byte;
  }

  #take(count: number): Uint8Array {
    if (count > this.#bytes.length - this.#at) throw new WireError('message ends inside a field');
    const taken = this.#bytes.subarray(this.#at, this.#at + count);
    this.#at += count;
    return taken;
  }
}
