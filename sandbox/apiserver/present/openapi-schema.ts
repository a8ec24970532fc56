import type { JsonObject } from '../object.ts';
import type { FieldType } from '../objects/builtin-schema.ts';
import { knownModel, modelText } from '../objects/builtin-schema.ts';

/** `#/components/schemas/<name>` */
export function schemaReference(name: string): JsonObject {
  return { $ref: `#/components/schemas/${name}` };
}

const QUANTITY = 'io.k8s.apimachinery.pkg.api.resource.Quantity';
const INT_OR_STRING = 'io.k8s.apimachinery.pkg.util.intstr.IntOrString';
const TIME = 'io.k8s.apimachinery.pkg.apis.meta.v1.Time';
const MICRO_TIME = 'io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime';

/** Scalars that have a schema of their own in Kubernetes; part of every document with built-in models. */
export const scalarSchemas: Readonly<Record<string, JsonObject>> = {
  [QUANTITY]: {
    description:
      'Quantity is a fixed-point number with a suffix: binary (Ki, Mi, Gi, ...), decimal (m, k, M, G, ...) or an exponent.',
    oneOf: [{ type: 'string' }, { type: 'number' }],
  },
  [INT_OR_STRING]: {
    description: 'IntOrString is a number or a string, such as a port number or the name of a port.',
    format: 'int-or-string',
    oneOf: [{ type: 'integer' }, { type: 'string' }],
  },
  [TIME]: { description: 'Time is a date and time in RFC 3339.', type: 'string', format: 'date-time' },
  [MICRO_TIME]: {
    description: 'MicroTime is a date and time in RFC 3339 with microseconds.',
    type: 'string',
    format: 'date-time',
  },
};

/** The schema of one built-in model with the descriptions people read by `kubectl explain`. */
export function modelSchemaDocument(model: string, names: ReadonlyMap<string, string>): JsonObject {
  const text = modelText(model);
  const properties: Record<string, unknown> = {};
  for (const [name, type] of knownModel(model).fields) {
    properties[name] = described(typeSchema(type, names), text.fields.get(name) ?? '');
  }
  return {
    description: text.description,
    type: 'object',
    ...(text.required.length === 0 ? {} : { required: text.required }),
    ...(Object.keys(properties).length === 0 ? {} : { properties }),
  };
}

/** A reference cannot have siblings in OpenAPI 3.0, hence `allOf`. */
function described(schema: JsonObject, description: string): JsonObject {
  if (description === '') return schema;
  return '$ref' in schema ? { description, allOf: [schema] } : { description, ...schema };
}

function typeSchema(type: FieldType, names: ReadonlyMap<string, string>): JsonObject {
  switch (type.kind) {
    case 'string':
    case 'boolean':
    case 'number':
      return { type: type.kind };
    case 'integer':
      return { type: 'integer', format: `int${type.bits}` };
    case 'bytes':
      return { type: 'string', format: 'byte' };
    case 'any':
      return {};
    case 'time':
      return schemaReference(TIME);
    case 'micro-time':
      return schemaReference(MICRO_TIME);
    case 'quantity':
      return schemaReference(QUANTITY);
    case 'int-or-string':
      return schemaReference(INT_OR_STRING);
    case 'list':
      return { type: 'array', items: typeSchema(type.items, names) };
    case 'map':
      return { type: 'object', additionalProperties: typeSchema(type.values, names) };
    case 'model':
      return schemaReference(names.get(type.model) ?? type.model);
  }
}
