import type { JsonObject } from '../object.ts';
import type { MutableObject } from '../objects/json.ts';
import { isObject, isShallow, maxDepth, setField } from '../objects/json.ts';
import { badRequest, StatusError, tooLarge } from '../status-error.ts';
import type { MessageField, MessageType } from './message-descriptor.ts';
import { messageDescriptor, messageOfKind } from './message-descriptor.ts';
import type { WireType } from './wire-reader.ts';
import { WireError, WireReader } from './wire-reader.ts';

export const PROTOBUF_TYPE = 'application/vnd.kubernetes.protobuf';

const MAGIC = [0x6b, 0x38, 0x73, 0x00] as const; // "k8s" NUL
const BODY_BYTES_MAX = 3 * 1024 * 1024; // what kube-apiserver takes
const VALUES_MAX = 200_000; // an empty message costs two bytes on the wire and a hundred in memory
const DEPTH_MAX = 100; // no built-in kind but JSON schemas nests deeper than 15

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export function isProtobuf(contentType: string | undefined): boolean {
  return contentType?.split(';')[0]?.trim().toLowerCase() === PROTOBUF_TYPE;
}

/**
 * A request body in `application/vnd.kubernetes.protobuf` as the JSON object that Go would have written, except that empty
 * optional structs are left out.
 *
 * Throws StatusError 400 for bytes that are no such body, 413 for too many, 415 for a kind that is not known here.
 */
export function decodeProtobuf(body: Uint8Array): JsonObject {
  if (body.length > BODY_BYTES_MAX) throw tooLarge(BODY_BYTES_MAX);
  try {
    const { apiVersion, kind, raw, encoding, type } = readEnvelope(body);
    if (encoding !== '') throw new WireError(`content encoding "${encoding}" is not supported`);
    const object = type === 'application/json' ? parseRaw(raw) : decodeKind(apiVersion, kind, raw);
    if (!isObject(object) || !isShallow(object, maxDepth)) throw new WireError('not an object');
    return { apiVersion, kind, ...object };
  } catch (error) {
    if (error instanceof WireError) throw badRequest(`unable to decode the protobuf body: ${error.message}`, error);
    throw error;
  }
}

type Envelope = { apiVersion: string; kind: string; raw: Uint8Array; encoding: string; type: string };

/** Source: apimachinery `runtime.Unknown` behind four magic bytes. */
function readEnvelope(body: Uint8Array): Envelope {
  if (MAGIC.some((byte, index) => body[index] !== byte)) throw new WireError('it does not start with k8s\\x00');
  const envelope: Envelope = { apiVersion: '', kind: '', raw: new Uint8Array(), encoding: '', type: '' };
  eachField(body.subarray(MAGIC.length), (number, bytes) => {
    if (number === 1) Object.assign(envelope, readTypeMeta(bytes()));
    else if (number === 2) envelope.raw = bytes();
    else if (number === 3) envelope.encoding = text(bytes());
    else if (number === 4) envelope.type = text(bytes());
  });
  return envelope;
}

function readTypeMeta(message: Uint8Array): { apiVersion: string; kind: string } {
  const meta = { apiVersion: '', kind: '' };
  eachField(message, (number, bytes) => {
    if (number === 1) meta.apiVersion = text(bytes());
    else if (number === 2) meta.kind = text(bytes());
  });
  return meta;
}

function decodeKind(apiVersion: string, kind: string, raw: Uint8Array): JsonObject {
  const message = messageOfKind(apiVersion, kind);
  if (message === undefined) {
    const why = `kind "${kind}" of version "${apiVersion}" cannot be sent as protobuf, send application/json`;
    throw new StatusError(415, 'UnsupportedMediaType', why, {});
  }
  return new Decoder().message(message, raw, 0);
}

/** Calls `visit` for each length-delimited field, skipping all others. */
function eachField(message: Uint8Array, visit: (number: number, bytes: () => Uint8Array) => void): void {
  const reader = new WireReader(message);
  for (let tag = reader.next(); tag !== undefined; tag = reader.next()) {
    if (tag.wire !== 2) reader.skip(tag.wire);
    else {
      const bytes = reader.bytes();
      visit(tag.number, () => bytes);
    }
  }
}

/** Decodes one body; counts what it makes. */
class Decoder {
  #values = 0;

  message(name: string, bytes: Uint8Array, depth: number): JsonObject {
    if (depth > DEPTH_MAX) throw new WireError(`messages are nested deeper than ${DEPTH_MAX}`);
    const object: MutableObject = {};
    this.#fields(object, name, bytes, depth);
    return object;
  }

