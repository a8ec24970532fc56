import { badRequest } from '../status-error.ts';
import { knownModel, type FieldType } from './builtin-schema.ts';
import {
  asArray,
  asObject,
  canonical,
  copyOf,
  field,
  isArray,
  isObject,
  setField,
  type JsonObject,
  type MutableObject,
} from './json.ts';
import { isReplacedByStrategicMerge, strategicList } from './merge-keys.ts';
import { orderLike } from './strategic-order.ts';

const directive = '$patch';
const retainKeys = '$retainKeys';
const elementOrder = '$setElementOrder/';
const deleteFromList = '$deleteFromPrimitiveList/';

/**
 * Applies a strategic merge patch to an object of a built-in kind.
 *
 * Objects merge, null deletes, lists of the table in merge-keys.ts merge by their key, other lists are replaced. Directives:
 * `$patch: delete | replace | merge`, `$retainKeys`, `$setElementOrder/<field>`, `$deleteFromPrimitiveList/<field>`.
 *
 * @param model  name of the kind's model, such as `V1Deployment`
 * @throws StatusError 400 on a malformed patch
 */
export function applyStrategicMerge(model: string, document: JsonObject, patch: unknown): JsonObject {
  if (!isObject(patch)) throw badRequest('invalid JSON document');
  return mergeObject(document, patch, { kind: 'model', model });
}

/** Where in the schema a merge stands; undefined below free-form JSON, where lists are always replaced. */
type Place = FieldType | undefined;

function mergeObject(original: JsonObject, patch: JsonObject, place: Place): JsonObject {
  const command = field(patch, directive);
  if (command === 'replace') return asObject(withoutDirectives(withoutKey(patch, directive)));
  if (command === 'delete') return {};
  if (command !== undefined && command !== 'merge') {
    throw badRequest(`unknown patch type: ${JSON.stringify(command)} in map: ${JSON.stringify(patch)}`);
  }
  const result = retained(original, patch);
  for (const key of fieldsIn(patch)) mergeField(result, key, patch, place);
  return result;
}

function withoutKey(object: JsonObject, key: string): JsonObject {
  const copy = copyOf(object);
  delete copy[key];
  return copy;
}

/** `$retainKeys`: everything else goes; the patch may not set what it does not retain. */
function retained(original: JsonObject, patch: JsonObject): MutableObject {
  const list = field(patch, retainKeys);
  const result = copyOf(original);
  if (list === undefined) return result;
  if (!isArray(list)) throw badRequest('invalid patch format of retainKeys');
  const keep = new Set(list);
  for (const [key, value] of Object.entries(patch)) {
    if (value !== null && !key.startsWith('$') && !keep.has(key))
      throw badRequest('invalid patch format of retainKeys');
  }
  for (const key of Object.keys(result)) if (!keep.has(key)) delete result[key];
  return result;
}

/** Names of the fields a patch touches, by value or by directive. */
function fieldsIn(patch: JsonObject): ReadonlySet<string> {
  const names = new Set<string>();
  for (const key of Object.keys(patch)) {
    if (key.startsWith(elementOrder)) names.add(key.slice(elementOrder.length));
    else if (key.startsWith(deleteFromList)) names.add(key.slice(deleteFromList.length));
    else if (key !== directive && key !== retainKeys) names.add(key);
  }
  return names;
}

function mergeField(result: MutableObject, key: string, patch: JsonObject, place: Place): void {
  const model = place?.kind === 'model' ? place.model : '';
  const type = placeOf(place, key);
  const removed = field(patch, `${deleteFromList}${key}`);
  if (removed !== undefined) {
    if (!isArray(removed)) throw badRequest('invalid patch format of primitive list');
    const before = field(result, key);
    if (isArray(before)) setField(result, key, withoutScalars(before, removed));
  }
  const order = field(patch, `${elementOrder}${key}`);
  if (order !== undefined && !isArray(order)) throw badRequest('invalid patch format of setElementOrder list');
  const before = field(result, key);
  const change = field(patch, key);
  if (change === null) delete result[key];
  else if (change === undefined) {
    if (order !== undefined && isArray(before))
      setField(result, key, orderLike(before, order, before, keyOf(model, key)));
  } else if (isArray(change)) {
    if (order !== undefined) checkOrder(change, order, keyOf(model, key));
    setField(result, key, mergeList(before, change, order, { model, key, type }));
  } else if (isObject(change) && isObject(before)) {
    const isReplaced = isReplacedByStrategicMerge(model, key);
    setField(result, key, isReplaced ? withoutDirectives(change) : mergeObject(before, change, type));
  } else if (isObject(change) && Object.hasOwn(change, directive)) {
    delete result[key];
  } else setField(result, key, withoutDirectives(change));
}

