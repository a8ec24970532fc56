import { trimmed } from '../http/field-text.ts';
import type { Field } from '../http/field.ts';
import { DYNAMIC_BYTES_MAX, DYNAMIC_START, ENTRY_OVERHEAD, EntryQueue, STATIC_TABLE } from './hpack-table.ts';

/** Fields with longer text are not worth a place in the table. */
const INDEXED_BYTES_MAX = 1024;
/** Lines remembered to recognize one that comes a second time. */
const SEEN_MAX = 256;
/** Secrets: never in a table, here or at the next hop (RFC 7541 section 7.1.3). */
const SECRET: ReadonlySet<string> = new Set(['authorization', 'cookie', 'proxy-authorization', 'set-cookie']);

const NAMES = new Map<string, number>();
const FIELDS = new Map<string, number>();
for (const [at, { name, value }] of STATIC_TABLE.entries()) {
  if (!NAMES.has(name)) NAMES.set(name, at + 1);
  if (value !== '') FIELDS.set(`${name}: ${value}`, at + 1);
}

/**
 * Writes header blocks (RFC 7541), without Huffman code: it saves few bytes for much time. A field enters the table when
 * it comes for the second time, so that what differs in every request does not push out what repeats.
 */
export class HpackEncoder {
  #out = Buffer.allocUnsafeSlow(4096);
  #length = 0;
  readonly #byLine = new Map<string, number>(); // absolute index, of insertion
  readonly #queue = new EntryQueue<{ readonly line: string; readonly bytes: number }>();
  #tableBytes = 0;
  #tableBytesMax = DYNAMIC_BYTES_MAX;
  #insertions = 0;
  readonly #seen = new Set<string>();
  /** Of each name that `field` was called with, the last value and its line: mostly the next one too. */
  readonly #last = new Map<string, { value: string; line: string }>();
  #linesBefore = '';
  #split: string[] = [];
  #mustAnnounceSize = false;

  /** The peer's SETTINGS_HEADER_TABLE_SIZE; not more than our own maximum is used. */
  resize(bytes: number): void {
    const bytesMax = Math.min(bytes, DYNAMIC_BYTES_MAX);
    if (bytesMax === this.#tableBytesMax) return;
    this.#tableBytesMax = bytesMax;
    this.#evict(bytesMax);
    this.#mustAnnounceSize = true;
  }

  begin(): void {
    this.#length = 0;
    if (!this.#mustAnnounceSize) return;
    this.#mustAnnounceSize = false;
    this.#reserve(8);
    this.#integer(this.#tableBytesMax, 5, 0x20);
  }

  /** @param name  in lower case, one of few */
  field(name: string, value: string): void {
    const last = this.#last.get(name);
    if (last?.value === value) {
      this.#write(last.line, name, value);
      return;
    }
    const line = `${name}: ${value}`;
    if (last === undefined) this.#last.set(name, { value, line });
    else {
      last.value = value;
      last.line = line;
    }
    this.#write(line, name, value);
  }

  /** A field as it was received. */
  received(field: Field): void {
    this.#write(field.text, field.name, field.value);
  }

  /** @param line  `Name: value` of an HTTP/1 head, without CRLF */
  line(line: string): void {
    const index = this.#byLine.get(line);
    if (index !== undefined) {
      this.#indexed(index);
      return;
    }
    const colon = line.indexOf(':');
    this.#write(line, line.slice(0, colon).toLowerCase(), trimmed(line.slice(colon + 1)));
  }

  /** @param lines  fields, each with its CRLF; mostly those of the call before */
  lines(lines: string): void {
    if (lines === '') return;
    if (lines !== this.#linesBefore) {
      this.#linesBefore = lines;
      this.#split = lines.split('\r\n');
      this.#split.pop();
    }
    for (const line of this.#split) this.line(line);
  }

  /** The block since `begin` stands at its beginning; valid until the next `begin`. */
  get block(): Buffer {
    return this.#out;
  }

  /** Bytes of the block. */
  get length(): number {
    return this.#length;
  }

  #write(line: string, name: string, value: string): void {
    const dynamic = this.#byLine.get(line);
    if (dynamic !== undefined) {
      this.#indexed(dynamic);
      return;
    }
    this.#reserve(name.length + value.length + 32);
    const fixed = FIELDS.get(line);
    if (fixed !== undefined) {
      this.#integer(fixed, 7, 0x80);
      return;
    }
    const isSecret = SECRET.has(name);
    const isInserted = !isSecret && this.#isWorthInserting(line, name.length + value.length + ENTRY_OVERHEAD);
    const nameIndex = NAMES.get(name) ?? 0;
    if (isInserted) this.#integer(nameIndex, 6, 0x40);
    else this.#integer(nameIndex, 4, isSecret ? 0x10 : 0);
    if (nameIndex === 0) this.#string(name);
    this.#string(value);
    if (isInserted) this.#insert(line, name.length + value.length + ENTRY_OVERHEAD);
  }

  #isWorthInserting(line: string, bytes: number): boolean {
    if (bytes > INDEXED_BYTES_MAX || bytes > this.#tableBytesMax) return false;
    if (this.#seen.delete(line)) return true;
    if (this.#seen.size >= SEEN_MAX) this.#seen.clear();
    this.#seen.add(line);
    return false;
  }

  #insert(line: string, bytes: number): void {
    this.#evict(this.#tableBytesMax - bytes);
    this.#queue.push({ line, bytes });
    this.#tableBytes += bytes;
    this.#byLine.set(line, this.#insertions);
    this.#insertions += 1;
  }

  #evict(bytesMax: number): void {
    while (this.#tableBytes > bytesMax) {
      const oldest = this.#queue.shift();
      if (oldest === undefined) return;
      this.#tableBytes -= oldest.bytes;
      this.#byLine.delete(oldest.line);
    }
  }

  #indexed(insertion: number): void {
    this.#reserve(8);
    this.#integer(DYNAMIC_START + this.#insertions - 1 - insertion, 7, 0x80);
  }

  #reserve(bytes: number): void {
    if (this.#length + bytes <= this.#out.length) return;
    const larger = Buffer.allocUnsafeSlow(2 * (this.#length + bytes));
    this.#out.copy(larger, 0, 0, this.#length);
    this.#out = larger;
  }

  #integer(value: number, bits: number, flags: number): void {
    const out = this.#out;
    const mask = (1 << bits) - 1;
    if (value < mask) {
      out[this.#length] = flags | value;
      this.#length += 1;
      return;
    }
    out[this.#length] = flags | mask;
    this.#length += 1;
    let rest = value - mask;
    for (; rest > 127; rest >>>= 7) {
      out[this.#length] = (rest & 127) | 128;
      this.#length += 1;
    }
    out[this.#length] = rest;
    this.#length += 1;
  }

  #string(text: string): void {
    this.#integer(text.length, 7, 0);
    this.#length += this.#out.write(text, this.#length, 'latin1');
  }
}
