import { decodeFields } from './strict-fields.ts';
import { duplicateFields, maxProblems } from './duplicate-fields.ts';
import { quote } from './go-text.ts';
import { field, isArray, isObject, setField, type JsonObject, type MutableObject } from './json.ts';
import { checkDepth, type Decoded } from './strict-fields.ts';

/** The `openAPIV3Schema` of one version of a CustomResourceDefinition, or a part of it. Structural: see definition-validation.ts. */
export type Schema = JsonObject;

const typeFields = new Set(['apiVersion', 'kind', 'metadata']);

/**
 * Reads a custom resource: fields that the schema does not know fall away (but not below
 * `x-kubernetes-preserve-unknown-fields`), and so do nulls where the schema allows none and has no default.
 *
 * @param text  the body as JSON text, when it was JSON: needed to find duplicate fields
 */
export function decodeCustom(schema: Schema, object: JsonObject, text?: string): Decoded {
  checkDepth(object);
  const pruner = new Pruner();
  const pruned = pruner.object({ ...schema, 'x-kubernetes-embedded-resource': true }, object);
  const duplicates = text === undefined ? [] : duplicateFields(text).map((path) => `duplicate field ${quote(path)}`);
  const unknown = pruner.unknown.sort().map((path) => `unknown field ${quote(path)}`);
  return { object: withoutNulls(schema, pruned), problems: [...duplicates, ...unknown].slice(0, maxProblems) };
}

function propertySchema(schema: Schema, name: string): Schema | undefined {
  const property = field(field(schema, 'properties'), name);
  if (isObject(property)) return property;
  const additional = field(schema, 'additionalProperties');
  return isObject(additional) ? additional : undefined;
}

function itemSchema(schema: Schema): Schema | undefined {
  const items = field(schema, 'items');
  return isObject(items) ? items : undefined;
}

function isPreserving(schema: Schema): boolean {
  return field(schema, 'x-kubernetes-preserve-unknown-fields') === true;
}

/** `additionalProperties: true` keeps values as they are. */
function allowsAnything(schema: Schema): boolean {
  return field(schema, 'additionalProperties') === true;
}

class Pruner {
  readonly unknown: string[] = [];
  readonly #path: string[] = [];

  object(schema: Schema, object: JsonObject): JsonObject {
    const result: MutableObject = {};
    const isEmbedded = field(schema, 'x-kubernetes-embedded-resource') === true;
    for (const [name, value] of Object.entries(object)) {
      this.#path.push(this.#path.length === 0 ? name : `.${name}`);
      const property = propertySchema(schema, name);
      if (isEmbedded && typeFields.has(name))
        setField(result, name, name === 'metadata' ? this.#metadata(value) : value);
      else if (property !== undefined) setField(result, name, this.value(property, value));
      else if (isPreserving(schema) || allowsAnything(schema)) setField(result, name, value);
      else if (this.unknown.length < maxProblems) this.unknown.push(this.#path.join(''));
      this.#path.pop();
    }
    return result;
  }

  value(schema: Schema | undefined, value: unknown): unknown {
    if (isObject(value)) return this.object(schema ?? {}, value);
    if (!isArray(value)) return value;
    const items = schema === undefined ? undefined : itemSchema(schema);
    if (items === undefined && schema !== undefined && isPreserving(schema)) return value;
    return value.map((item, index) => {
      this.#path.push(`[${index}]`);
      const pruned = this.value(items, item);
      this.#path.pop();
      return pruned;
    });
  }

  #metadata(value: unknown): unknown {
    if (!isObject(value)) return value;
    const { object, unknown } = decodeFields('V1ObjectMeta', value);
    this.unknown.push(...unknown.map((path) => `${this.#path.join('')}.${path}`));
    return object;
  }
}

function isNonNullable(schema: Schema | undefined): boolean {
  return schema !== undefined && field(schema, 'nullable') !== true;
}

function withoutNulls(schema: Schema, object: JsonObject): JsonObject {
  const result: MutableObject = {};
  for (const [name, value] of Object.entries(object)) {
    const property = propertySchema(schema, name);
    const isDropped =
      value === null && isNonNullable(property) && property !== undefined && field(property, 'default') === undefined;
    if (!isDropped) setField(result, name, property === undefined ? value : withoutNullsIn(property, value));
  }
  return result;
}

function withoutNullsIn(schema: Schema, value: unknown): unknown {
  if (isObject(value)) return withoutNulls(schema, value);
  const items = itemSchema(schema);
  return isArray(value) && items !== undefined ? value.map((item) => withoutNullsIn(items, item)) : value;
}

/**
 * Fills in the defaults of the schema, also below lists and maps that are there.
 *
 * @returns the same object when nothing was missing
 */
export function applySchemaDefaults(schema: Schema, object: JsonObject): JsonObject {
  let result: MutableObject | undefined;
  const properties = field(schema, 'properties');
  for (const [name, property] of Object.entries(isObject(properties) ? properties : {})) {
    const standard = field(property, 'default');
    if (standard === undefined) continue;
    const value = field(object, name);
    if (value !== undefined && (value !== null || !isNonNullable(isObject(property) ? property : undefined))) continue;
    result ??= { ...object };
    setField(result, name, standard);
  }
  for (const [name, value] of Object.entries(result ?? object)) {
    const property = propertySchema(schema, name);
    if (property === undefined) continue;
    const changed = defaultedValue(property, value);
    if (changed === value) continue;
    result ??= { ...object };
    setField(result, name, changed);
  }
  return result ?? object;
}

function defaultedValue(schema: Schema, value: unknown): unknown {
  if (isObject(value)) return applySchemaDefaults(schema, value);
  const standard = field(schema, 'default');
  if (value === null && isNonNullable(schema) && standard !== undefined) return defaultedValue(schema, standard);
  const items = itemSchema(schema);
  if (!isArray(value) || items === undefined) return value;
  const changed = value.map((item) => defaultedValue(items, item));
  return changed.some((item, index) => item !== value[index]) ? changed : value;
}