function placeOf(place: Place, key: string): Place {
  if (place?.kind === 'model') return knownModel(place.model).fields.get(key);
  return place?.kind === 'map' ? place.values : undefined;
}

function keyOf(model: string, field: string): string | undefined {
  const list = strategicList(model, field);
  return list.kind === 'map' ? list.key : undefined;
}

function withoutScalars(list: readonly unknown[], removed: readonly unknown[]): unknown[] {
  const gone = new Set(removed.map(canonical));
  return list.filter((item) => !gone.has(canonical(item)));
}

/** Every item of the patch stands in `$setElementOrder`, in the same relative order; deletions need not. */
function checkOrder(items: readonly unknown[], order: readonly unknown[], mergeKey: string | undefined): void {
  if (order.length === 0) return;
  const places = order.map((item) => identity(item, mergeKey));
  let at = 0;
  for (const item of items) {
    if (isObject(item) && Object.hasOwn(item, directive)) continue;
    at = places.indexOf(identity(item, mergeKey), at) + 1;
    if (at > 0) continue;
    const [list, wanted] = [JSON.stringify(items), JSON.stringify(order)];
    throw badRequest(`The order in patch list:\n${list}\n doesn't match $setElementOrder list:\n${wanted}\n`);
  }
}

type ListPlace = { readonly model: string; readonly key: string; readonly type: Place };

function mergeList(
  before: unknown,
  change: readonly unknown[],
  order: readonly unknown[] | undefined,
  { model, key, type }: ListPlace,
): readonly unknown[] {
  const list = strategicList(model, key);
  const original = asArray(before);
  if (list.kind === 'replace') return asArray(withoutDirectives(change));
  if (list.kind === 'set') {
    checkItems(change, isScalar);
    const merged = [...new Map([...original, ...change].map((item) => [canonical(item), item])).values()];
    return orderLike(merged, order ?? change, original, undefined);
  }
  checkItems(change, isObject);
  const items = type?.kind === 'list' ? type.items : undefined;
  const merged = mergeItems(original.map(asObject), change.map(asObject), list.key, items);
  const kept = change.filter((item) => !Object.hasOwn(asObject(item), directive));
  return orderLike(merged, order ?? kept, original, list.key);
}

function isScalar(item: unknown): boolean {
  return typeof item !== 'object' && item !== undefined;
}

function checkItems(items: readonly unknown[], isRight: (item: unknown) => boolean): void {
  if (items.some(isArray)) throw badRequest('lists of lists are not supported');
  if (!items.every(isRight)) throw badRequest('list element types are not identical');
}

function mergeItems(
  original: readonly JsonObject[],
  change: readonly JsonObject[],
  key: string,
  type: Place,
): JsonObject[] {
  const isReplace = change.some((item) => field(item, directive) === 'replace');
  const merged = new Map<string, JsonObject>();
  const unkeyed: JsonObject[] = []; // items in the store that lack the key: nothing can address them, so they stay
  for (const item of isReplace ? [] : original) {
    if (field(item, key) === undefined) unkeyed.push(item);
    else if (!merged.has(identity(item, key))) merged.set(identity(item, key), item);
  }
  for (const item of change) {
    const command = field(item, directive);
    if (command === 'replace') continue;
    const name = identity(item, key);
    const old = merged.get(name);
    if (command === 'delete') merged.delete(name);
    else
      merged.set(
        name,
        old === undefined ? asObject(withoutDirectives(withoutKey(item, directive))) : mergeObject(old, item, type),
      );
  }
  return [...merged.values(), ...unkeyed];
}

/** What makes two items the same item. */
function identity(item: unknown, mergeKey: string | undefined): string {
  if (mergeKey === undefined) return canonical(item);
  const value = field(item, mergeKey);
  if (value === undefined || value === null) {
    throw badRequest(`map: ${JSON.stringify(item)} does not contain declared merge key: ${mergeKey}`);
  }
  return canonical(value);
}

/** A value of the patch that meets nothing to merge with: nulls and directives fall away. */
function withoutDirectives(value: unknown): unknown {
  if (isArray(value)) {
    return value.filter((item) => !Object.hasOwn(asObject(item), directive)).map(withoutDirectives);
  }
  if (!isObject(value)) return value;
  const result: MutableObject = {};
  for (const [key, child] of Object.entries(value)) {
    const isDirective = key.startsWith(elementOrder) || key.startsWith(deleteFromList) || key === retainKeys;
    if (child === null || isDirective || Object.hasOwn(asObject(child), directive)) continue;
    setField(result, key, withoutDirectives(child));
  }
  return result;
}
