// The gRPC services of grpc-server and grpc-client: shop.Echo, health and reflection, with their messages.
import { create, toBinary } from '@bufbuild/protobuf';
import {
  FieldDescriptorProto_Label,
  FieldDescriptorProto_Type,
  FileDescriptorProtoSchema,
  type FileDescriptorProto,
} from '@bufbuild/protobuf/wkt';
import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import type { MethodDefinition, ServiceDefinition } from '@grpc/grpc-js';

/** A message of which one field, a string or bytes, is of interest; the empty message is an empty one. */
export type Field = { readonly number: number; readonly bytes: Buffer };

export function field(number: number, value: string | Uint8Array): Field {
  return { number, bytes: Buffer.from(value as string) };
}

export function encode(fields: readonly Field[]): Buffer {
  const writer = new BinaryWriter();
  for (const { number, bytes } of fields) writer.tag(number, WireType.LengthDelimited).bytes(bytes);
  return Buffer.from(writer.finish());
}

/** The fields with a length; numbers are skipped. */
export function decode(message: Uint8Array): readonly Field[] {
  const reader = new BinaryReader(message);
  const fields: Field[] = [];
  while (reader.pos < reader.len) {
    const [number, type] = reader.tag();
    if (type === WireType.LengthDelimited) fields.push({ number, bytes: Buffer.from(reader.bytes()) });
    else reader.skip(type, number);
  }
  return fields;
}

export function text(fields: readonly Field[], number = 1): string {
  return fields.find((candidate) => candidate.number === number)?.bytes.toString() ?? '';
}

type Method = MethodDefinition<readonly Field[], readonly Field[]>;

function method(service: string, name: string, requestStream: boolean, responseStream: boolean): Method {
  return {
    path: `/${service}/${name}`,
    requestStream,
    responseStream,
    requestSerialize: encode,
    requestDeserialize: decode,
    responseSerialize: encode,
    responseDeserialize: decode,
  };
}

/** Every message is `Text { bytes text = 1; }`. */
export const ECHO = {
  unary: method('shop.Echo', 'Unary', false, false),
  count: method('shop.Echo', 'Count', false, true),
  collect: method('shop.Echo', 'Collect', true, false),
  chat: method('shop.Echo', 'Chat', true, true),
} as const satisfies ServiceDefinition;

/** `grpc.health.v1.Health`; the answer's only field is a number, SERVING = 1. */
export const HEALTH = {
  check: {
    ...method('grpc.health.v1.Health', 'Check', false, false),
    responseSerialize: (status: number) => Buffer.from([8, status]),
    responseDeserialize: (bytes: Buffer) => bytes[1] ?? 0,
  },
} as const satisfies ServiceDefinition;

/** `grpc.reflection.v1.ServerReflection`. */
export const REFLECTION = {
  info: method('grpc.reflection.v1.ServerReflection', 'ServerReflectionInfo', true, true),
} as const satisfies ServiceDefinition;

/** What reflection says about shop.Echo. */
export const ECHO_FILE: Buffer = Buffer.from(toBinary(FileDescriptorProtoSchema, echoFile()));

function echoFile(): FileDescriptorProto {
  return create(FileDescriptorProtoSchema, {
    name: 'shop/echo.proto',
    package: 'shop',
    syntax: 'proto3',
    messageType: [
      {
        name: 'Text',
        field: [
          {
            name: 'text',
            jsonName: 'text',
            number: 1,
            label: FieldDescriptorProto_Label.OPTIONAL,
            type: FieldDescriptorProto_Type.BYTES,
          },
        ],
      },
    ],
    service: [
      {
        name: 'Echo',
        method: Object.values(ECHO).map(({ path, requestStream, responseStream }) => ({
          name: path.slice(path.lastIndexOf('/') + 1),
          inputType: '.shop.Text',
          outputType: '.shop.Text',
          clientStreaming: requestStream,
          serverStreaming: responseStream,
        })),
      },
    ],
  });
}