  /** Fields of an inline message go into the object around it. */
  #fields(object: MutableObject, name: string, bytes: Uint8Array, depth: number): void {
    const descriptor = messageDescriptor(name);
    const reader = new WireReader(bytes);
    for (let tag = reader.next(); tag !== undefined; tag = reader.next()) {
      const field = descriptor.get(tag.number);
      if (field === undefined) reader.skip(tag.wire);
      else if (field.isInline && field.type.kind === 'message') {
        expectWire(tag.wire, 2, field.type.name);
        this.#fields(object, field.type.name, reader.bytes(), depth + 1);
      } else this.#field(object, field, tag.wire, reader, depth);
    }
  }

  #field(object: MutableObject, field: MessageField, wire: WireType, reader: WireReader, depth: number): void {
    const { name, type } = field;
    const known = Object.hasOwn(object, name) ? object[name] : undefined;
    if (type.kind === 'list') {
      const list = Array.isArray(known) ? (known as unknown[]) : [];
      this.#append(list, type.of, wire, reader, depth);
      setField(object, name, list);
    } else if (type.kind === 'map') {
      const map: MutableObject = isObject(known) ? known : {};
      this.#entry(map, type.of, wire, reader, depth);
      setField(object, name, map);
    } else {
      const value = this.#value(type, wire, reader, depth);
      if (value !== undefined && !(field.omitsEmpty && isEmpty(value))) setField(object, name, value);
    }
  }

  /** One element, or all of a packed list of numbers. */
  #append(list: unknown[], type: MessageType, wire: WireType, reader: WireReader, depth: number): void {
    if (type.kind === 'integer' && wire === 2) {
      const packed = new WireReader(reader.bytes());
      while (!packed.isAtEnd) list.push(this.#value(type, 0, packed, depth));
    } else list.push(this.#value(type, wire, reader, depth) ?? null);
  }

  /** Source: protobuf maps are lists of messages {1: key, 2: value}. */
  #entry(map: MutableObject, type: MessageType, wire: WireType, reader: WireReader, depth: number): void {
    expectWire(wire, 2, 'map');
    const entry = new WireReader(reader.bytes());
    let key = '';
    let value: unknown;
    for (let tag = entry.next(); tag !== undefined; tag = entry.next()) {
      if (tag.number === 1 && tag.wire === 2) key = text(entry.bytes());
      else if (tag.number === 2) value = this.#value(type, tag.wire, entry, depth + 1);
      else entry.skip(tag.wire);
    }
    setField(map, key, value ?? zeroOf(type));
  }

  #value(type: MessageType, wire: WireType, reader: WireReader, depth: number): unknown {
    this.#values += 1;
    if (this.#values > VALUES_MAX) throw new WireError(`more than ${VALUES_MAX} values`);
    switch (type.kind) {
      case 'boolean':
        expectWire(wire, 0, type.kind);
        return reader.varint() !== 0n;
      case 'integer':
        expectWire(wire, 0, type.kind);
        return Number(BigInt.asIntN(64, reader.varint()));
      case 'double':
        expectWire(wire, 1, type.kind);
        return finite(reader.double());
      default:
        expectWire(wire, 2, type.kind);
        return this.#delimited(type, reader.bytes(), depth);
    }
  }

  #delimited(type: MessageType, bytes: Uint8Array, depth: number): unknown {
    switch (type.kind) {
      case 'string':
        return text(bytes);
      case 'bytes':
        return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64');
      case 'time':
        return timestamp(bytes, false);
      case 'micro-time':
        return timestamp(bytes, true);
      case 'quantity':
        return readSmall(bytes).texts.get(1) ?? '0';
      case 'int-or-string':
        return intOrString(bytes);
      case 'raw-json':
        return parseRaw(first(bytes));
      case 'message':
        return this.message(type.name, bytes, depth + 1);
      case 'items':
        return this.#items(type.of, bytes, depth + 1);
      case 'schema-or':
        return this.#schemaOr(type.other, bytes, depth + 1);
      default:
        throw new WireError(`${type.kind} inside a list`);
    }
  }

  #items(type: MessageType, bytes: Uint8Array, depth: number): unknown[] {
    const list: unknown[] = [];
    const reader = new WireReader(bytes);
    for (let tag = reader.next(); tag !== undefined; tag = reader.next()) {
      if (tag.number === 1) this.#append(list, type, tag.wire, reader, depth);
      else reader.skip(tag.wire);
    }
    return list;
  }

  /** Source: apiextensions v1 `JSONSchemaPropsOrBool`, `...OrArray`, `...OrStringArray`. */
  #schemaOr(other: 'boolean' | 'list' | 'strings', bytes: Uint8Array, depth: number): unknown {
    const schemaNumber = other === 'boolean' ? 2 : 1;
    let schema: JsonObject | undefined;
    let allows = false;
    const list: unknown[] = [];
    const reader = new WireReader(bytes);
    for (let tag = reader.next(); tag !== undefined; tag = reader.next()) {
      if (tag.number === schemaNumber && tag.wire === 2) schema = this.#schema(reader.bytes(), depth);
      else if (other === 'boolean' && tag.number === 1 && tag.wire === 0) allows = reader.varint() !== 0n;
      else if (other === 'list' && tag.number === 2 && tag.wire === 2) list.push(this.#schema(reader.bytes(), depth));
      else if (other === 'strings' && tag.number === 2 && tag.wire === 2) list.push(text(reader.bytes()));
      else reader.skip(tag.wire);
    }
    if (list.length > 0) return list;
    return schema ?? (other === 'boolean' ? allows : undefined);
  }

  #schema(bytes: Uint8Array, depth: number): JsonObject {
    this.#values += 1;
    return this.message('apiextensions.v1.JSONSchemaProps', bytes, depth);
  }
}

