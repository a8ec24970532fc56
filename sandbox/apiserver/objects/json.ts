/**
 * Plain JSON values, as they come out of a request body.
 *
 * Keys are chosen by users, so `__proto__`, `constructor` and the like are ordinary keys here: read with `field`, write with
 * `setField`, never with a bare index expression.
 */
export type JsonValue = null | boolean | number | string | readonly JsonValue[] | JsonObject;
export type JsonObject = { readonly [key: string]: unknown };
export type MutableObject = { [key: string]: unknown };

/** Deeper documents are refused before anything recursive touches them; the real decoder stops at 10000, no manifest needs 100. */
export const maxDepth = 500;

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function isArray(value: unknown): value is readonly unknown[] {
  return Array.isArray(value);
}

export function asObject(value: unknown): JsonObject {
  return isObject(value) ? value : {};
}

export function asArray(value: unknown): readonly unknown[] {
  return isArray(value) ? value : [];
}

/** The list's items as objects; anything else in it reads as an empty object, so that indexes stay right. */
export function objectsIn(value: unknown): readonly JsonObject[] {
  return asArray(value).map(asObject);
}

export function asString(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

/** Own field of an object, undefined when absent or when the value is no object. */
export function field(value: unknown, key: string): unknown {
  return isObject(value) && Object.hasOwn(value, key) ? value[key] : undefined;
}

/** Own field at the end of a path of object keys. */
export function fieldAt(value: unknown, ...path: readonly string[]): unknown {
  return path.reduce<unknown>((at, key) => field(at, key), value);
}

export function setField(target: MutableObject, key: string, value: unknown): void {
  if (key === '__proto__')
    Object.defineProperty(target, key, { value, writable: true, enumerable: true, configurable: true });
  else target[key] = value;
}

/** A shallow copy that a function may change before it hands it out. */
export function copyOf(value: JsonObject): MutableObject {
  return { ...value };
}

/** A copy of the object with one field replaced, removed when the value is undefined. */
export function withField(object: JsonObject, key: string, value: unknown): JsonObject {
  const copy = copyOf(object);
  if (value === undefined) delete copy[key];
  else setField(copy, key, value);
  return copy;
}

/** A copy with the field at a path replaced; missing objects on the way are made. */
export function withFieldAt(object: JsonObject, path: readonly string[], value: unknown): JsonObject {
  const [key, ...rest] = path;
  if (key === undefined) return object;
  if (rest.length === 0) return withField(object, key, value);
  const child = field(object, key);
  if (value === undefined && !isObject(child)) return object;
  return withField(object, key, withFieldAt(asObject(child), rest, value));
}

export function deepEqual(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (isArray(a)) return isArray(b) && a.length === b.length && a.every((item, index) => deepEqual(item, b[index]));
  if (!isObject(a) || !isObject(b)) return false;
  const keys = Object.keys(a);
  return (
    keys.length === Object.keys(b).length && keys.every((key) => Object.hasOwn(b, key) && deepEqual(a[key], b[key]))
  );
}

/** True when no container is nested deeper than `limit`; walks without recursion, so hostile input cannot exhaust the stack. */
export function isShallow(value: unknown, limit: number = maxDepth): boolean {
  const open: { value: unknown; depth: number }[] = [{ value, depth: 0 }];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    if (typeof next.value !== 'object' || next.value === null) continue;
    if (next.depth >= limit) return false;
    for (const child of Object.values(next.value)) open.push({ value: child, depth: next.depth + 1 });
  }
  return true;
}

/** JSON with sorted keys: equal values give equal texts. */
export function canonical(value: unknown): string {
  if (isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (!isObject(value)) return JSON.stringify(value) ?? 'null';
  const entries = Object.keys(value)
    .sort()
    .map((key) => `${JSON.stringify(key)}:${canonical(value[key])}`);
  return `{${entries.join(',')}}`;
}
