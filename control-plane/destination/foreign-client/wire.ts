import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { MESSAGES, type Field } from './messages.ts';

/** A message as plain values: only fields that were sent; numbers of 64 bits as bigint. */
export type Message = { readonly [field: string]: unknown };

const WIRE_TYPES: Readonly<Record<string, WireType>> = {
  uint32: WireType.Varint,
  int32: WireType.Varint,
  int64: WireType.Varint,
  bool: WireType.Varint,
  fixed32: WireType.Bit32,
  float: WireType.Bit32,
  fixed64: WireType.Bit64,
  double: WireType.Bit64,
};

function fieldsOf(type: string): readonly Field[] {
  const fields = MESSAGES.get(type);
  if (fields === undefined) throw new TypeError(`there is no message ${type}`);
  return fields;
}

/**
 * Reads a message strictly.
 *
 * @throws when it has a field that the description does not know, of another wire type, or two members of a oneof
 */
export function readMessage(type: string, bytes: Uint8Array): Message {
  const fields = fieldsOf(type);
  const reader = new BinaryReader(bytes);
  const message: Record<string, unknown> = {};
  while (reader.pos < reader.len) {
    const [number, wireType] = reader.tag();
    const field = fields.find((one) => one.number === number);
    if (field === undefined) throw new TypeError(`${type} has no field ${number}`);
    const { name, oneof } = field;
    if (wireType !== (WIRE_TYPES[field.type] ?? WireType.LengthDelimited))
      throw new TypeError(`${type}.${name} is not of wire type ${wireType}`);
    const other = oneof && fields.find((one) => one.oneof === oneof && one.name !== name && one.name in message);
    if (other) throw new TypeError(`${type} has both ${other.name} and ${name}`);
    const value = readValue(field.type, reader);
    if (field.type === 'map') message[name] = { ...(message[name] as object | undefined), ...(value as object) };
    else if (field.isRepeated) message[name] = [...((message[name] as unknown[] | undefined) ?? []), value];
    else message[name] = value;
  }
  return message;
}

function readValue(type: string, reader: BinaryReader): unknown {
  switch (type) {
    case 'uint32':
      return reader.uint32();
    case 'int32':
      return reader.int32();
    case 'int64':
      return BigInt(reader.int64());
    case 'bool':
      return reader.bool();
    case 'fixed32':
      return reader.fixed32();
    case 'fixed64':
      return BigInt(reader.fixed64());
    case 'float':
      return reader.float();
    case 'double':
      return reader.double();
    case 'string':
      return reader.string();
    case 'bytes':
      return Buffer.from(reader.bytes());
    case 'map': {
      const entry = new BinaryReader(reader.bytes());
      const pair: string[] = ['', ''];
      while (entry.pos < entry.len) pair[entry.tag()[0] - 1] = entry.string();
      return { [pair[0] ?? '']: pair[1] };
    }
    default:
      return readMessage(type, reader.bytes());
  }
}

/** Writes a request: of scalars only text, numbers and bytes. */
export function writeMessage(type: string, message: Message): Uint8Array {
  const fields = fieldsOf(type);
  const writer = new BinaryWriter();
  for (const [name, value] of Object.entries(message)) {
    const field = fields.find((one) => one.name === name);
    if (field === undefined) throw new TypeError(`${type} has no field ${name}`);
    writer.tag(field.number, WIRE_TYPES[field.type] ?? WireType.LengthDelimited);
    if (field.type === 'string') writer.string(String(value));
    else if (field.type === 'uint32') writer.uint32(Number(value));
    else if (field.type === 'fixed32') writer.fixed32(Number(value));
    else if (field.type === 'fixed64') writer.fixed64(value as bigint);
    else if (field.type === 'bytes') writer.bytes(value as Uint8Array);
    else writer.bytes(writeMessage(field.type, value as Message));
  }
  return writer.finish();
}