function expectWire(got: WireType, wanted: WireType, what: string): void {
  if (got !== wanted) throw new WireError(`wire type ${got} for a field of type ${what}`);
}

function text(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch (error) {
    throw new WireError('a string is not UTF-8', { cause: error });
  }
}

function finite(value: number): number {
  if (!Number.isFinite(value)) throw new WireError(`${value} cannot be written as JSON`);
  return value;
}

/** Numbers and strings of a small message by field number. */
function readSmall(message: Uint8Array): { numbers: Map<number, bigint>; texts: Map<number, string> } {
  const numbers = new Map<number, bigint>();
  const texts = new Map<number, string>();
  const reader = new WireReader(message);
  for (let tag = reader.next(); tag !== undefined; tag = reader.next()) {
    if (tag.wire === 0) numbers.set(tag.number, BigInt.asIntN(64, reader.varint()));
    else if (tag.wire === 2) texts.set(tag.number, text(reader.bytes()));
    else reader.skip(tag.wire);
  }
  return { numbers, texts };
}

/** Field 1 of a message that holds only bytes. */
function first(message: Uint8Array): Uint8Array {
  let found: Uint8Array = new Uint8Array();
  eachField(message, (number, bytes) => {
    if (number === 1) found = bytes();
  });
  return found;
}

/** RFC 3339 in UTC, undefined for Go's zero time. */
function timestamp(message: Uint8Array, hasMicros: boolean): string | undefined {
  if (message.length === 0) return undefined;
  const { numbers } = readSmall(message);
  const seconds = Number(numbers.get(1) ?? 0n);
  const micros = Math.trunc(Number(numbers.get(2) ?? 0n) / 1000);
  const date = new Date(seconds * 1000);
  const year = date.getUTCFullYear();
  if (Number.isNaN(year) || year < 1 || year > 9999 || micros < 0 || micros > 999_999) {
    throw new WireError(`time ${seconds} is out of range`);
  }
  const fraction = hasMicros ? `.${String(micros).padStart(6, '0')}` : '';
  return `${date.toISOString().slice(0, 19)}${fraction}Z`;
}

function intOrString(message: Uint8Array): number | string {
  const { numbers, texts } = readSmall(message);
  return numbers.get(1) === 1n ? (texts.get(3) ?? '') : Number(numbers.get(2) ?? 0n);
}

function parseRaw(bytes: Uint8Array): unknown {
  if (bytes.length === 0) return undefined;
  try {
    return JSON.parse(text(bytes)) as unknown;
  } catch (error) {
    if (error instanceof SyntaxError)
      throw new WireError(`embedded JSON is broken: ${error.message}`, { cause: error });
    throw error;
  }
}

function isEmpty(value: unknown): boolean {
  if (value === '' || value === 0 || value === false) return true;
  return typeof value === 'object' && value !== null && Object.keys(value).length === 0;
}

/** What an absent map value stands for: proto3 encoders leave zero values out. */
function zeroOf(type: MessageType): unknown {
  switch (type.kind) {
    case 'string':
    case 'bytes':
      return '';
    case 'integer':
    case 'double':
      return 0;
    case 'boolean':
      return false;
    case 'quantity':
      return '0';
    case 'list':
    case 'items':
      return [];
    default:
      return {};
  }
}
