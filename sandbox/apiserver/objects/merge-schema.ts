import { knownModel, type FieldType } from './builtin-schema.ts';
import { asString, field, isArray, isObject, type JsonObject } from './json.ts';
import { applyList, isAtomicUnderApply } from './merge-keys.ts';
import { listMapKeys } from './schema-lists.ts';

/**
 * How a value is owned and merged under server-side apply. `leaf`: as a whole (scalars, atomic lists and objects); `object`:
 * field by field; `set` and `list`: item by item; `untyped`: objects field by field, everything else as a whole.
 */
export type MergeNode =
  | { readonly kind: 'leaf' | 'set' | 'untyped' }
  | { readonly kind: 'object'; child(name: string): MergeNode; isDeclared(name: string): boolean }
  | {
      readonly kind: 'list';
      readonly keys: readonly string[];
      readonly defaults: Readonly<Record<string, unknown>>; // of keys that an item may leave out
      readonly item: MergeNode;
    };

const leaf: MergeNode = { kind: 'leaf' };
const untyped: MergeNode = { kind: 'untyped' };

/** The node of a built-in kind or struct. */
export function modelNode(model: string): MergeNode {
  if (isAtomicUnderApply(model)) return leaf;
  const { fields } = knownModel(model);
  return {
    kind: 'object',
    child: (name) => fieldNode(model, name, fields.get(name)),
    isDeclared: (name) => fields.has(name),
  };
}

function fieldNode(model: string, name: string, type: FieldType | undefined): MergeNode {
  if (type === undefined) return untyped;
  if (type.kind === 'list') return listNode(model, name, type.items);
  if (type.kind === 'map') return isAtomicUnderApply(`${model}.${name}`) ? leaf : mapNode(typeNode(type.values));
  return typeNode(type);
}

function typeNode(type: FieldType): MergeNode {
  if (type.kind === 'model') return modelNode(type.model);
  return type.kind === 'any' ? untyped : leaf;
}

function listNode(model: string, name: string, items: FieldType): MergeNode {
  const list = applyList(model, name);
  if (list.kind === 'atomic') return leaf;
  if (list.kind === 'set') return { kind: 'set' };
  return { kind: 'list', keys: list.keys, defaults: list.defaults, item: typeNode(items) };
}

function mapNode(values: MergeNode): MergeNode {
  return { kind: 'object', child: () => values, isDeclared: () => false };
}

/** The node of a custom resource with this structural schema. */
export function customNode(schema: JsonObject): MergeNode {
  return schemaNode({ ...schema, 'x-kubernetes-embedded-resource': true });
}

function schemaNode(schema: JsonObject): MergeNode {
  const type = field(schema, 'type');
  if (type === 'array') return schemaListNode(schema);
  const properties = field(schema, 'properties');
  const additional = field(schema, 'additionalProperties');
  const isPreserving = field(schema, 'x-kubernetes-preserve-unknown-fields') === true;
  if (type !== 'object') return isPreserving ? untyped : leaf;
  if (field(schema, 'x-kubernetes-map-type') === 'atomic') return leaf;
  if (!isObject(properties) && isObject(additional)) return mapNode(schemaNode(additional));
  const isEmbedded = field(schema, 'x-kubernetes-embedded-resource') === true;
  return {
    kind: 'object',
    child: (name) => {
      if (isEmbedded && name === 'metadata') return modelNode('V1ObjectMeta');
      const property = field(properties, name);
      return isObject(property) ? schemaNode(property) : untyped;
    },
    isDeclared: (name) =>
      isObject(field(properties, name)) || (isEmbedded && ['apiVersion', 'kind', 'metadata'].includes(name)),
  };
}

function schemaListNode(schema: JsonObject): MergeNode {
  const items = field(schema, 'items');
  switch (asString(field(schema, 'x-kubernetes-list-type'))) {
    case 'set':
      return { kind: 'set' };
    case 'map':
      return {
        kind: 'list',
        keys: listMapKeys(schema),
        defaults: keyDefaults(items, listMapKeys(schema)),
        item: isObject(items) ? schemaNode(items) : untyped,
      };
    default:
      return leaf;
  }
}

function keyDefaults(items: unknown, keys: readonly string[]): Readonly<Record<string, unknown>> {
  const entries = keys.map((key) => [key, field(field(field(items, 'properties'), key), 'default')] as const);
  return Object.fromEntries(entries.filter(([, value]) => value !== undefined));
}

/** What the node means for this value: untyped ones take the shape of the value. */
export function resolve(node: MergeNode, value: unknown): MergeNode {
  if (node.kind === 'untyped') return isObject(value) ? mapNode(untyped) : leaf;
  const isRight = node.kind === 'object' ? isObject(value) : node.kind === 'leaf' || isArray(value);
  return isRight ? node : leaf;
}
