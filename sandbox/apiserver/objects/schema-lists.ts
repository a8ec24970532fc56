import { duplicate, invalid, wholeObject, type FieldCause } from './field-error.ts';
import {
  asArray,
  canonical,
  deepEqual,
  field,
  isArray,
  isObject,
  type JsonObject,
  type MutableObject,
} from './json.ts';
import type { Schema } from './structural-schema.ts';

/** Names of the fields that identify an item of a list of type `map`. */
export function listMapKeys(schema: Schema): readonly string[] {
  return asArray(field(schema, 'x-kubernetes-list-map-keys')).filter((key) => typeof key === 'string');
}

/** An item's keys as an object; absent ones stay absent. */
function keyOf(item: unknown, keys: readonly string[]): JsonObject {
  const key: MutableObject = {};
  for (const name of keys) {
    const value = field(item, name);
    if (value !== undefined) key[name] = value;
  }
  return key;
}

/**
 * Finds, for an item of a changed list, the item it was before: by its keys in lists of type `map`, not at all otherwise
 * (an index says nothing once items move).
 */
export function correlate(schema: Schema, list: readonly unknown[], old: unknown): (index: number) => unknown {
  if (!isArray(old) || field(schema, 'x-kubernetes-list-type') !== 'map') return () => undefined;
  const keys = listMapKeys(schema);
  const before = new Map(old.map((item) => [canonical(keyOf(item, keys)), item]));
  return (index) => before.get(canonical(keyOf(list[index], keys)));
}

/** Items that occur twice in lists of type `set` and `map`, anywhere in the object. */
export function listFaults(schema: Schema, value: unknown, path: string, old?: unknown): readonly FieldCause[] {
  if (old !== undefined && deepEqual(value, old)) return [];
  if (isArray(value)) return arrayFaults(schema, value, path, old);
  if (!isObject(value)) return [];
  const faults: FieldCause[] = [];
  const additional = field(schema, 'additionalProperties');
  for (const [name, child] of Object.entries(value)) {
    const property = field(field(schema, 'properties'), name);
    if (isObject(property))
      faults.push(...listFaults(property, child, path === '' ? name : `${path}.${name}`, field(old, name)));
    else if (isObject(additional)) faults.push(...listFaults(additional, child, `${path}[${name}]`, field(old, name)));
  }
  return faults;
}

function arrayFaults(schema: Schema, list: readonly unknown[], path: string, old: unknown): readonly FieldCause[] {
  const type = field(schema, 'x-kubernetes-list-type');
  const faults = type === 'set' ? repeated(list, path) : type === 'map' ? mapFaults(schema, list, path) : [];
  const items = field(schema, 'items');
  if (!isObject(items)) return faults;
  const before = correlate(schema, list, old);
  return [...faults, ...list.flatMap((item, index) => listFaults(items, item, `${path}[${index}]`, before(index)))];
}

function mapFaults(schema: Schema, list: readonly unknown[], path: string): FieldCause[] {
  const stranger = list.findIndex((item) => item !== null && !isObject(item));
  if (stranger >= 0)
    return [invalid(`${path}[${stranger}]`, list[stranger], 'must be an object for an array of list-type map')];
  const keys = listMapKeys(schema);
  return repeated(
    list.map((item) => keyOf(item, keys)),
    path,
  );
}

/** The second occurrence of each value that occurs more than once. */
function repeated(values: readonly unknown[], path: string): FieldCause[] {
  const counts = new Map<string, number>();
  const faults: FieldCause[] = [];
  for (const [index, value] of values.entries()) {
    const key = canonical(value);
    const count = (counts.get(key) ?? 0) + 1;
    counts.set(key, count);
    if (count === 2) faults.push(duplicate(path === '' ? wholeObject : `${path}[${index}]`, value));
  }
  return faults;
}
