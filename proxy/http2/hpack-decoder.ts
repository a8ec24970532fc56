import { ErrorCode, Http2Error } from './errors.ts';
import { Field } from '../http/field.ts';
import { DYNAMIC_BYTES_MAX, DYNAMIC_START, ENTRY_OVERHEAD, EntryQueue, STATIC_TABLE } from './hpack-table.ts';
import { decodeHuffman } from './huffman.ts';

/** Largest integer that is of use: lengths and indexes are far below. */
const INTEGER_MAX = 2 ** 24;

/** Reads header blocks (RFC 7541). Strings are latin1. One per connection. */
export class HpackDecoder {
  readonly #table = new EntryQueue<Field>();
  #tableBytes = 0;
  #tableBytesMax = DYNAMIC_BYTES_MAX;
  #block: Buffer = Buffer.alloc(0);
  #at = 0;
  #end = 0;
  /** The fields of the last block. One array for all of them: a new one would grow with each field. */
  readonly #fields: Field[] = [];
  #count = 0;

  /**
   * @returns the fields, in order, valid until the next call
   * @throws Http2Error  COMPRESSION_ERROR: the connection cannot go on
   */
  decode(block: Buffer, start = 0, end = block.length): readonly Field[] {
    this.#block = block;
    this.#at = start;
    this.#end = end;
    this.#count = 0;
    let mayResize = true;
    while (this.#at < end) {
      const first = block[this.#at] as number;
      if ((first & 0xe0) === 0x20) {
        if (!mayResize) throw compression('a table size update after a field');
        this.#resize(this.#integer(5));
        continue;
      }
      mayResize = false;
      if ((first & 0x80) !== 0) {
        this.#add(this.#entry(this.#integer(7)));
        continue;
      }
      const isIndexed = (first & 0x40) !== 0;
      const index = this.#integer(isIndexed ? 6 : 4);
      const name = index === 0 ? this.#string() : this.#entry(index).name;
      const field = new Field(name, this.#string());
      if (isIndexed) this.#insert(field);
      this.#add(field);
    }
    this.#fields.length = this.#count;
    return this.#fields;
  }

  #add(field: Field): void {
    this.#fields[this.#count] = field;
    this.#count += 1;
  }

  #entry(index: number): Field {
    const entry = index < DYNAMIC_START ? STATIC_TABLE[index - 1] : this.#table.newest(index - DYNAMIC_START);
    if (entry === undefined) throw compression(`index ${index} is in no table`);
    return entry;
  }

  #integer(bits: number): number {
    const mask = (1 << bits) - 1;
    let value = this.#byte() & mask;
    if (value < mask) return value;
    for (let factor = 1; ; factor *= 128) {
      const byte = this.#byte();
      value += (byte & 127) * factor;
      if (value > INTEGER_MAX || factor > INTEGER_MAX) throw compression('an integer that is too large');
      if ((byte & 128) === 0) return value;
    }
  }

  #byte(): number {
    const byte = this.#at < this.#end ? this.#block[this.#at] : undefined;
    if (byte === undefined) throw compression('the header block ends inside a field');
    this.#at += 1;
    return byte;
  }

  #string(): string {
    const isHuffman = this.#at < this.#end && ((this.#block[this.#at] ?? 0) & 128) !== 0;
    const length = this.#integer(7);
    const start = this.#at;
    const end = start + length;
    if (end > this.#end) throw compression('a string is longer than its header block');
    this.#at = end;
    if (!isHuffman) return this.#block.toString('latin1', start, end);
    const text = decodeHuffman(this.#block, start, end);
    if (text === undefined) throw compression('a string is no valid Huffman code');
    return text;
  }

  #insert(entry: Field): void {
    const bytes = sizeOf(entry);
    this.#evict(this.#tableBytesMax - bytes);
    if (bytes > this.#tableBytesMax) return;
    this.#table.push(entry);
    this.#tableBytes += bytes;
  }

  #resize(bytes: number): void {
    if (bytes > DYNAMIC_BYTES_MAX) throw compression(`a table size above ${DYNAMIC_BYTES_MAX}`);
    this.#tableBytesMax = bytes;
    this.#evict(bytes);
  }

  #evict(bytesMax: number): void {
    while (this.#tableBytes > bytesMax) {
      const oldest = this.#table.shift();
      if (oldest === undefined) return;
      this.#tableBytes -= sizeOf(oldest);
    }
  }
}

function sizeOf({ name, value }: Field): number {
  return name.length + value.length + ENTRY_OVERHEAD;
}

function compression(reason: string): Http2Error {
  return new Http2Error(ErrorCode.COMPRESSION_ERROR, `malformed header block: ${reason}`);
}
